//! Who lives: the processes below this one, as `/proc` tells them (proc(5)).

use std::collections::HashMap;
use std::fs;

/// A process below this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living {
    /// Its number.
    pub pid: i32,
    /// Its session: the number of the process that began it.
    pub session: i32,
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
        .map(|(&pid, stat)| Living { pid, session: stat.session, command: command(pid, stat) })
        .collect();
    living.sort_by_key(|process| process.pid);
    living
}

struct Stat {
    name: String,
    state: char,
    parent: i32,
    session: i32,
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

/// "pid (name) state parent group session …": a name may hold spaces and brackets.
fn parse(text: &str) -> Option<Stat> {
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let mut fields = text.get(close + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let (parent, session) = (fields.next()?.parse().ok()?, fields.nth(1)?.parse().ok()?);
    Some(Stat { name: text.get(open + 1..close)?.to_owned(), state, parent, session })
}

fn command(pid: i32, stat: &Stat) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ");
    if text.is_empty() { format!("[{}]", stat.name) } else { text.chars().take(200).collect() }
}

/// Whether a process ignores a signal (1 to 64), as interactive shells do with SIGTERM.
pub fn ignores(pid: i32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let stat = parse("7 (a) b (c)) S 3 7 7 0 -1").expect("parses");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.session), ("a) b (c)", 'S', 3, 7));
    }

    #[test]
    fn who_ignores_a_signal_is_told_apart() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; echo; read x"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh");
        std::io::Read::read_exact(child.stdout.as_mut().expect("stdout"), &mut [0]).expect("it is ready");
        let pid = child.id() as i32;
        // SIGUSR2: whoever runs the tests by nohup or in the background hands an ignored SIGHUP or SIGINT down.
        assert!(ignores(pid, 15) && !ignores(pid, 12));
        drop(child.stdin.take());
        child.wait().expect("wait");
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
