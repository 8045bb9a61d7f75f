//! A daemon's data directory: private, of a known format, and used by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use domain::class::{Class, Classify};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A step on the way failed.
    #[error("{step} {path}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the data directory {path} is in use by process {pid}")]
    InUse {
        /// Which directory.
        path: PathBuf,
        /// Who: the other's process id, or "unknown".
        pid: String,
    },
    /// A newer version of the program wrote it.
    #[error("the data directory {path} has format {found}, and this version knows {known}")]
    Newer {
        /// Which directory.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The file VERSION does not hold a number.
    #[error("{path} does not hold a format number, but {found:?}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
}

impl Classify for DataDirError {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Class::PermissionDenied,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Class::ResourceExhausted,
                _ => Class::FailedPrecondition,
            },
            Self::InUse { .. } | Self::Newer { .. } => Class::FailedPrecondition,
            Self::Unreadable { .. } => Class::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "DataDirectoryUnusable",
            Self::InUse { .. } => "DataDirectoryInUse",
            Self::Newer { .. } => "DataDirectoryNewer",
            Self::Unreadable { .. } => "DataDirectoryUnreadable",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { path, .. } => format!("check who owns {} and whether its disk is full", path.display()),
            Self::InUse { pid, .. } => {
                format!("use the server that runs (process {pid}), or give this one another `--data`")
            }
            Self::Newer { .. } => "start the newer version again, or give this one another `--data`".into(),
            Self::Unreadable { path, .. } => {
                format!("restore {} from a backup; the rest was not touched", path.display())
            }
        })
    }
}

/// An open data directory; the lock goes with the value, and with the process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    found: u32,
    _lock: File,
}

impl DataDir {
    /// Opens or makes the directory (mode 0700), takes its lock, and checks its format. An older format is opened as it
    /// is: who asked migrates it and calls [`DataDir::migrated`].
    pub fn open(path: &Path, format: u32) -> Result<Self, DataDirError> {
        let failed = |step, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { step, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create the data directory", path))?;
        let path = path.canonicalize().map_err(failed("find the data directory", path))?;
        let lock = take_lock(&path)?;
        let version = path.join("VERSION");
        let found = match std::fs::read_to_string(&version) {
            Ok(text) => text.trim().parse().map_err(|_| DataDirError::Unreadable { path: version.clone(), found: text })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_private(&version, format!("{format}\n").as_bytes()).map_err(failed("write", &version))?;
                format
            }
            Err(source) => return Err(failed("read", &version)(source)),
        };
        if found > format {
            return Err(DataDirError::Newer { path, found, known: format });
        }
        Ok(Self { path, found, _lock: lock })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format that was found.
    pub fn format(&self) -> u32 {
        self.found
    }

    /// Notes that all has been brought to a newer format. Call it when that is durable.
    pub fn migrated(&mut self, format: u32) -> Result<(), DataDirError> {
        let path = self.path.join("VERSION");
        write_private(&path, format!("{format}\n").as_bytes()).map_err(|source| DataDirError::Io {
            step: "write",
            path,
            source,
        })?;
        self.found = format;
        Ok(())
    }
}

fn take_lock(directory: &Path) -> Result<File, DataDirError> {
    let path = directory.join("lock");
    let io = |step| {
        let path = path.clone();
        move |source| DataDirError::Io { step, path, source }
    };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io("open"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty()).unwrap_or_else(|| "unknown".into());
            return Err(DataDirError::InUse { path: directory.into(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(io("write"))?;
    Ok(file)
}

/// Writes a file that only its owner may read (0600), whole or not at all: a new file, synced, renamed into place.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let fresh = directory.join(format!(".{name}.new"));
    let _ = std::fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_is_private_and_knows_its_format() {
        let temporary = tempfile::tempdir().expect("directory");
        let path = temporary.path().join("a/data");
        let open = DataDir::open(&path, 3).expect("open");
        assert_eq!((mode(&path), open.format()), (0o700, 3));
        assert_eq!(std::fs::read_to_string(path.join("VERSION")).expect("VERSION"), "3\n");
    }

    #[test]
    fn a_second_server_is_refused_and_the_first_one_named() {
        let temporary = tempfile::tempdir().expect("directory");
        let first = DataDir::open(temporary.path(), 1).expect("open");
        let error = DataDir::open(temporary.path(), 1).expect_err("in use");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(temporary.path(), 1).expect("free again");
    }

    #[test]
    fn data_of_a_newer_version_is_refused_and_left_alone() {
        let temporary = tempfile::tempdir().expect("directory");
        std::fs::write(temporary.path().join("VERSION"), "9\n").expect("write");
        let error = DataDir::open(temporary.path(), 2).expect_err("newer");
        assert_eq!((error.reason(), error.class()), ("DataDirectoryNewer", Class::FailedPrecondition));
        assert_eq!(std::fs::read_to_string(temporary.path().join("VERSION")).expect("VERSION"), "9\n");
    }

    #[test]
    fn an_older_format_stays_until_it_is_migrated() {
        let temporary = tempfile::tempdir().expect("directory");
        std::fs::write(temporary.path().join("VERSION"), "1\n").expect("write");
        let mut open = DataDir::open(temporary.path(), 2).expect("older is fine");
        assert_eq!(open.format(), 1);
        open.migrated(2).expect("migrated");
        drop(open);
        assert_eq!(DataDir::open(temporary.path(), 2).expect("open").format(), 2);
    }
}
