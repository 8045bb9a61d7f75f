//! GitLab, anywhere: groups nest, and `/-/` stands between a project and its pages. Old addresses lack the dash.

use url::Url;

use super::{Page, branch_and_file, branch_and_path, commit, elsewhere, number, request};
use crate::source::{Candidate, SourceError};

pub(super) fn read(parts: &[&str], url: &Url) -> Result<Option<Page>, SourceError> {
    let (repository, rest) = match parts.iter().position(|part| *part == "-") {
        Some(dash) => (&parts[..dash], &parts[dash + 1..]),
        None => split_old(parts),
    };
    if repository.len() < 2 {
        return Err(SourceError::NoRepository(url.to_string()));
    }
    let at = |candidates| Page { candidates, ..Page::of(repository) };
    Ok(Some(match rest {
        [] => Page::of(repository),
        ["tree" | "commits", branch @ ..] if !branch.is_empty() => at(branch_and_path(branch)),
        ["blob" | "raw" | "blame" | "edit", file @ ..] if file.len() > 1 => {
            Page { path_is_file: true, ..at(branch_and_file(file)) }
        }
        ["commit", id, ..] => at(commit(id, url)?),
        // GitLab keeps the head of every merge request under this ref, of forks too.
        ["merge_requests", of, ..] => request(repository, format!("refs/merge-requests/{}/head", number(of, url)?)),
        ["tags" | "releases", tag @ ..] if !tag.is_empty() => at(vec![Candidate::of(format!("refs/tags/{}", tag.join("/")))]),
        ["tree" | "blob" | "raw" | "blame" | "edit" | "commit", ..] => return Err(SourceError::Page(url.to_string())),
        [what, ..] => elsewhere(repository, what),
    }))
}

/// `/group/project/tree/main`, before GitLab 12: the first page word after a group and a project.
fn split_old<'a>(parts: &'a [&'a str]) -> (&'a [&'a str], &'a [&'a str]) {
    const PAGES: [&str; 7] = ["tree", "blob", "raw", "blame", "commit", "commits", "merge_requests"];
    let page = (2..parts.len().saturating_sub(1)).find(|index| PAGES.contains(&parts[*index]));
    page.map_or((parts, &[]), |index| parts.split_at(index))
}
