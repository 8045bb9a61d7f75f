//! Where a restore is made: a directory beside its place, which only its owner can look into until it is renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};

use crate::error::ContentError;

/// An unfinished restore.
pub(super) struct Place {
    dest: PathBuf,
    partial: PathBuf,
    parent: PathBuf,
    /// The root of the restored tree.
    pub root: OwnedFd,
}

impl Place {
    /// Makes the directory beside `dest`.
    pub fn make(dest: &Path) -> Result<Self, ContentError> {
        let why = "the last part of the path must be the name of a new directory";
        let invalid = || ContentError::Invalid { what: "destination", value: dest.display().to_string(), why };
        let name = dest.file_name().ok_or_else(invalid)?;
        if dest.symlink_metadata().is_ok() {
            return Err(ContentError::Exists { path: dest.to_owned() });
        }
        let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let mut partial_name = OsString::from(".");
        partial_name.push(name);
        partial_name.push(format!(".{}.partial", std::process::id()));
        let partial = parent.join(partial_name);
        fs::DirBuilder::new().mode(0o700).create(&partial).map_err(ContentError::file("make the directory", &partial))?;
        let root = sys::beneath::open_own_dir(&partial).map_err(ContentError::file("open the directory", &partial))?;
        Ok(Self { dest: dest.to_owned(), partial, parent, root })
    }

    /// The path on the node of a path in the tree, for messages.
    pub fn path(&self, path: &[u8]) -> PathBuf {
        self.dest.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path))
    }

    /// Makes everything durable and gives the tree its name, which must be free.
    pub fn publish(&self) -> Result<(), ContentError> {
        syncfs(&self.root).map_err(ContentError::file("sync", &self.partial))?;
        match renameat_with(CWD, &self.partial, CWD, &self.dest, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => return Err(ContentError::Exists { path: self.dest.clone() }),
            done => done.map_err(ContentError::file("rename to", &self.dest))?,
        }
        let synced = File::open(&self.parent).and_then(|dir| dir.sync_all());
        synced.map_err(ContentError::file("sync", &self.parent))
    }

    /// Takes away what was made. If that fails it stays, under a name that says what it is.
    pub fn discard(&self) {
        if let (Ok(parent), Some(name)) = (sys::beneath::open_own_dir(&self.parent), self.partial.file_name()) {
            let _ = sys::beneath::remove_tree(&parent, name);
        }
    }
}
