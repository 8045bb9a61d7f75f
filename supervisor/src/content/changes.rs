//! Uncommitted changes come as a commit whose tree is the worktree as it was. They are put back so that `git status` shows
//! them as they were: changed, deleted, untracked; nothing staged.

use std::path::Path;

use super::error::ContentError;
use super::git::{Call, Git};

/// Our refs, gone when this has run.
const CHANGES: &str = "refs/crannog/changes";
const HEAD: &str = "refs/crannog/head";

/// Puts the changes back, if the bundle had any, and removes our refs. The worktree is at the commit, clean.
pub async fn restore(git: &Git<'_>, directory: &Path) -> Result<(), ContentError> {
    let call = |step, args: &[&str]| Call::new(step, directory).args(args.iter().copied()).about("the uncommitted changes");
    let has = |name: &'static str| git.run(call("rev-parse", &["--verify", "--quiet", name]));
    if has(CHANGES).await.is_ok() {
        // Index and worktree become those of the changes; then the index goes back and the worktree stays.
        git.run(call("read-tree", &["-m", "-u", "HEAD", CHANGES])).await?;
        git.run(call("read-tree", &["HEAD"])).await?;
        // Exits with 1 where something differs, which it does; what it is for is the fresh index.
        let _ = git.run(call("update-index", &["-q", "--refresh"])).await;
        git.run(call("update-ref", &["-d", CHANGES])).await?;
    }
    if has(HEAD).await.is_ok() {
        git.run(call("update-ref", &["-d", HEAD])).await?;
    }
    Ok(())
}
