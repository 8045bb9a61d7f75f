//! Checks of pages: what they name exists, and every daemon has the same rooms.

use super::Files;

const DAEMONS: &[&str] = &["supervisor", "ws-daemon", "orchestrator", "ide-proxy"];
const ROOMS: &[&str] = &["src/main.rs", "src/lib.rs", "src/app.rs", "src/config.rs", "src/error.rs"];

/// Checks Markdown files and the rooms of daemons.
pub fn check(files: &Files) -> anyhow::Result<Vec<String>> {
    let mut findings = rooms(files);
    for (path, text) in files.with_ending("md")? {
        let shown = path.display();
        for (number, line) in text.lines().enumerate() {
            let gone = named_paths(line).into_iter().filter(|name| !files.exists(name));
            findings.extend(gone.map(|name| format!("{shown}:{}: {name} does not exist: mend the page", number + 1)));
        }
    }
    Ok(findings)
}

fn rooms(files: &Files) -> Vec<String> {
    let missing = |daemon: &&str| {
        let daemon = (*daemon).to_owned();
        let gone = ROOMS.iter().filter(move |room| !files.exists(&format!("{daemon}/{room}")));
        gone.map(|room| room.to_string()).collect::<Vec<_>>()
    };
    let say = |daemon: &&str, room: String| format!("{daemon} has no {room}: every daemon has the same rooms (ARCHITECTURE.md)");
    DAEMONS.iter().flat_map(|daemon| missing(daemon).into_iter().map(move |room| say(daemon, room))).collect()
}

/// Words in backticks that are paths of this repository: they begin with one of its folders.
fn named_paths(line: &str) -> Vec<&str> {
    const FOLDERS: &[&str] = &[
        "libs/",
        "cli/",
        "docs/",
        "xtask/",
        "integration/",
        "images/",
        "changes/",
        "supervisor/",
        "ws-daemon/",
        "orchestrator/",
        "ide-proxy/",
    ];
    let words = line.split('`').skip(1).step_by(2);
    let is_path =
        |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*', '{', '<', '(', ':']);
    words.filter(is_path).map(|word| word.split('#').next().unwrap_or(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_other_words() {
        assert_eq!(named_paths("see `libs/sys/src/lib.rs` and `cargo test`, `cli/src/*.rs`"), ["libs/sys/src/lib.rs"]);
    }
}
