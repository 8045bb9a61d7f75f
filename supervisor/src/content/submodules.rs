//! Submodules, after the clone and apart from it: their paths and URLs are the repository's words, so they are checked
//! first. Credentials stay with their host; no file transport; hooks stay off (Git passes our settings on).

use std::path::Path;

use super::error::ContentError;
use super::git::{Call, Git};
use super::remote::Remote;
use crate::timeline::StepGuard;

/// Brings them in as a step of its own, if there are any. Submodules that cannot be had do not keep anybody from working:
/// the row of the timeline says why.
pub async fn bring_in(git: &Git<'_>, directory: &Path) {
    let Some(entries) = list(git, directory).await else { return };
    let step = git.context().timeline.step("clone/submodules");
    if let Some(why) = update(git, directory, &entries, &step).await {
        tracing::warn!(why, "submodules are left out");
        step.fail(why);
    }
}

/// Why they were left out, as a sentence; `None` when they are there.
async fn update(git: &Git<'_>, directory: &Path, entries: &[(String, String)], step: &StepGuard) -> Option<String> {
    if let Some(why) = entries.iter().find_map(|(key, value)| objection(key, value)) {
        return Some(why);
    }
    let update = Call::new("submodule", directory).args(["update", "--init", "--recursive", "--progress"]).about("a submodule");
    git.run(update.progress(step)).await.err().map(|error: ContentError| error.to_string())
}

/// Settings of `.gitmodules` in the commit, never of the file in the worktree; `None` where there is none.
async fn list(git: &Git<'_>, directory: &Path) -> Option<Vec<(String, String)>> {
    let call = Call::new("config", directory).args(["--blob", "HEAD:.gitmodules", "-z", "--list"]);
    let output = git.run(call).await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let entry = |entry: &str| entry.split_once('\n').map(|(k, v)| (k.to_owned(), v.to_owned()));
    Some(text.split('\0').filter_map(entry).filter(|(key, _)| key.starts_with("submodule.")).collect())
}

fn objection(key: &str, value: &str) -> Option<String> {
    let shown: String = value.chars().take(80).collect();
    if key.chars().chain(value.chars()).any(char::is_control) {
        return Some(format!("{key:?} of .gitmodules holds a control character"));
    }
    let (_, field) = key.rsplit_once('.')?;
    let sound = match field {
        "path" => path_is_sound(value),
        "url" => value.starts_with("./") || value.starts_with("../") || Remote::parse(value).is_ok(),
        "update" => matches!(value, "checkout" | "rebase" | "merge" | "none"),
        _ => true,
    };
    (!sound).then(|| format!("{key} = {shown:?} of .gitmodules is not allowed"))
}

fn path_is_sound(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != ".." && part != "." && !part.to_ascii_lowercase().starts_with(".git");
    !path.starts_with('-') && !path.ends_with(' ') && path.trim_end_matches('/').split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_of_sound_repositories_pass_and_others_are_named() {
        for (key, value) in [
            ("submodule.lib.path", "third_party/lib"),
            ("submodule.lib.url", "https://github.com/a/b"),
            ("submodule.lib.url", "../b.git"),
            ("submodule.lib.url", "git@github.com:a/b.git"),
            ("submodule.lib.update", "none"),
            ("submodule.lib.branch", "main"),
        ] {
            assert_eq!(objection(key, value), None);
        }
        for (key, value) in [
            ("submodule.lib.path", "lib\r"),
            ("submodule.lib.path", "../../x"),
            ("submodule.lib.path", ".git/hooks"),
            ("submodule.lib.path", "a/.GIT/x"),
            ("submodule.lib.path", "-x"),
            ("submodule.lib.url", "--upload-pack=touch x"),
            ("submodule.lib.url", "ext::sh -c x"),
            ("submodule.lib.url", "file:///etc"),
            ("submodule.lib.url", "/etc"),
            ("submodule.lib.update", "!touch x"),
        ] {
            assert!(objection(key, value).is_some(), "{key} = {value:?} passed");
        }
    }
}
