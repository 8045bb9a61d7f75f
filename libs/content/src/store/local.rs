//! A directory as a store. An object is written beside, synced, and linked to its name, which never replaces anything;
//! then the directory is synced. Heads are replaced under a lock, by rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::{Listed, Store, VERSION};
use crate::error::{ContentError, FormatError};

/// Where objects are written before they have their name.
const UNFINISHED: &str = "tmp";

/// A store in a local directory.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    written: AtomicU64,
}

impl LocalStore {
    /// Opens the store in `root`; `None` when there is none.
    pub fn open(root: &Path) -> Result<Option<Self>, ContentError> {
        let store = Self { root: root.to_owned(), written: AtomicU64::new(0) };
        match store.get(VERSION.0)? {
            None => Ok(None),
            Some(bytes) if bytes == VERSION.1 => Ok(Some(store)),
            Some(_) => {
                let why = "it is not that of a store of this release";
                Err(ContentError::format(VERSION.0)(FormatError::Malformed { object: "VERSION", why }))
            }
        }
    }

    /// Makes a store in `root`, which must be absent or empty, or be left over from a making that was interrupted.
    pub fn create(root: &Path) -> Result<Self, ContentError> {
        fs::create_dir_all(root).map_err(ContentError::file("make the directory", root))?;
        let foreign = fs::read_dir(root).map_err(ContentError::file("list", root))?;
        if foreign.flatten().any(|entry| entry.file_name() != UNFINISHED) {
            return Err(ContentError::Exists { path: root.to_owned() });
        }
        let store = Self { root: root.to_owned(), written: AtomicU64::new(0) };
        store.put_if_absent(VERSION.0, VERSION.1)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).map_err(ContentError::store("make", VERSION.0))?;
        }
        Ok(store)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Writes and syncs a file without a name that anybody looks for.
    fn write_unfinished(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let dir = self.root.join(UNFINISHED);
        fs::create_dir_all(&dir)?;
        // The address is different in each open store of a process; `create_new` makes a clash an error all the same.
        let path = dir.join(format!("{}-{:x}-{number}", std::process::id(), std::ptr::from_ref(self).addr()));
        // A process of the same id that was killed may have left it; nobody else uses this name.
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let done = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = done {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }

    fn publish(&self, key: &str, bytes: &[u8], flags: RenameFlags) -> io::Result<()> {
        let path = self.path(key);
        let dir = path.parent().unwrap_or(&self.root);
        make_dirs(&self.root, dir)?;
        let unfinished = self.write_unfinished(bytes)?;
        if let Err(error) = renameat_with(CWD, &unfinished, CWD, &path, flags) {
            let _ = fs::remove_file(&unfinished);
            return Err(error.into());
        }
        sync_dir(dir)
    }

    fn locked(&self) -> io::Result<File> {
        let dir = self.root.join("locks");
        make_dirs(&self.root, &dir)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("heads"))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }
}

impl Store for LocalStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ContentError> {
        match fs::read(self.path(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(ContentError::store("read", key)),
        }
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, ContentError> {
        let read = || {
            let file = File::open(self.path(key))?;
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok::<_, io::Error>(bytes)
        };
        read().map_err(ContentError::store("read a part of", key))
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<bool, ContentError> {
        if self.path(key).exists() {
            // Who wrote it may have died before its name was durable.
            sync_dir(self.path(key).parent().unwrap_or(&self.root)).map_err(ContentError::store("sync", key))?;
            return Ok(false);
        }
        match self.publish(key, bytes, RenameFlags::NOREPLACE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            done => done.map(|()| true).map_err(ContentError::store("write", key)),
        }
    }

    fn compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, ContentError> {
        let lock = self.locked().map_err(ContentError::store("lock", key))?;
        if self.get(key)?.as_deref() != expected {
            return Ok(false);
        }
        self.publish(key, new, RenameFlags::empty()).map_err(ContentError::store("write", key))?;
        drop(lock);
        Ok(true)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, ContentError> {
        let mut found = Vec::new();
        list_below(&self.path(prefix), prefix, &mut found).map_err(ContentError::store("list", prefix))?;
        found.sort();
        Ok(found)
    }

    fn delete(&self, key: &str) -> Result<(), ContentError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.and_then(|()| sync_dir(path.parent().unwrap_or(&self.root))).map_err(ContentError::store("delete", key)),
        }
    }
}

/// Makes directories below `root`, each durable in its parent.
fn make_dirs(root: &Path, dir: &Path) -> io::Result<()> {
    if dir == root || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(root);
    make_dirs(root, parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(parent),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn list_below(dir: &Path, prefix: &str, found: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = format!("{prefix}/{name}");
        if entry.file_type()?.is_dir() {
            list_below(&entry.path(), &key, found)?;
        } else {
            found.push(Listed { key, size: entry.metadata()?.len() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_directory_is_a_store() {
        let dir = tempfile::tempdir().expect("temp dir");
        super::super::suite::check(&|| {
            let root = dir.path().join("store");
            Box::new(LocalStore::open(&root).expect("open").unwrap_or_else(|| LocalStore::create(&root).expect("create")))
        });
    }

    #[test]
    fn a_directory_with_other_files_does_not_become_a_store() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("thesis.tex"), "text").expect("write");
        assert!(LocalStore::open(dir.path()).expect("open").is_none());
        LocalStore::create(dir.path()).expect_err("taken");
    }
}
