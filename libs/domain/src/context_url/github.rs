//! github.com, and GitHub Enterprise under a host that begins with "github.".

use url::Url;

use super::{Page, branch_and_file, branch_and_path, commit, elsewhere, number, request};
use crate::source::{Candidate, SourceError};

pub(super) fn read(parts: &[&str], url: &Url) -> Result<Option<Page>, SourceError> {
    let [owner, name, rest @ ..] = parts else {
        return Err(SourceError::NoRepository(url.to_string()));
    };
    let repository = &[*owner, *name];
    let at = |candidates| Page { candidates, ..Page::of(repository) };
    Ok(Some(match rest {
        [] => Page::of(repository),
        ["tree", branch @ ..] if !branch.is_empty() => at(branch_and_path(branch)),
        ["blob" | "raw" | "blame" | "edit", file @ ..] if file.len() > 1 => {
            Page { path_is_file: true, ..at(branch_and_file(file)) }
        }
        ["commit", id, ..] => at(commit(id, url)?),
        ["commits", branch @ ..] if !branch.is_empty() => at(branch_and_path(branch)),
        ["pull", of, "commits", id, ..] => Page { candidates: commit(id, url)?, ..request(repository, pull(of, url)?) },
        ["pull", of, ..] => request(repository, pull(of, url)?),
        ["releases", "tag", tag @ ..] if !tag.is_empty() => at(vec![Candidate::of(format!("refs/tags/{}", tag.join("/")))]),
        ["tree" | "blob" | "raw" | "blame" | "edit" | "commit" | "pull", ..] => {
            return Err(SourceError::Page(url.to_string()));
        }
        [what, ..] => elsewhere(repository, what),
    }))
}

/// GitHub keeps the head of every pull request under this ref, of forks too.
fn pull(of: &str, url: &Url) -> Result<String, SourceError> {
    Ok(format!("refs/pull/{}/head", number(of, url)?))
}
