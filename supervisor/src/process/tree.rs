//! Who lives: the processes below this one, as `/proc` tells them (proc(5)).

use std::collections::HashMap;
use std::fs;

/// A process below this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living {
    /// Its number.
    pub pid: i32,
    /// Its command line, or its name in brackets where it has none.
    pub command: String,
}

/// Every descendant that is not a zombie.
pub fn descendants() -> Vec<Living> {
    let all: HashMap<i32, Stat> = processes().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let me = std::process::id() as i32;
    let mut living: Vec<Living> = all
        .iter()
        .filter(|(pid, stat)| stat.state != 'Z' && is_below(**pid, me, &all))
        .map(|(&pid, stat)| Living { pid, command: command(pid).unwrap_or_else(|| format!("[{}]", stat.name)) })
        .collect();
    living.sort_by_key(|process| process.pid);
    living
}

struct Stat {
    name: String,
    state: char,
    parent: i32,
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_below(pid: i32, ancestor: i32, all: &HashMap<i32, Stat>) -> bool {
    let mut at = pid;
    // A snapshot that was taken while processes moved could hold a circle; no chain is longer than there are processes.
    for _ in 0..=all.len() {
        match all.get(&at) {
            Some(stat) if stat.parent == ancestor => return true,
            Some(stat) => at = stat.parent,
            None => return false,
        }
    }
    false
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// "pid (name) state parent …": a name may hold spaces and brackets.
fn parse(text: &str) -> Option<Stat> {
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let mut fields = text.get(close + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { name: text.get(open + 1..close)?.to_owned(), state, parent: fields.next()?.parse().ok()? })
}

fn command(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ");
    Some(text.chars().take(200).collect()).filter(|text: &String| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let stat = parse("7 (a) b (c)) S 3 7 7 0 -1").expect("parses");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) b (c)", 'S', 3));
    }

    #[test]
    fn a_child_is_found_and_init_is_not() {
        let mut child = std::process::Command::new("sleep").arg("61").spawn().expect("sleep");
        let living = descendants();
        assert!(living.iter().any(|p| p.pid == child.id() as i32 && p.command == "sleep 61"), "{living:?}");
        assert!(living.iter().all(|p| p.pid != 1));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}
