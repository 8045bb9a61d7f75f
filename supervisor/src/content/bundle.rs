//! The uploaded bundle. The node mounts it where only root can read; Git runs as the workspace user, so a copy of the
//! user's stands beside the growing clone until it is read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::{ContentError, Fault};
use super::git::{Call, Git};
use crate::process::User;

/// A bundle that the workspace user can read. A copy is removed when this is dropped.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    is_copy: bool,
}

impl Bundle {
    /// Makes `source` readable: as it is where everybody may read it, else by a copy at `copy`.
    pub fn open(source: &Path, copy: &Path, user: &User) -> Result<Self, ContentError> {
        if everybody_may_read(source) {
            return Ok(Self { path: source.to_owned(), is_copy: false });
        }
        let failed = |step| move |error| ContentError::File { step, path: source.to_owned(), source: error };
        let _ = fs::remove_file(copy);
        let bundle = Self { path: copy.to_owned(), is_copy: true };
        fs::copy(source, copy).map_err(failed("copy the bundle"))?;
        fs::set_permissions(copy, fs::Permissions::from_mode(0o400)).map_err(failed("set the mode of the copy of"))?;
        std::os::unix::fs::chown(copy, Some(user.uid), Some(user.gid)).map_err(failed("hand over the copy of"))?;
        Ok(bundle)
    }

    /// For Git's command line: absolute, so no option.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Names of the refs in it, "HEAD" among them.
    pub async fn heads(&self, git: &Git<'_>, directory: &Path) -> Result<Vec<String>, ContentError> {
        Ok(self.list(git, directory).await?.into_iter().map(|(_, name)| name).collect())
    }

    /// Refs in it with their objects.
    pub async fn list(&self, git: &Git<'_>, directory: &Path) -> Result<Vec<(String, String)>, ContentError> {
        let call = Call::new("bundle", directory).args(["list-heads".to_owned(), self.path()]).about("the bundle").files();
        let output = git.run(call).await.map_err(|error| match error {
            ContentError::Git { fault: Fault::Other, step, subject, detail } => {
                ContentError::Git { fault: Fault::Bundle, step, subject, detail }
            }
            error => error,
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|l| l.split_once(' ')).map(|(id, name)| (id.to_owned(), name.to_owned())).collect())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if self.is_copy {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn everybody_may_read(path: &Path) -> bool {
    let allows = |path: &Path, bit| fs::metadata(path).is_ok_and(|m| m.permissions().mode() & bit != 0);
    allows(path, 0o004) && path.ancestors().skip(1).all(|directory| allows(directory, 0o001))
}
