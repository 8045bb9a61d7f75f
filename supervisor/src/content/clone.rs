//! A clone, step by step: an empty repository, one fetch (from the remote, or out of the uploaded bundle), the commit,
//! the branch, the uncommitted changes. Not `git clone`: its checkout follows whatever the remote's HEAD says.

use std::path::Path;

use super::bundle::Bundle;
use super::changes;
use super::error::{ContentError, Fault};
use super::git::{Call, Git};
use super::plan::{Head, Plan};
use crate::timeline::StepGuard;

/// What a clone left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cloned {
    /// Blobs may be missing.
    pub partial: bool,
    /// Just made, not found.
    pub fresh: bool,
}

/// One clone.
pub struct Clone<'a> {
    /// Git, with the credentials of the remote.
    pub git: &'a Git<'a>,
    /// What to do.
    pub plan: &'a Plan,
    /// An empty directory of the workspace user.
    pub directory: &'a Path,
    /// The row of the timeline.
    pub step: &'a StepGuard,
}

impl Clone<'_> {
    /// Makes the clone. `partial`: leave blobs out if the remote can.
    pub async fn run(&self, bundle: Option<&Bundle>, partial: bool) -> Result<Cloned, ContentError> {
        self.git.run(self.call("init").args(["--quiet"])).await?;
        let partial = match (bundle, &self.plan.remote) {
            (Some(bundle), _) => self.fetch_bundle(bundle).await.map(|()| false)?,
            (None, Some(_)) => self.fetch_remote(partial).await?,
            (None, None) => false,
        };
        self.settle().await?;
        if bundle.is_some() {
            changes::restore(self.git, self.directory).await?;
        }
        Ok(Cloned { partial, fresh: true })
    }

    async fn fetch_bundle(&self, bundle: &Bundle) -> Result<(), ContentError> {
        let heads = bundle.heads(self.git, self.directory).await?;
        if let Some(changes) = self.plan.changes.as_ref().filter(|c| !heads.contains(c)) {
            return Err(self.git.failed(&self.call("fetch").about(changes), Fault::RefNotFound, ""));
        }
        let refspecs = self.plan.bundle_refspecs(&heads);
        let fetch = self.call("fetch").args(["--progress", "--no-tags", "--update-head-ok", "--no-recurse-submodules", "--"]);
        let fetch = fetch.args([bundle.path()]).args(refspecs).about("the bundle").files().progress(self.step);
        self.git.run(fetch).await?;
        if heads.iter().any(|h| h == "refs/remotes/origin/HEAD") {
            // It came as a plain ref; Git wants a symbolic one or none.
            self.git.run(self.call("update-ref").args(["-d", "refs/remotes/origin/HEAD"])).await?;
        }
        self.add_origin(self.plan.origin.as_deref()).await
    }

    /// True when blobs were left out.
    async fn fetch_remote(&self, partial: bool) -> Result<bool, ContentError> {
        let remote = self.plan.remote.as_ref().map(|r| r.url());
        self.add_origin(remote).await?;
        let partial = match partial {
            true => match self.fetch(&["--filter=blob:none"]).await {
                Ok(()) => true,
                Err(error) if self.is_worth_a_full_try(&error) => {
                    tracing::info!(%error, "no partial clone: fetching everything");
                    self.fetch(&[]).await.map(|()| false)?
                }
                Err(error) => return Err(error),
            },
            false => self.fetch(&[]).await.map(|()| false)?,
        };
        if let Some(origin) = self.plan.origin.as_deref().filter(|origin| Some(*origin) != remote) {
            self.set("remote.origin.url", origin).await?;
        }
        Ok(partial)
    }

    /// What asking for less may have caused.
    fn is_worth_a_full_try(&self, error: &ContentError) -> bool {
        matches!(error, ContentError::Git { fault: Fault::Other | Fault::OldGit | Fault::HostUnreachable | Fault::Malformed, .. })
    }

    async fn fetch(&self, more: &[&str]) -> Result<(), ContentError> {
        let fetch = self.call("fetch").args(["--progress", "--no-tags", "--no-recurse-submodules"]).args(more.iter().copied());
        let fetch = fetch.args(["--", "origin"]).args(self.plan.refspecs()).progress(self.step);
        match self.git.run(fetch).await {
            Ok(_) => self.commit_is_here().await,
            Err(ContentError::Git { fault: Fault::RefNotFound, .. }) => {
                let wanted = self.plan.fetch_refs.join(", ");
                Err(self.git.failed(&self.call("fetch").about(&wanted), Fault::RefNotFound, ""))
            }
            Err(error) => Err(error),
        }
    }

    /// A commit that no branch holds any more is asked for by its id.
    async fn commit_is_here(&self) -> Result<(), ContentError> {
        let commit = &self.plan.commit;
        if commit.is_empty() || self.git.run(self.has_commit()).await.is_ok() {
            return Ok(());
        }
        let fetch = self.call("fetch").args(["--progress", "--no-tags", "--no-recurse-submodules", "--", "origin", commit]);
        match self.git.run(fetch.about(commit).progress(self.step)).await {
            Ok(_) => Ok(()),
            Err(ContentError::Git {
                fault: Fault::Other | Fault::CommitNotFound | Fault::RefNotFound | Fault::HostUnreachable,
                ..
            }) => Err(self.git.failed(&self.call("fetch").about(commit), Fault::CommitNotFound, "")),
            Err(error) => Err(error),
        }
    }

    fn has_commit(&self) -> Call<'_> {
        self.call("cat-file").args(["-e".to_owned(), format!("{}^{{commit}}", self.plan.commit)])
    }

    /// HEAD, index and worktree.
    async fn settle(&self) -> Result<(), ContentError> {
        let commit = &self.plan.commit;
        match (&self.plan.head, commit.as_str()) {
            (Head::Branch { local, .. }, "") => {
                self.git.run(self.call("symbolic-ref").args(["HEAD", &format!("refs/heads/{local}")])).await?;
            }
            (Head::Detached, "") => return Ok(()),
            (Head::Branch { local, .. }, _) => self.checkout(&["--no-track", "-B", local, commit]).await?,
            (Head::Detached, _) => self.checkout(&["--detach", commit]).await?,
        }
        if let (Head::Branch { local, merge }, true) = (&self.plan.head, self.plan.origin.is_some()) {
            self.set(&format!("branch.{local}.remote"), "origin").await?;
            self.set(&format!("branch.{local}.merge"), merge).await?;
        }
        Ok(())
    }

    async fn checkout(&self, to: &[&str]) -> Result<(), ContentError> {
        let call = self.call("checkout").args(["--progress"]).args(to.iter().copied()).args(["--"]);
        let call = call.about(&self.plan.commit).progress(self.step);
        self.git.run(call).await.map(drop)
    }

    /// The remote with its usual refspec.
    async fn add_origin(&self, url: Option<&str>) -> Result<(), ContentError> {
        let Some(url) = url else { return Ok(()) };
        self.git.run(self.call("remote").args(["add", "origin", url])).await.map(drop)
    }

    async fn set(&self, key: &str, value: &str) -> Result<(), ContentError> {
        self.git.run(self.call("config").args([key, value])).await.map(drop)
    }

    fn call(&self, step: &'static str) -> Call<'_> {
        Call::new(step, self.directory)
    }
}
