//! Directories of the content: `/workspace`, owned by the workspace user; a clone grows in a hidden directory beside its
//! place and is renamed when it is complete. So what has the right name is whole, and after a crash the half one is thrown
//! away. Nothing of ours is ever kept inside the user's tree.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::error::ContentError;
use super::git::{Call, Git};
use crate::process::User;

/// Where one repository goes.
#[derive(Debug, Clone)]
pub struct Place {
    parent: PathBuf,
    name: String,
}

/// What is in that place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an empty directory.
    Free,
    /// A clone that was completed.
    Clone,
    /// Something else.
    Other,
}

impl Place {
    /// `directory` below `root`; one plain name.
    pub fn new(root: &Path, directory: &str) -> Result<Self, ContentError> {
        let name = directory.trim();
        let sound = |c: char| !c.is_control() && c != '/';
        if name.is_empty() || name.len() > 200 || name.starts_with(['.', '-']) || !name.chars().all(sound) {
            return Err(ContentError::Name { what: "the directory", name: directory.chars().take(200).collect() });
        }
        Ok(Self { parent: root.to_owned(), name: name.to_owned() })
    }

    /// Where it is in the end.
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// Where it grows.
    pub fn incoming(&self) -> PathBuf {
        self.parent.join(format!(".{}.incoming", self.name))
    }

    /// What is there now. A symbolic link is not followed: it is "other".
    pub fn look(&self) -> Found {
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Err(_) => Found::Free,
            Ok(metadata) if !metadata.is_dir() => Found::Other,
            Ok(_) if is_real(&path.join(".git")) => Found::Clone,
            Ok(_) if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none()) => Found::Free,
            Ok(_) => Found::Other,
        }
    }

    /// Makes the parent and an empty directory to grow in, both the user's; throws away what a crash left.
    pub fn prepare(&self, user: &User) -> Result<PathBuf, ContentError> {
        own_directory(&self.parent, user)?;
        let incoming = self.incoming();
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file("remove", &incoming, error)),
            _ => own_directory(&incoming, user)?,
        }
        Ok(incoming)
    }

    /// Gives the complete clone its name.
    pub fn publish(&self) -> Result<(), ContentError> {
        fs::rename(self.incoming(), self.path()).map_err(|error| file("rename to", &self.path(), error))
    }

    /// Throws away a clone that failed.
    pub fn discard(&self) {
        if let Err(error) = fs::remove_dir_all(self.incoming())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a clone that failed cannot be removed");
        }
    }
}

/// Makes a directory that belongs to the user. One that is there already is only given to them if nobody has it yet (root
/// made it); its contents are left alone.
pub fn own_directory(path: &Path, user: &User) -> Result<(), ContentError> {
    if !path.exists() {
        fs::create_dir_all(path).map_err(|error| file("create", path, error))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| file("set the mode of", path, error))?;
    }
    let owner = fs::symlink_metadata(path).map_err(|error| file("look at", path, error))?.uid();
    if owner != user.uid && (owner == 0 || owner == nix::unistd::geteuid().as_raw()) {
        std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)).map_err(|error| file("hand over", path, error))?;
    }
    Ok(())
}

/// The commit and the branch that a worktree is on now; empty where there is none.
pub async fn state(git: &Git<'_>, directory: &Path) -> (String, String) {
    let ask = |args: [&'static str; 3]| async move {
        let call = Call::new(args[0], directory).args(args[1..].iter().copied());
        git.run(call).await.map(|output| output.line()).unwrap_or_default()
    };
    tokio::join!(ask(["rev-parse", "--verify", "HEAD"]), ask(["symbolic-ref", "--short", "HEAD"]))
}

fn is_real(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_symlink())
}

fn file(step: &'static str, path: &Path, source: io::Error) -> ContentError {
    ContentError::File { step, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> User {
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        User { name: "me".into(), uid, gid, groups: vec![], home: "/".into(), shell: "/bin/sh".into() }
    }

    #[test]
    fn what_has_the_name_is_whole_and_what_a_crash_left_is_thrown_away() {
        let root = tempfile::tempdir().expect("directory");
        let place = Place::new(&root.path().join("workspace"), "app").expect("name");
        assert_eq!(place.look(), Found::Free);
        let incoming = place.prepare(&me()).expect("prepare");
        fs::write(incoming.join("half"), "x").expect("write");
        assert_eq!(place.look(), Found::Free, "a half clone is not there");
        let incoming = place.prepare(&me()).expect("again");
        assert!(!incoming.join("half").exists());
        fs::create_dir(incoming.join(".git")).expect("mkdir");
        place.publish().expect("publish");
        assert_eq!(place.look(), Found::Clone);
        assert!(!incoming.exists());
    }

    #[test]
    fn a_foreign_directory_and_a_link_are_left_alone() {
        let root = tempfile::tempdir().expect("directory");
        let place = Place::new(root.path(), "app").expect("name");
        std::os::unix::fs::symlink("/etc", root.path().join("app")).expect("link");
        assert_eq!(place.look(), Found::Other);
        fs::remove_file(root.path().join("app")).expect("remove");
        fs::create_dir(root.path().join("app")).expect("mkdir");
        fs::write(root.path().join("app/mine"), "x").expect("write");
        assert_eq!(place.look(), Found::Other);
    }

    #[test]
    fn a_directory_is_one_plain_name() {
        for name in ["", ".", "..", ".git", "a/b", "/etc", "-x", "a\nb"] {
            assert!(Place::new(Path::new("/workspace"), name).is_err(), "{name:?}");
        }
    }
}
