//! Addresses of pages of Git hosts, as a person copies them from a browser, and plain Git URLs.
//!
//! A page says "branch and path" in one string of segments, and branches may have slashes: every reading is kept, the
//! longest branch first, and whoever can see the repository takes the first that exists.

mod bitbucket;
mod gitea;
mod github;
mod gitlab;

use url::Url;

use crate::source::{Candidate, Source, SourceError, check_reference, fragment_candidates, repository_name};

/// How many segments of a page's path may belong to the branch. Bounds what has to be tried.
const MAX_BRANCH_SEGMENTS: usize = 16;

/// What a page of a host means, before it is put together with its repository.
#[derive(Debug, Default)]
struct Page {
    /// Segments of the repository's path.
    repository: Vec<String>,
    candidates: Vec<Candidate>,
    fetch: Vec<String>,
    path_is_file: bool,
    warnings: Vec<String>,
}

/// Reads a URL whose credentials are gone already.
pub(crate) fn read(url: &Url) -> Result<Source, SourceError> {
    let segments = segments(url)?;
    if segments.is_empty() {
        return Err(SourceError::NoRepository(url.to_string()));
    }
    let is_web = matches!(url.scheme(), "http" | "https");
    let page = if is_web { page_of(url, &segments)? } else { None };
    match page {
        Some(page) => assemble(url, page),
        None => plain(url, &segments),
    }
}

fn page_of(url: &Url, segments: &[String]) -> Result<Option<Page>, SourceError> {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match host {
        "github.com" => github::read(&parts, url),
        "bitbucket.org" => bitbucket::read(&parts, url),
        "gitlab.com" => gitlab::read(&parts, url),
        host if host.starts_with("github.") => github::read(&parts, url),
        host if host.starts_with("gitlab.") => gitlab::read(&parts, url),
        _ if parts.contains(&"-") => gitlab::read(&parts, url),
        _ => gitea::read(&parts, url),
    }
}

/// A URL that is the repository itself, with `#ref`.
fn plain(url: &Url, segments: &[String]) -> Result<Source, SourceError> {
    let mut remote = url.clone();
    remote.set_fragment(None);
    remote.set_query(None);
    let warning = url.query().map(|_| "the part of the URL after '?' was left out".to_owned());
    Ok(Source {
        remote: remote.to_string(),
        candidates: fragment_candidates(fragment(url)?.as_deref())?,
        fetch: Vec::new(),
        path_is_file: false,
        name: repository_name(segments.last().map_or("", String::as_str)),
        warnings: warning.into_iter().collect(),
    })
}

fn assemble(url: &Url, mut page: Page) -> Result<Source, SourceError> {
    // Behind the '#' of a page that is no place stands a place on that page, not a ref.
    if page.candidates.is_empty() && page.warnings.is_empty() {
        page.candidates = fragment_candidates(fragment(url)?.as_deref())?;
    }
    page.candidates.retain(|candidate| check_reference(&candidate.reference).is_ok());
    let mut remote = url.clone();
    remote.set_fragment(None);
    remote.set_query(None);
    {
        let mut path = remote.path_segments_mut().map_err(|()| SourceError::NotAUrl(url.to_string()))?;
        path.clear();
        let last = page.repository.len().saturating_sub(1);
        for (index, segment) in page.repository.iter().enumerate() {
            let name = segment.strip_suffix(".git").filter(|_| index == last).unwrap_or(segment);
            path.push(&if index == last { format!("{name}.git") } else { name.to_owned() });
        }
    }
    Ok(Source {
        remote: remote.to_string(),
        candidates: page.candidates,
        fetch: page.fetch,
        path_is_file: page.path_is_file,
        name: repository_name(page.repository.last().map_or("", String::as_str)),
        warnings: page.warnings,
    })
}

/// Every reading of `BRANCH[/PATH]`, the longest branch first. A whole commit id is never part of a branch's name.
fn branch_and_path(segments: &[&str]) -> Vec<Candidate> {
    let Some(first) = segments.first() else { return Vec::new() };
    let longest = if is_commit_id(first) { 1 } else { segments.len().min(MAX_BRANCH_SEGMENTS) };
    let split = |at: usize| Candidate { reference: segments[..at].join("/"), path: segments[at..].join("/") };
    (1..=longest).rev().map(split).collect()
}

/// As [`branch_and_path`], for a page that shows a file: at least one segment is the file's.
fn branch_and_file(segments: &[&str]) -> Vec<Candidate> {
    branch_and_path(segments).into_iter().filter(|candidate| !candidate.path.is_empty()).collect()
}

/// A page that names one commit.
fn commit(id: &str, url: &Url) -> Result<Vec<Candidate>, SourceError> {
    let id = id.strip_suffix(".patch").or_else(|| id.strip_suffix(".diff")).unwrap_or(id);
    let is_hex = (7..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(vec![Candidate::of(id.to_ascii_lowercase())]) } else { Err(SourceError::Page(url.to_string())) }
}

/// The number of a request, as a segment.
fn number(text: &str, url: &Url) -> Result<u64, SourceError> {
    let digits = !text.is_empty() && text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|number| *number > 0).ok_or_else(|| SourceError::Page(url.to_string()))
}

/// A page whose meaning is one ref that is neither branch nor tag.
fn request(repository: &[&str], reference: String) -> Page {
    Page { candidates: vec![Candidate::of(&reference)], fetch: vec![reference], ..Page::of(repository) }
}

/// A page about the repository that is no place in it (its issues, its wiki).
fn elsewhere(repository: &[&str], what: &str) -> Page {
    let warning = format!("the page {what:?} is no place in the repository; it is opened at its default branch");
    Page { warnings: vec![warning], ..Page::of(repository) }
}

impl Page {
    fn of(repository: &[&str]) -> Self {
        Self { repository: repository.iter().map(|segment| (*segment).to_owned()).collect(), ..Self::default() }
    }
}

fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The segments of a URL's path, decoded; an encoded slash (in the branch) separates like a plain one.
fn segments(url: &Url) -> Result<Vec<String>, SourceError> {
    let decoded = decode(url.path()).ok_or_else(|| SourceError::NotAUrl(url.to_string()))?;
    let segments: Vec<String> = decoded.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    match segments.iter().any(|part| part == "." || part == "..") {
        true => Err(SourceError::Hostile { shown: url.to_string(), why: "its path leads upwards" }),
        false => Ok(segments),
    }
}

fn fragment(url: &Url) -> Result<Option<String>, SourceError> {
    let decoded = |text: &str| decode(text).ok_or_else(|| SourceError::Reference(text.to_owned()));
    url.fragment().map(decoded).transpose()
}

/// Undoes percent-encoding; `None` when that is not text, or holds control characters.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}
