//! What programs inside find in their environment: what the node decided, who they run as, and the public variables of
//! Gitpod that repositories and tools rely on. Nothing that only concerns PID 1 is ever in it.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::process::users::User;

/// Where the node puts a program that an image lacks.
const OWN_PROGRAMS: &str = "/usr/local/bin";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part that is the same for everybody.
#[derive(Debug)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Computes it from the configuration, once.
    pub fn new(config: &Config) -> Self {
        let mut variables = BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]);
        let supervisor = &config.supervisor;
        for variable in supervisor.env.iter().chain(&config.spec.env) {
            variables.insert(variable.name.clone(), variable.value.clone());
        }
        variables.retain(|name, value| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
        variables.retain(|name, _| name != "CRANNOG_API_FD" && name != "CRANNOG_CONFIG_FD");
        let path = variables.get("PATH").filter(|path| !path.is_empty()).map_or(DEFAULT_PATH, String::as_str);
        let path = supervisor.path_prepend.iter().map(String::as_str).chain([path]);
        let mut path = path.collect::<Vec<_>>().join(":");
        // `sudo` is put there where an image has none, and not every image looks there.
        if !path.split(':').any(|place| place == OWN_PROGRAMS) {
            path = format!("{path}:{OWN_PROGRAMS}");
        }
        variables.insert("PATH".into(), path);
        variables.extend(public(config));
        Self { variables }
    }

    /// With HOME, USER, LOGNAME and SHELL of `user`.
    pub fn for_user(&self, user: &User) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        for (name, value) in [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name), ("SHELL", &user.shell)] {
            variables.insert(name.into(), value.clone());
        }
        variables
    }
}

/// Names are Gitpod's; those of Gitpod's own installation (GITPOD_HOST, tokens) have no meaning here and are not set.
fn public(config: &Config) -> Vec<(String, String)> {
    let spec = &config.spec;
    let context = match spec.content.as_ref().and_then(|content| content.initial.as_ref()) {
        Some(api::v1::content_spec::Initial::Git(git)) => git.origin.as_str(),
        _ => "",
    };
    let api = format!("localhost:{}", config.api_port);
    [
        ("CRANNOG_WORKSPACE_ID", spec.workspace_id.as_str()),
        ("CRANNOG_WORKSPACE_NAME", &spec.workspace_name),
        ("CRANNOG_INSTANCE_ID", &spec.id),
        ("GITPOD_WORKSPACE_ID", &spec.workspace_id),
        ("GITPOD_INSTANCE_ID", &spec.id),
        ("GITPOD_WORKSPACE_URL", &workspace_url(&spec.edge_url_template)),
        ("GITPOD_WORKSPACE_CONTEXT_URL", context),
        ("GITPOD_REPO_ROOT", &spec.repository_directory),
        ("GITPOD_REPO_ROOTS", &spec.repository_directory),
        ("THEIA_WORKSPACE_ROOT", &spec.working_directory),
        ("GITPOD_GIT_USER_NAME", &spec.git_user_name),
        ("GITPOD_GIT_USER_EMAIL", &spec.git_user_email),
        ("SUPERVISOR_ADDR", &api),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// The address of the workspace itself: that of a port without the port, as Gitpod's tools put "PORT-" in front.
pub fn workspace_url(template: &str) -> String {
    template.replace("{port}-", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::v1::{EnvVar, InstanceSpec, SupervisorConfig};

    fn config() -> Config {
        let variable = |name: &str, value: &str| EnvVar { name: name.into(), value: value.into() };
        let spec = InstanceSpec {
            edge_url_template: "http://{port}-app.localhost:7280".into(),
            repository_directory: "/workspace/app".into(),
            ..Default::default()
        };
        let supervisor = SupervisorConfig {
            spec: Some(spec),
            user: "dev".into(),
            home: "/home/dev".into(),
            shell: "/bin/sh".into(),
            env: vec![
                variable("A", "image"),
                variable("A", "user"),
                variable("CRANNOG_API_FD", "3"),
                variable("BAD=NAME", "x"),
                variable("PATH", "/image/bin"),
            ],
            path_prepend: vec!["/toolchain/bin".into()],
            ..Default::default()
        };
        Config::new(supervisor).expect("valid")
    }

    #[test]
    fn later_variables_win_and_ours_never_leak() {
        let environment = Environment::new(&config());
        assert_eq!(environment.variables["A"], "user");
        assert_eq!(environment.variables["PATH"], "/toolchain/bin:/image/bin:/usr/local/bin");
        assert_eq!(environment.variables["GITPOD_REPO_ROOT"], "/workspace/app");
        assert_eq!(environment.variables["GITPOD_WORKSPACE_URL"], "http://app.localhost:7280");
        assert!(!environment.variables.contains_key("CRANNOG_API_FD"));
        assert!(!environment.variables.contains_key("BAD=NAME"));
        assert!(!environment.variables.contains_key("GITPOD_INSTANCE_ID"), "an empty one is not set");
    }
}
