//! Control groups of instances: `/PARENT/ID` in every hierarchy that is mounted, whether v1, v2 or both (hybrid).
//! Limits are written before the first process joins; what was used is read; processes are found and killed here, also
//! after a restart of the daemon, because the group's name is the instance's id.

mod hierarchy;
mod limits;
mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use hierarchy::Hierarchy;

/// How long killed processes get to be gone (a process in an uninterruptible call may take its time).
const DEATH_DEADLINE: Duration = Duration::from_secs(20);
/// How often a group is made again whose parent was taken away meanwhile.
const ATTEMPTS: usize = 10;
/// Between two looks at a group that is not empty yet.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Where the groups of one daemon are.
#[derive(Debug, Clone)]
pub struct Cgroups {
    parent: PathBuf,
    hierarchies: Vec<Hierarchy>,
}

/// The groups of one instance.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
    hierarchies: Vec<Hierarchy>,
}

impl Cgroups {
    /// Finds what is mounted on this machine. `parent` is a name of one or more parts: "crannog/1f3a…".
    pub fn discover(parent: &str) -> io::Result<Self> {
        Ok(Self { parent: Path::new("/").join(parent), hierarchies: hierarchy::mounted()? })
    }

    /// The groups of an instance, existing or not.
    pub fn of(&self, id: &str) -> Cgroup {
        Cgroup { path: self.parent.join(id), hierarchies: self.hierarchies.clone() }
    }

    /// The groups at an OCI `cgroupsPath`.
    pub fn at(path: &Path) -> io::Result<Cgroup> {
        Ok(Cgroup { path: path.to_owned(), hierarchies: hierarchy::mounted()? })
    }

    /// Whether this machine has nothing but v2, which can be shown inside.
    pub fn is_unified(&self) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.unified)
    }

    /// Removes the parent, and those above it, where nothing is left in them.
    pub fn remove_parent_if_empty(&self) {
        for hierarchy in &self.hierarchies {
            for path in self.parent.ancestors().filter(|path| path.parent().is_some()) {
                // Not empty, or gone already: both are fine.
                let _ = fs::remove_dir(hierarchy.directory(path));
            }
        }
    }
}

impl Cgroup {
    /// The path below each hierarchy, as an OCI `cgroupsPath`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the groups and writes their limits. Bears repeating.
    pub fn create(&self, wanted: &api::v1::Resources) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            // Another server on this machine may take an empty parent away just now.
            let made = (0..ATTEMPTS).map(|_| hierarchy.create(&self.path)).find(|made| !made.as_ref().is_err_and(is_gone));
            made.unwrap_or_else(|| hierarchy.create(&self.path))?;
            limits::write(hierarchy, &hierarchy.directory(&self.path), wanted)?;
        }
        Ok(())
    }

    /// Moves the calling process into it. Fails where it is gone, as it is when somebody has removed the instance.
    pub fn join(&self) -> io::Result<()> {
        self.directories().try_for_each(|directory| {
            let mut processes = fs::OpenOptions::new().write(true).open(directory.join("cgroup.procs"))?;
            io::Write::write_all(&mut processes, b"0")
        })
    }

    /// Whether it exists anywhere.
    pub fn exists(&self) -> bool {
        self.directories().any(|directory| directory.exists())
    }

    /// Every process in the group or below it, in any hierarchy.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        for directory in self.directories() {
            collect_processes(&directory, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// PID 1 of the container in this group: the one that is 1 in exactly one PID namespace below ours.
    pub fn init(&self) -> io::Result<Option<i32>> {
        Ok(self.processes()?.into_iter().find(|pid| is_init(*pid)))
    }

    /// Whether a process is in the group; false when it is gone.
    pub fn contains(&self, pid: i32) -> bool {
        self.processes().is_ok_and(|pids| pids.contains(&pid))
    }

    /// Kills everything in it and waits until it is empty. Bears repeating; fine where the group does not exist.
    pub fn kill(&self) -> io::Result<()> {
        let deadline = Instant::now() + DEATH_DEADLINE;
        loop {
            let pids = self.processes()?;
            if pids.is_empty() {
                return Ok(());
            }
            self.kill_all_at_once();
            for pid in pids {
                match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "processes do not end after SIGKILL"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Removes the groups, with those made below them. Bears repeating. They must be empty.
    pub fn remove(&self) -> io::Result<()> {
        for directory in self.directories() {
            remove_tree(&directory)?;
        }
        Ok(())
    }

    /// What it uses; zeroes for what no hierarchy counts.
    pub fn usage(&self) -> api::v1::Usage {
        usage::read(&self.hierarchies, &self.path)
    }

    /// `cgroup.kill` (v2, Linux 5.14) ends a fork bomb in one go; elsewhere the loop in [`Self::kill`] does.
    fn kill_all_at_once(&self) {
        for directory in self.directories() {
            let _ = fs::OpenOptions::new()
                .write(true)
                .open(directory.join("cgroup.kill"))
                .and_then(|mut file| io::Write::write_all(&mut file, b"1"));
        }
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.iter().map(|hierarchy| hierarchy.directory(&self.path))
    }
}

fn collect_processes(directory: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
    match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        // ENOTSUP: a threaded v2 group, whose processes its parent lists.
        Err(error) if is_gone(&error) || error.raw_os_error() == Some(Errno::ENOTSUP as i32) => {}
        Err(error) => return Err(error),
    }
    for child in directories(directory)? {
        collect_processes(&directory.join(child), pids)?;
    }
    Ok(())
}

/// Names of the directories in a directory; none where it does not exist.
fn directories(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

/// Depth first; the last process of a group may take a moment to be gone for the kernel (EBUSY).
fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in directories(directory)? {
        remove_tree(&directory.join(child))?;
    }
    let deadline = Instant::now() + DEATH_DEADLINE;
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) && Instant::now() < deadline => {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(code) if code == Errno::ENOENT as i32 || code == Errno::ENODEV as i32)
}

/// `NSpid` of /proc/PID/status lists the process's number in each namespace, outermost first.
fn is_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    numbers.len() == 2 && numbers[1] == "1"
}
