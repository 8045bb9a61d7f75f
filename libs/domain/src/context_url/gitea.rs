//! Gitea and Forgejo on any host, by shapes that no plain Git URL has. Everything else is left to be a plain one.

use url::Url;

use super::{Page, branch_and_path, commit, number, request};
use crate::source::{Candidate, SourceError};

pub(super) fn read(parts: &[&str], url: &Url) -> Result<Option<Page>, SourceError> {
    let [owner, name, rest @ ..] = parts else { return Ok(None) };
    let repository = &[*owner, *name];
    let at = |candidates| Page { candidates, ..Page::of(repository) };
    Ok(match rest {
        ["src", "branch", branch @ ..] if !branch.is_empty() => Some(at(branch_and_path(branch))),
        ["src", "tag", tag @ ..] if !tag.is_empty() => Some(at(branch_and_path(tag))),
        ["src", "commit", id, path @ ..] => {
            let mut readings = commit(id, url)?;
            readings.iter_mut().for_each(|reading| reading.path = path.join("/"));
            Some(at(readings))
        }
        ["commit", id] => commit(id, url).ok().map(at),
        ["pulls", of] | ["pulls", of, "files" | "commits"] => {
            Some(request(repository, format!("refs/pull/{}/head", number(of, url)?)))
        }
        ["releases", "tag", tag @ ..] if !tag.is_empty() => Some(at(vec![Candidate::of(format!("refs/tags/{}", tag.join("/")))])),
        _ => None,
    })
}
