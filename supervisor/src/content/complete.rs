//! The blobs that a partial clone left out, fetched behind everything else. Until then Git fetches what it needs by
//! itself; when all are here the clone becomes an ordinary one.

use std::path::Path;

use super::error::ContentError;
use super::git::{Call, Git};

/// Objects asked for at once: a command line of 200 KiB, and a pack that does not take minutes to lose.
const BATCH: usize = 5000;

/// Fetches every missing object that a ref can reach.
pub async fn run(git: &Git<'_>, directory: &Path) -> Result<usize, ContentError> {
    let missing = missing(git, directory).await?;
    for batch in missing.chunks(BATCH) {
        let fetch = Call::new("fetch", directory).low().args([
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--filter=blob:none",
            "--",
            "origin",
        ]);
        git.run(fetch.args(batch.iter().cloned())).await?;
    }
    for key in ["remote.origin.promisor", "remote.origin.partialclonefilter"] {
        // Fails where it is not set, which is what is wanted.
        let _ = git.run(Call::new("config", directory).args(["--unset", key])).await;
    }
    Ok(missing.len())
}

/// Whether a clone was left partial by an earlier run.
pub async fn is_partial(git: &Git<'_>, directory: &Path) -> bool {
    let call = Call::new("config", directory).args(["--get", "remote.origin.partialclonefilter"]);
    git.run(call).await.is_ok_and(|output| output.line() == "blob:none")
}

/// With `--quiet` only what is missing is printed, each with a question mark.
async fn missing(git: &Git<'_>, directory: &Path) -> Result<Vec<String>, ContentError> {
    let call = Call::new("rev-list", directory).low().args(["--objects", "--all", "--quiet", "--missing=print"]);
    let output = git.run(call).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_prefix('?')).map(str::to_owned).collect())
}
