//! Who owns a listening socket: the process that holds `socket:[INODE]` among its descriptors. Walking every process's
//! descriptors is dear, so it is done only when an inode is new, and what was found is kept while the socket listens.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest name that is passed on; the kernel's `comm` has 15 bytes.
const NAME_MAX: usize = 64;
/// How often a new inode without an owner is looked for again (its owner may still be between `fork` and `exec`, or
/// hidden from us).
const TRIES: u8 = 3;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its id inside the instance.
    pub pid: i64,
    /// Its name, "node".
    pub process: String,
}

/// What is known of the owners of inodes.
pub struct Owners {
    proc: PathBuf,
    known: HashMap<u32, Known>,
}

enum Known {
    Owner(Owner),
    Sought(u8),
}

impl Owners {
    /// Looks in `proc`, usually `/proc`.
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), known: HashMap::new() }
    }

    /// Brings what is known up to date with the inodes that listen now.
    pub fn update(&mut self, inodes: &HashSet<u32>) {
        self.known.retain(|inode, _| inodes.contains(inode));
        let mut wanted: HashSet<u32> = inodes.iter().copied().filter(|inode| self.is_wanted(*inode)).collect();
        if wanted.is_empty() {
            return;
        }
        for inode in &wanted {
            if let Known::Sought(tries) = self.known.entry(*inode).or_insert(Known::Sought(0)) {
                *tries += 1;
            }
        }
        self.search(&mut wanted);
    }

    /// The owner of an inode, if it was found.
    pub fn get(&self, inode: u32) -> Option<&Owner> {
        match self.known.get(&inode) {
            Some(Known::Owner(owner)) => Some(owner),
            _ => None,
        }
    }

    fn is_wanted(&self, inode: u32) -> bool {
        match self.known.get(&inode) {
            None => true,
            Some(Known::Sought(tries)) => *tries < TRIES,
            Some(Known::Owner(_)) => false,
        }
    }

    /// Stops as soon as every wanted inode has its owner.
    fn search(&mut self, wanted: &mut HashSet<u32>) {
        for pid in pids(&self.proc) {
            let directory = self.proc.join(pid.to_string());
            for inode in sockets(&directory) {
                if wanted.contains(&inode) {
                    let process = name(&directory);
                    self.known.insert(inode, Known::Owner(Owner { pid, process }));
                    wanted.remove(&inode);
                }
            }
            if wanted.is_empty() {
                return;
            }
        }
    }
}

/// Ids of all processes but PID 1, lowest first: of several that share a socket the parent is named.
fn pids(proc: &Path) -> Vec<i64> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let mut pids: Vec<i64> = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).filter(|pid| *pid != 1).collect();
    pids.sort_unstable();
    pids
}

fn sockets(process: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(process.join("fd")) else { return Vec::new() };
    entries.filter_map(|e| inode_of(fs::read_link(e.ok()?.path()).ok()?.to_str()?)).collect()
}

fn inode_of(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The program's name: of its first argument where there is one ("node" of "/usr/bin/node"), else the kernel's word.
/// Interpreters rename their threads ("MainThread"), so `comm` is second.
fn name(process: &Path) -> String {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let first = line.split(|b| *b == 0).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let program = first.split(' ').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let word = if program.is_empty() {
        fs::read_to_string(process.join("comm")).unwrap_or_default()
    } else {
        program.trim_start_matches('-').to_owned()
    };
    word.trim().trim_end_matches(':').chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_ours_is_ours() {
        use std::os::fd::AsRawFd;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("link");
        let inode = inode_of(link.to_str().expect("text")).expect("socket");
        let mut owners = Owners::new("/proc");
        owners.update(&HashSet::from([inode]));
        let owner = owners.get(inode).expect("found");
        assert_eq!(owner.pid, i64::from(std::process::id()));
        assert!(owner.process.starts_with("supervisor"), "{owner:?}");
        owners.update(&HashSet::new());
        assert_eq!(owners.get(inode), None, "forgotten when it no longer listens");
    }

    #[test]
    fn a_socket_that_nobody_holds_is_not_sought_for_ever() {
        let mut owners = Owners::new("/proc");
        for _ in 0..TRIES {
            assert!(owners.is_wanted(u32::MAX));
            owners.update(&HashSet::from([u32::MAX]));
        }
        assert!(!owners.is_wanted(u32::MAX));
    }

    #[test]
    fn links_that_are_no_sockets_are_none() {
        assert_eq!(inode_of("socket:[12]"), Some(12));
        for link in ["pipe:[12]", "/dev/null", "socket:[]", "socket:[99999999999]", "socket:12"] {
            assert_eq!(inode_of(link), None, "{link}");
        }
    }
}
