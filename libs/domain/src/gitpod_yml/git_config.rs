//! `gitConfig`: settings of Git that a repository may choose for the workspace. Those that make Git run a program, read
//! another file or speak to another host are left out: they would act on every repository that the user opens inside,
//! unseen, while a task that does the same can be read in the configuration.

use super::node::Node;
use super::reader::Reader;

/// The most settings that are taken; further ones are left out.
const MAX_SETTINGS: usize = 256;

/// Sections in which nothing may be set, and why.
const SECTIONS: [(&str, &str); 16] = [
    ("alias", "may run a program under the name of a command"),
    ("browser", "names a program"),
    ("credential", "names a program that is handed passwords"),
    ("difftool", "names a program"),
    ("filter", "names a program that runs at checkout"),
    ("gpg", "names a program"),
    ("include", "reads another file, in which everything may be set"),
    ("includeif", "reads another file, in which everything may be set"),
    ("man", "names a program"),
    ("mergetool", "names a program"),
    ("pager", "names a program"),
    ("protocol", "may allow transports that run a program"),
    ("remote", "may name a program, or another host"),
    ("safe", "lifts Git's own protection"),
    ("sendemail", "names a program"),
    ("url", "sends to another host what is meant for this one"),
];

/// Single settings that name a program, in lower case.
const KEYS: [&str; 17] = [
    "core.alternaterefscommand",
    "core.askpass",
    "core.editor",
    "core.fsmonitor",
    "core.gitproxy",
    "core.hookspath",
    "core.pager",
    "core.sshcommand",
    "core.worktree",
    "diff.external",
    "http.proxy",
    "http.sslverify",
    "init.templatedir",
    "interactive.difffilter",
    "sequence.editor",
    "ssh.variant",
    "uploadpack.packobjectshook",
];

/// Last words of settings whose section has a name of its own: `diff.NAME.textconv`, `merge.NAME.driver`.
const LAST_WORDS: [&str; 12] =
    ["cmd", "command", "clean", "driver", "helper", "hook", "path", "process", "program", "smudge", "textconv", "update"];

/// Why a setting is not taken; `None` when it may be set.
pub fn refusal(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let section = key.split('.').next().unwrap_or_default();
    let last = key.rsplit('.').next().unwrap_or_default();
    let of_section = SECTIONS.iter().find(|(name, _)| *name == section).map(|(_, why)| *why);
    of_section.or_else(|| {
        let names_a_program = KEYS.contains(&key.as_str()) || LAST_WORDS.contains(&last);
        names_a_program.then_some("may run a program, or lift a protection")
    })
}

/// Keys are `section.name`; anything else would be an option of Git's command line.
pub(super) fn read(node: &Node, reader: &mut Reader) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for (key, value) in reader.entries(node, "gitConfig").iter().take(MAX_SETTINGS) {
        let name = &key.value;
        let letters = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
        if !letters || !name.contains('.') || name.starts_with(['-', '.']) || name.ends_with('.') {
            reader.warn(&key.referenced, format!("`gitConfig.{name:.80}` is no setting of Git; it is left out"));
        } else if let Some(why) = refusal(name) {
            reader.warn(&key.referenced, format!("`gitConfig.{name:.80}` {why}; it is left out"));
        } else if let Some(text) = reader.text(value, "gitConfig") {
            settings.push((name.clone(), text));
        }
    }
    settings
}
