//! Locks between processes: `flock` on a file that its holder may rename or remove, so a lock counts only when the
//! path still leads to the file that was locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How often a lock that somebody holds is tried again. Waiting in the kernel could not be cancelled.
const POLL: Duration = Duration::from_millis(50);

/// Opens (or makes) the file and locks it, waiting for whoever holds it. The lock lasts as long as the file is open.
pub async fn acquire(path: &Path) -> io::Result<File> {
    loop {
        match attempt(path)? {
            Some(file) => return Ok(file),
            None => tokio::time::sleep(POLL).await,
        }
    }
}

/// As [`acquire`], without waiting: `None` when it is held.
pub fn attempt(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) if is_still(path, &file)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn is_still(path: &Path, file: &File) -> io::Result<bool> {
    let own = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_once_and_its_file_may_go() {
        let directory = tempfile::tempdir().expect("temp dir");
        let path = directory.path().join("x.lock");
        let held = acquire(&path).await.expect("lock");
        assert!(attempt(&path).expect("try").is_none());
        std::fs::remove_file(&path).expect("remove");
        let second = attempt(&path).expect("try").expect("another file");
        drop(held);
        assert!(attempt(&path).expect("try").is_none());
        drop(second);
        assert!(attempt(&path).expect("try").is_some());
    }
}
