//! Checks of source files: each says what it is for, nothing is left out, `unsafe` stays in its room.

use std::path::Path;

use super::Files;

/// Words that stand where work was left out, each in two pieces so that this file does not find itself.
const LEFT_OUT: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ig", "nore"),
    ("place", "holder"),
    ("for n", "ow"),
];

/// Checks every Rust file and manifest.
pub fn check(files: &Files) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for (path, text) in files.with_ending("rs")? {
        findings.extend(source(path, &text));
    }
    for (path, text) in files.with_ending("toml")? {
        findings.extend(manifest(path, &text));
    }
    Ok(findings)
}

fn source(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(format!("{shown} does not begin with a //! line: say what the file is for"));
    }
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        findings.extend(
            left_out(line).map(|word| format!("{shown}:{number}: '{word}': finish it, or make it a known gap in the manual")),
        );
        if is_unsafe(line) && !may_be_unsafe(path) {
            findings.push(format!("{shown}:{number}: unsafe outside libs/sys: give sys a safe function for it"));
        }
    }
    findings
}

fn left_out(line: &str) -> Option<String> {
    LEFT_OUT.iter().map(|(a, b)| format!("{a}{b}")).find(|word| line.contains(word.as_str()))
}

/// `sys` alone; and programs that tests run as PID 1 (which link nothing), and this check, which names the word.
fn may_be_unsafe(path: &Path) -> bool {
    let fixture = path.components().any(|part| part.as_os_str() == "fixtures");
    path.starts_with("libs/sys") || fixture || path.starts_with("xtask/src/tidy")
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl") || code.contains("allow(unsafe")
}

fn manifest(path: &Path, text: &str) -> Option<String> {
    let is_member = text.contains("[package]") && !path.starts_with("libs/sys");
    let has_lints = text.contains("[lints]\nworkspace = true");
    (is_member && !has_lints)
        .then(|| format!("{} does not take the workspace's lints: add\n[lints]\nworkspace = true", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_was_left_out_is_found() {
        let word = ["TO", "DO"].concat();
        let text = format!("//! x\n// {word}: later\n");
        assert_eq!(source(Path::new("a.rs"), &text).len(), 1);
        assert_eq!(source(Path::new("a.rs"), "fn main() {}\n").len(), 1);
    }

    #[test]
    fn unsafe_is_allowed_in_sys_alone() {
        let text = "//! x\nlet a = unsafe { b() };\n";
        assert_eq!(source(Path::new("cli/src/a.rs"), text).len(), 1);
        assert!(source(Path::new("libs/sys/src/a.rs"), text).is_empty());
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert!(manifest(Path::new("cli/Cargo.toml"), "[package]\nname = \"cli\"\n").is_some());
        assert!(manifest(Path::new("cli/Cargo.toml"), "[package]\n[lints]\nworkspace = true\n").is_none());
    }
}
