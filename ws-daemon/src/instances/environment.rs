//! The variables that PID 1 gives to everything inside: the image's, then the node's, then the user's, later ones winning.

use std::collections::HashSet;

use api::v1::{EnvVar, InstanceSpec};

use crate::ports::{ImageSettings, WorkspaceUser};

/// Names that begin like this are ours; a user's value for one is left out.
const RESERVED: [&str; 2] = ["CRANNOG_", "SUPERVISOR_"];
/// What follows from the user that the node made; a value of the image would be of another user.
const OF_THE_USER: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

/// Merges the three. A name appears once, in the place of its first mention.
pub fn merge(image: &ImageSettings, user: &WorkspaceUser, spec: &InstanceSpec) -> Vec<EnvVar> {
    let mut merged = Vec::<EnvVar>::new();
    let mut put = |name: &str, value: &str| match merged.iter_mut().find(|one| one.name == name) {
        Some(one) => value.clone_into(&mut one.value),
        None => merged.push(EnvVar { name: name.into(), value: value.into() }),
    };
    image.env.iter().filter(|(name, _)| !OF_THE_USER.contains(&name.as_str())).for_each(|(name, value)| put(name, value));
    user.env.iter().for_each(|(name, value)| put(name, value));
    for (name, value) in of_the_node(user, spec) {
        put(name, value);
    }
    let allowed = |one: &&EnvVar| is_name(&one.name) && !RESERVED.iter().any(|prefix| one.name.starts_with(prefix));
    spec.env.iter().filter(allowed).for_each(|one| put(&one.name, &one.value));
    merged
}

/// Names of the spec that were left out, for a warning.
pub fn left_out(spec: &InstanceSpec) -> Vec<String> {
    let reserved = |name: &str| !is_name(name) || RESERVED.iter().any(|prefix| name.starts_with(prefix));
    let names: HashSet<&str> = spec.env.iter().map(|one| one.name.as_str()).filter(|name| reserved(name)).collect();
    names.into_iter().map(super::bounds::text).collect()
}

fn of_the_node<'a>(user: &'a WorkspaceUser, spec: &'a InstanceSpec) -> [(&'static str, &'a str); 7] {
    [
        ("HOME", &user.home),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
        ("CRANNOG_WORKSPACE_ID", &spec.workspace_id),
        ("CRANNOG_WORKSPACE_NAME", &spec.workspace_name),
        ("CRANNOG_INSTANCE_ID", &spec.id),
    ]
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ones_win_and_nobody_takes_a_name_of_ours() {
        let image = ImageSettings {
            env: vec![("PATH".into(), "/image".into()), ("HOME".into(), "/root".into()), ("LANG".into(), "C".into())],
            ..ImageSettings::default()
        };
        let user = WorkspaceUser {
            name: "crannog".into(),
            uid: 1000,
            gid: 1000,
            home: "/home/crannog".into(),
            shell: "/bin/bash".into(),
            path_prepend: vec![],
            env: vec![("RUSTUP_HOME".into(), "/opt/rustup".into())],
        };
        let asked = [("LANG", "de_DE.UTF-8"), ("CRANNOG_INSTANCE_ID", "forged"), ("A=B", "odd")];
        let env = asked.map(|(name, value)| EnvVar { name: name.into(), value: value.into() }).to_vec();
        let spec = InstanceSpec { id: "i1".into(), env, ..InstanceSpec::default() };
        let merged = merge(&image, &user, &spec);
        let value = |name: &str| merged.iter().find(|one| one.name == name).map(|one| one.value.as_str());
        assert_eq!(value("PATH"), Some("/image"));
        assert_eq!(value("HOME"), Some("/home/crannog"));
        assert_eq!(value("LANG"), Some("de_DE.UTF-8"));
        assert_eq!(value("RUSTUP_HOME"), Some("/opt/rustup"));
        assert_eq!(value("CRANNOG_INSTANCE_ID"), Some("i1"));
        assert_eq!(value("A=B"), None);
        let mut out = left_out(&spec);
        out.sort();
        assert_eq!(out, ["A=B", "CRANNOG_INSTANCE_ID"]);
    }
}
