//! Reads files of one commit: it is fetched alone, without blobs where the remote can leave them out, into a bare
//! repository that nobody checks out; then each file is asked for by name.

use std::path::Path;

use api::v1::ConfigFile;

use super::refs::Picked;
use crate::content::bundle::Bundle;
use crate::content::error::{ContentError, Fault};
use crate::content::git::{Call, Git};
use crate::content::remote::Remote;

/// The most that is read of one file, in bytes.
const FILE_MAX: usize = 256 << 10;
/// The most that is asked for.
const FILES_MAX: usize = 32;

/// How to look.
pub struct Look<'a> {
    /// Git for the source.
    pub git: &'a Git<'a>,
    /// A directory of the workspace user.
    pub directory: &'a Path,
    /// Where to fetch from.
    pub remote: Option<&'a Remote>,
    /// Or this.
    pub bundle: Option<&'a Bundle>,
}

/// What was seen.
#[derive(Debug)]
pub struct Found {
    /// Files that exist, in the order they were asked for.
    pub files: Vec<ConfigFile>,
    /// The remote can leave blobs out.
    pub partial: bool,
    /// Full id of the commit (of what a tag names).
    pub commit: String,
    /// Bytes received.
    pub bytes: u64,
}

impl Look<'_> {
    /// Looks at the commit of `picked`.
    pub async fn at(&self, picked: &Picked, paths: &[String]) -> Result<Found, ContentError> {
        self.git.run(self.call("init").args(["--quiet", "--bare", "."])).await?;
        let (partial, bytes) = self.fetch(picked).await?;
        let peeled = format!("{}^{{commit}}", picked.commit);
        let verified = self.call("rev-parse").args(["--verify", "--quiet", &peeled]).about(&picked.commit);
        let commit = self.git.run(verified).await.map_err(|_| self.no_commit(picked))?.line();
        let mut files = Vec::new();
        for path in paths.iter().filter(|path| is_plain(path)).take(FILES_MAX) {
            files.extend(self.read(&commit, path).await);
        }
        Ok(Found { files, partial, commit, bytes })
    }

    async fn fetch(&self, picked: &Picked) -> Result<(bool, u64), ContentError> {
        if let Some(bundle) = self.bundle {
            let fetch = self.call("fetch").args(["--progress", "--no-tags", "--", &bundle.path(), "+refs/*:refs/source/*"]);
            let bytes = self.git.run(fetch.about("the bundle").files()).await?.progress.bytes;
            // A bundle of HEAD alone has no refs/*.
            let head = self.call("fetch").args(["--no-tags", "--", &bundle.path(), "+HEAD:refs/source/head"]).files();
            let _ = self.git.run(head).await;
            return Ok((false, bytes));
        }
        let Some(remote) = self.remote else { return Ok((false, 0)) };
        for (key, value) in [("remote.origin.url", remote.url()), ("remote.origin.tagOpt", "--no-tags")] {
            self.git.run(self.call("config").args([key, value])).await?;
        }
        match self.fetch_one(picked, true).await {
            Ok(bytes) => Ok((self.filters().await, bytes)),
            Err(error) if error_may_be_of_the_filter(&error) => Ok((false, self.fetch_one(picked, false).await?)),
            Err(error) => Err(error),
        }
    }

    /// By name where there is one: not every host gives a commit out by its id.
    async fn fetch_one(&self, picked: &Picked, filter: bool) -> Result<u64, ContentError> {
        let wanted = if picked.full.is_empty() { &picked.commit } else { &picked.full };
        let fetch = self.call("fetch").args(["--progress", "--depth=1", "--no-recurse-submodules"]);
        let fetch = fetch.args(filter.then_some("--filter=blob:none")).args(["--", "origin"]);
        let fetch = fetch.args([format!("+{wanted}:refs/source/head")]).about(wanted);
        match self.git.run(fetch).await {
            Ok(output) => Ok(output.progress.bytes),
            Err(ContentError::Git { fault: Fault::CommitNotFound, .. }) => Err(self.no_commit(picked)),
            Err(error) => Err(error),
        }
    }

    /// A remote that does not filter sends everything and says so; then no object is missing.
    async fn filters(&self) -> bool {
        let call = self.call("rev-list").args(["--objects", "--quiet", "--missing=print", "refs/source/head"]);
        self.git.run(call).await.is_ok_and(|output| !output.stdout.is_empty())
    }

    /// The size is asked for first, so that no large blob is read.
    async fn read(&self, commit: &str, path: &str) -> Option<ConfigFile> {
        let object = format!("{commit}:{path}");
        let kind = self.git.run(self.call("cat-file").args(["-t", &object])).await.ok()?.line();
        if kind != "blob" {
            return None;
        }
        let size: usize = self.git.run(self.call("cat-file").args(["-s", &object])).await.ok()?.line().parse().ok()?;
        if size > FILE_MAX {
            return Some(ConfigFile { path: path.to_owned(), data: Default::default(), truncated: true });
        }
        let data = self.git.run(self.call("cat-file").args(["blob", &object])).await.ok()?.stdout;
        Some(ConfigFile { path: path.to_owned(), data: data.into(), truncated: false })
    }

    fn no_commit(&self, picked: &Picked) -> ContentError {
        self.git.failed(&self.call("fetch").about(&picked.commit), Fault::CommitNotFound, "")
    }

    fn call(&self, step: &'static str) -> Call<'_> {
        Call::new(step, self.directory)
    }
}

/// A path below the repository's root, without words that Git would read otherwise.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && path.len() < 1024 && !path.starts_with(['/', '-', ':']) && !path.chars().any(char::is_control)
}

fn error_may_be_of_the_filter(error: &ContentError) -> bool {
    matches!(error, ContentError::Git { fault: Fault::Other | Fault::OldGit | Fault::HostUnreachable | Fault::Malformed, .. })
}
