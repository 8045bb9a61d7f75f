//! Looks into a repository before a workspace is made of it: which commit a source means, and its configuration files.
//! Asked of a throw-away instance; nothing of it stays. Path: [`refs`] asks the remote (or the bundle) for its refs and
//! picks the first candidate that exists, [`files`] fetches that one commit without blobs and reads the files.

pub mod files;
pub mod refs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::v1::{ResolveRequest, ResolveResponse, Step};
use domain::class::{Class, Classify};

use self::refs::Refs;
use crate::Context;
use crate::clock::unix_us;
use crate::content::bundle::Bundle;
use crate::content::error::{ContentError, Fault};
use crate::content::git::{Call, Git};
use crate::content::remote::{Remote, is_ref_name};
use crate::content::worktree;

/// The whole of it may take no longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why a source cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Git or a name.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// It took too long.
    #[error("{0} did not answer within 60 seconds")]
    Deadline(String),
    /// Neither a remote nor a bundle is named.
    #[error("the source names neither a remote nor a bundle")]
    NoSource,
}

impl Classify for ResolveError {
    fn class(&self) -> Class {
        match self {
            Self::Content(error) => error.class(),
            Self::Deadline(_) => Class::DeadlineExceeded,
            Self::NoSource => Class::InvalidArgument,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Content(error) => error.reason(),
            Self::Deadline(_) => "GitTimeout",
            Self::NoSource => "SourceMissing",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Content(error) => error.hint(),
            Self::Deadline(_) => Some("check that the host can be reached from this machine, then try again".into()),
            Self::NoSource => Some("name a Git URL, a directory or a bundle".into()),
        }
    }
}

/// Answers a request.
pub async fn resolve(ctx: &Context, request: ResolveRequest) -> Result<ResolveResponse, ResolveError> {
    let remote = match request.remote.as_str() {
        "" => None,
        url => Some(Remote::parse(url).map_err(ContentError::Remote)?),
    };
    for name in request.candidates.iter().chain(request.fetch.iter().map(|r| &r.name)) {
        if !is_ref_name(name) {
            return Err(ContentError::Name { what: "the branch or tag", name: name.chars().take(200).collect() }.into());
        }
    }
    let subject = if request.remote.is_empty() { "the bundle" } else { &request.remote };
    let git = Git::new(ctx, remote.as_ref(), subject);
    let looking = Looking { git: &git, remote: remote.as_ref(), request: &request };
    tokio::time::timeout(DEADLINE, looking.run()).await.unwrap_or_else(|_| Err(ResolveError::Deadline(subject.to_owned())))
}

struct Looking<'a> {
    git: &'a Git<'a>,
    remote: Option<&'a Remote>,
    request: &'a ResolveRequest,
}

impl Looking<'_> {
    async fn run(&self) -> Result<ResolveResponse, ResolveError> {
        let scratch = Scratch::new(self.git.context())?;
        let bundle = self.bundle(&scratch)?;
        let mut timeline = Vec::new();
        let started = unix_us();
        let refs = match (&bundle, self.remote) {
            (Some(bundle), _) => Refs::of_bundle(bundle.list(self.git, &scratch.0).await?),
            (None, Some(remote)) => Refs::of_remote(self.git, remote, &scratch.0).await?,
            (None, None) => return Err(ResolveError::NoSource),
        };
        timeline.push(step("resolve/refs", started, format!("{} refs", refs.len()), 0));
        let picked = refs.pick(&self.request.candidates).ok_or_else(|| self.no_such_ref())?;
        let mut response = ResolveResponse {
            commit: picked.commit.clone(),
            r#ref: picked.full.clone(),
            default_branch: refs.default_branch(),
            candidate: picked.candidate.clone(),
            ..Default::default()
        };
        if !picked.commit.is_empty() {
            let started = unix_us();
            let look = files::Look { git: self.git, directory: &scratch.0, remote: self.remote, bundle: bundle.as_ref() };
            let found = look.at(&picked, &self.request.config_files).await?;
            timeline.push(step("resolve/files", started, format!("{} files", found.files.len()), found.bytes));
            (response.files, response.partial_clone) = (found.files, found.partial);
            response.commit = found.commit;
        }
        response.timeline = timeline;
        Ok(response)
    }

    fn bundle(&self, scratch: &Scratch) -> Result<Option<Bundle>, ContentError> {
        let ctx = self.git.context();
        let path = ctx.config.supervisor.bundle_path.as_str();
        if path.is_empty() || (self.request.bundle_digest.is_empty() && self.remote.is_some()) {
            return Ok(None);
        }
        Bundle::open(Path::new(path), &scratch.0.join("source.bundle"), ctx.users.workspace()).map(Some)
    }

    fn no_such_ref(&self) -> ContentError {
        let wanted = match &self.request.candidates[..] {
            [] => "HEAD".to_owned(),
            candidates => candidates.join(", "),
        };
        self.git.failed(&Call::new("ls-remote", Path::new("/")).about(&wanted), Fault::RefNotFound, "")
    }
}

/// A directory of the workspace user that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(ctx: &Context) -> Result<Self, ContentError> {
        let path = std::env::temp_dir().join(format!("crannog-resolve-{}", uuid::Uuid::new_v4().simple()));
        worktree::own_directory(&path, ctx.users.workspace())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "a directory for looking into a repository cannot be removed");
        }
    }
}

fn step(name: &str, started_unix_us: i64, detail: String, bytes: u64) -> Step {
    Step { name: name.into(), started_unix_us, ended_unix_us: unix_us(), detail, bytes, ..Default::default() }
}
