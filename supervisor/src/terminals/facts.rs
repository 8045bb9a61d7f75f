//! What is known of a terminal besides its output: title, annotations, where it is.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use super::terminal::Terminal;

/// What to show above a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Title {
    /// Somebody chose it.
    Set(String),
    /// The name it was opened with, and the program in the foreground.
    Program(String),
}

impl Terminal {
    /// The title now.
    pub fn title(&self) -> Title {
        let facts = self.facts.lock();
        if let Some(title) = &facts.chosen_title {
            return Title::Set(title.clone());
        }
        let program = self.pty.foreground().and_then(program).unwrap_or_default();
        Title::Program(match (facts.title.is_empty(), program.is_empty()) {
            (true, _) => program,
            (false, true) => facts.title.clone(),
            (false, false) => format!("{}: {program}", facts.title),
        })
    }

    /// Chooses a title; an empty one gives it back to the program.
    pub fn set_title(&self, title: &str) {
        self.facts.lock().chosen_title = Some(title.to_owned()).filter(|title| !title.is_empty());
        self.changed();
    }

    /// Free words that somebody keeps with it.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.facts.lock().annotations.clone()
    }

    /// Sets `changed`, then removes `deleted`.
    pub fn annotate(&self, changed: HashMap<String, String>, deleted: &[String]) {
        let mut facts = self.facts.lock();
        facts.annotations.extend(changed);
        facts.annotations.retain(|name, _| !deleted.contains(name));
    }

    /// Where its own program is now.
    pub fn directory(&self) -> Option<String> {
        let path = fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()?;
        Some(path.display().to_string())
    }
}

/// The last part of the program's name.
fn program(pid: i32) -> Option<String> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = String::from_utf8_lossy(command.split(|&byte| byte == 0).next()?).into_owned();
    Some(program.rsplit('/').next()?.to_owned())
}
