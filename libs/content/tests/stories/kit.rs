//! What the stories need: hostile trees made from a seed, and an own look at a tree to compare by.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use content::capture::IdRange;
use content::repository::Repository;
use content::restore::{Restore, Restored, restore};
use content::save::{Receipt, Save, save};
use content::snapshot::Kind;
use content::store::Store;
use content::{ContentError, Digest};

/// A step in making a tree; numbers choose among what is there.
#[derive(Debug, Clone)]
pub enum Step {
    Dir(u8, Vec<u8>),
    File(u8, Vec<u8>, usize),
    Sparse(u8, Vec<u8>, u32),
    Link(u8, Vec<u8>, u8),
    Symlink(u8, Vec<u8>, Vec<u8>),
    Fifo(u8, Vec<u8>),
    Mode(u8, u32),
    Time(u8, i32, u32),
    Xattr(u8, Vec<u8>),
}

/// Bytes without pattern, the same for the same seed.
pub fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Does the steps in an empty directory. Names that are taken are passed over.
pub fn build(root: &Path, steps: &[Step]) {
    let (mut dirs, mut files) = (vec![root.to_owned()], Vec::<PathBuf>::new());
    let at = |dirs: &[PathBuf], n: u8, name: &[u8]| dirs[usize::from(n) % dirs.len()].join(OsStr::from_bytes(name));
    for step in steps {
        match step {
            Step::Dir(n, name) => {
                let path = at(&dirs, *n, name);
                if fs::create_dir(&path).is_ok() {
                    dirs.push(path);
                }
            }
            Step::File(n, name, size) => {
                let path = at(&dirs, *n, name);
                if path.symlink_metadata().is_err() {
                    fs::write(&path, noise(*size, *size)).expect("file");
                    files.push(path);
                }
            }
            Step::Sparse(n, name, hole) => {
                let path = at(&dirs, *n, name);
                if path.symlink_metadata().is_err() {
                    let file = fs::File::create(&path).expect("file");
                    file.write_all_at(b"island", u64::from(*hole)).expect("write");
                    file.set_len(u64::from(*hole) * 2).expect("size");
                    files.push(path);
                }
            }
            Step::Link(n, name, of) if !files.is_empty() => {
                let _ = fs::hard_link(&files[usize::from(*of) % files.len()], at(&dirs, *n, name));
            }
            Step::Symlink(n, name, to) => drop(symlink(OsStr::from_bytes(to), at(&dirs, *n, name))),
            Step::Fifo(n, name) => {
                let mode = rustix::fs::Mode::RUSR;
                let _ = rustix::fs::mkfifoat(rustix::fs::CWD, at(&dirs, *n, name), mode);
            }
            Step::Mode(n, mode) if !files.is_empty() => {
                let mode = fs::Permissions::from_mode(*mode & 0o7777);
                fs::set_permissions(&files[usize::from(*n) % files.len()], mode).expect("mode");
            }
            Step::Time(n, seconds, ns) => {
                let path = files.get(usize::from(*n) % (files.len() + 1)).unwrap_or(&dirs[usize::from(*n) % dirs.len()]);
                let time = rustix::fs::Timespec { tv_sec: (*seconds).into(), tv_nsec: (*ns % 1_000_000_000).into() };
                let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
                rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).expect("time");
            }
            Step::Xattr(n, value) => {
                let path = &dirs[usize::from(*n) % dirs.len()];
                // A file system without them has none to lose.
                let _ = rustix::fs::setxattr(path, "user.test", value, rustix::fs::XattrFlags::empty());
            }
            Step::Link(..) | Step::Mode(..) => {}
        }
    }
}

/// Everything that can be seen of a tree, by other code than the library's.
pub fn look(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let (mut seen, mut left, mut groups) = (BTreeMap::new(), vec![root.to_owned()], HashMap::new());
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().expect("stat");
        let kind = meta.file_type();
        let inside = path.strip_prefix(root).expect("below").as_os_str().as_bytes().to_vec();
        let content = if kind.is_file() {
            let allocated = meta.blocks() * 512 <= meta.size().next_multiple_of(1 << 16);
            groups.entry(meta.ino()).or_insert_with(Vec::new).push(inside.clone());
            format!("{} {} {allocated}", meta.size(), blake3::hash(&fs::read(&path).expect("read")))
        } else if kind.is_symlink() {
            format!("{:?}", fs::read_link(&path).expect("link"))
        } else if kind.is_dir() {
            left.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
            let mut value = [0; 4096];
            format!("{:?}", rustix::fs::getxattr(&path, "user.test", &mut value).map(|length| value[..length].to_vec()))
        } else {
            String::new()
        };
        let attributes = (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
        seen.insert(inside, format!("{attributes:?} {content}"));
    }
    for mut names in groups.into_values() {
        names.sort();
        for name in &names {
            seen.get_mut(name).expect("seen").push_str(&format!(" = {names:?}"));
        }
    }
    seen
}

/// Saves a directory as the head `main`.
pub fn save_dir(store: &Arc<dyn Store>, root: &Path, cache: Option<&Path>) -> Result<Receipt, ContentError> {
    let repository = Repository::open(store.clone())?;
    let save_it = Save {
        root: root.to_owned(),
        ids: IdRange::ALL,
        threads: 2,
        head: Some("main".to_owned()),
        kind: Kind::Exact,
        allow_shrink: false,
        cache: cache.map(Path::to_owned),
        image: None,
    };
    save(&repository, &save_it)
}

/// Restores a whole snapshot.
pub fn restore_to(store: &Arc<dyn Store>, snapshot: Digest, dest: &Path) -> Result<Restored, ContentError> {
    let repository = Repository::open(store.clone())?;
    let how = Restore { dest: dest.to_owned(), paths: Vec::new(), ids: IdRange::ALL, threads: 2 };
    restore(&repository, &repository.snapshot(snapshot)?, &how)
}
