//! What a task's shell says about itself: lines "begin STAGE", "end STAGE CODE", "shell" in a FIFO. The user's own text
//! runs in that shell, so a line may be a lie; it can only be about its own task, and it is bounded.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::process::User;

/// The longest line that is read.
const LINE_MAX: usize = 128;
/// How many lines are read of a task that has ended; an honest one leaves a handful.
const REST_MAX: usize = 64;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A stage began.
    Begin(&'static str),
    /// A stage ended with this exit status.
    End(&'static str, i32),
    /// All stages ended; the user's shell is there.
    Shell,
}

/// The reading end.
pub struct Reports {
    pipe: pipe::Receiver,
    line: Vec<u8>,
    pending: Vec<u8>,
}

impl Reports {
    /// Makes the FIFO, writable for the user. We hold it open for writing too: so it never ends by itself.
    pub fn create(path: &Path, user: &User) -> io::Result<Self> {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?;
        chown(path, Some(user.uid), Some(user.gid))?;
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path)?;
        Ok(Self { pipe, line: Vec::new(), pending: Vec::new() })
    }

    /// The next line that means something. Never ends; ask for it beside the end of the terminal.
    pub async fn next(&mut self) -> io::Result<Report> {
        loop {
            if let Some(report) = self.take() {
                return Ok(report);
            }
            let mut buffer = [0; 512];
            let length = self.pipe.read(&mut buffer).await?;
            self.pending = buffer[..length].to_vec();
        }
    }

    /// What is there already, when the terminal has ended. Asks the kernel itself: the runtime may not have heard yet that
    /// there is something to read.
    pub fn rest(&mut self) -> Vec<Report> {
        let mut reports: Vec<Report> = std::iter::from_fn(|| self.take()).collect();
        let mut buffer = [0; 512];
        while reports.len() < REST_MAX
            && let Ok(length @ 1..) = rustix::io::read(&self.pipe, &mut buffer)
        {
            self.pending = buffer[..length].to_vec();
            reports.extend(std::iter::from_fn(|| self.take()));
        }
        reports
    }

    fn take(&mut self) -> Option<Report> {
        while !self.pending.is_empty() {
            let end = self.pending.iter().position(|b| *b == b'\n');
            let rest = self.pending.split_off(end.map_or(self.pending.len(), |at| at + 1));
            let part = std::mem::replace(&mut self.pending, rest);
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend(part.iter().take_while(|b| **b != b'\n').take(room));
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                if let Some(report) = parse(&String::from_utf8_lossy(&line)) {
                    return Some(report);
                }
            }
        }
        None
    }
}

fn parse(line: &str) -> Option<Report> {
    let mut words = line.split(' ');
    let report = match (words.next()?, words.next(), words.next()) {
        ("begin", Some(name), None) => Report::Begin(stage(name)?),
        ("end", Some(name), Some(code)) => Report::End(stage(name)?, code.parse().ok().filter(|c| (0..=255).contains(c))?),
        ("shell", None, None) => Report::Shell,
        _ => return None,
    };
    words.next().is_none().then_some(report)
}

fn stage(name: &str) -> Option<&'static str> {
    ["before", "init", "prebuild", "command"].into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> User {
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        User { name: "me".into(), uid, gid, groups: vec![], home: "/".into(), shell: "/bin/sh".into() }
    }

    #[tokio::test]
    async fn lines_are_read_in_pieces_and_rubbish_is_passed_over() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("report");
        let mut reports = Reports::create(&path, &me()).expect("fifo");
        let long = "x".repeat(3000);
        fs::write(&path, format!("begin init\nrubbish\n{long}\nend init 256\nend init 3\nend evil 0\nsh")).expect("write");
        assert_eq!(reports.next().await.expect("line"), Report::Begin("init"));
        assert_eq!(reports.next().await.expect("line"), Report::End("init", 3));
        fs::write(&path, "ell\n").expect("write");
        assert_eq!(reports.next().await.expect("line"), Report::Shell);
        assert_eq!(reports.rest(), []);
    }

    #[tokio::test]
    async fn what_a_short_task_said_is_not_lost() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("report");
        let mut reports = Reports::create(&path, &me()).expect("fifo");
        fs::write(&path, "begin command\nend command 9\n").expect("write");
        // The runtime has had no turn since.
        assert_eq!(reports.rest(), [Report::Begin("command"), Report::End("command", 9)]);
    }
}
