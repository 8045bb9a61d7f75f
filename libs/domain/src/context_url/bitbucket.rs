//! bitbucket.org.

use url::Url;

use super::{Page, branch_and_path, commit, elsewhere, is_commit_id, number, request};
use crate::source::{Candidate, SourceError};

pub(super) fn read(parts: &[&str], url: &Url) -> Result<Option<Page>, SourceError> {
    let [owner, name, rest @ ..] = parts else {
        return Err(SourceError::NoRepository(url.to_string()));
    };
    let repository = &[*owner, *name];
    let at = |candidates| Page { candidates, ..Page::of(repository) };
    Ok(Some(match rest {
        [] | ["src"] => Page::of(repository),
        ["src", place @ ..] => at(source_page(place, url)),
        ["branch", branch @ ..] if !branch.is_empty() => at(vec![Candidate::of(format!("refs/heads/{}", branch.join("/")))]),
        ["commits", "branch", branch @ ..] if !branch.is_empty() => {
            at(vec![Candidate::of(format!("refs/heads/{}", branch.join("/")))])
        }
        ["commits", "tag", tag @ ..] if !tag.is_empty() => at(vec![Candidate::of(format!("refs/tags/{}", tag.join("/")))]),
        ["commits", id, ..] => at(commit(id, url)?),
        ["pull-requests", of, ..] => pull_request(repository, number(of, url)?),
        ["branch", ..] => return Err(SourceError::Page(url.to_string())),
        [what, ..] => elsewhere(repository, what),
    }))
}

/// `/src/REF/PATH`; on a branch with slashes Bitbucket puts the commit there and the branch in `?at=`.
fn source_page(place: &[&str], url: &Url) -> Vec<Candidate> {
    let branch = url.query_pairs().find(|(key, _)| key == "at").map(|(_, value)| value.into_owned());
    match (branch, place) {
        (Some(branch), [_, path @ ..]) if !branch.is_empty() => {
            let mut readings = vec![Candidate { reference: branch, path: path.join("/") }];
            readings.extend(branch_and_path(place).into_iter().filter(|reading| is_commit_id(&reading.reference)));
            readings
        }
        _ => branch_and_path(place),
    }
}

/// Bitbucket's own servers keep requests under this ref. The cloud may not, and then says that it has no such ref.
fn pull_request(repository: &[&str], number: u64) -> Page {
    let mut page = request(repository, format!("refs/pull-requests/{number}/from"));
    page.warnings.push("not every Bitbucket gives out its pull requests; if this one does not, name the branch".into());
    page
}
