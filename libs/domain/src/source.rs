//! What a person names as the source of a workspace: a Git URL with an optional `#ref`, or the address of a page of a
//! Git host. Everything hostile is refused here, before any process is started.

mod hostile;
mod local;
mod reference;

use crate::class::{Class, Classify};
use crate::context_url;
use crate::name;

pub use local::{Classified, PathKind, classify};
pub use reference::check_reference;

/// A source, read: where to fetch, and what may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What Git is given: no credentials, no query, no fragment.
    pub remote: String,
    /// What the person may mean, best first; the first that exists is meant. Empty: the remote's HEAD.
    pub candidates: Vec<Candidate>,
    /// Full refs to fetch beside branches and tags ("refs/pull/7/head").
    pub fetch: Vec<String>,
    /// Whether [`Candidate::path`] names a file (a /blob/ page) rather than a directory.
    pub path_is_file: bool,
    /// Name for a workspace, by its repository's: fits [`crate::name::check`].
    pub name: String,
    /// What was left out of account, for people.
    pub warnings: Vec<String>,
}

/// One reading of a URL: `/tree/release/1.0/docs` may be branch `release/1.0` with path `docs`, and two more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// A branch or tag name, a full ref, or a commit id.
    pub reference: String,
    /// Path in the worktree; empty for its root.
    pub path: String,
}

impl Candidate {
    /// A reading without a path.
    pub fn of(reference: impl Into<String>) -> Self {
        Self { reference: reference.into(), path: String::new() }
    }
}

impl Source {
    /// The path that goes with the candidate that was found to exist.
    pub fn path_of(&self, reference: &str) -> Option<&str> {
        self.candidates.iter().find(|candidate| candidate.reference == reference).map(|found| found.path.as_str())
    }

    /// The directory to start in for the candidate that was found: of a file, its parent.
    pub fn directory_of(&self, reference: &str) -> &str {
        let path = self.path_of(reference).unwrap_or_default();
        if self.path_is_file { path.rsplit_once('/').map_or("", |(parent, _)| parent) } else { path }
    }

    /// The references of all candidates, in order, as `ResolveRequest.candidates` wants them.
    pub fn references(&self) -> Vec<String> {
        self.candidates.iter().map(|candidate| candidate.reference.clone()).collect()
    }
}

/// Why a text is not a source. What a hostile one wanted is never run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing was given.
    #[error("no source was given")]
    Empty,
    /// It has a form that only an attack or an accident has.
    #[error("the source {shown:?} is refused: {why}")]
    Hostile {
        /// The source, shortened, control characters escaped, credentials removed.
        shown: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A scheme that is not fetched from.
    #[error("sources cannot be fetched by {0:?}")]
    Scheme(String),
    /// It is no URL.
    #[error("{0:?} is not a Git URL")]
    NotAUrl(String),
    /// A host without a repository.
    #[error("{0:?} names no repository")]
    NoRepository(String),
    /// A page of a known host that stands for no place in a repository.
    #[error("the page {0:?} stands for no branch, commit or request")]
    Page(String),
    /// Not a ref that Git would take.
    #[error("{0:?} is not the name of a branch, tag or commit")]
    Reference(String),
    /// A path that is not there.
    #[error("{0:?} does not exist on this machine")]
    NoSuchPath(String),
}

impl Classify for SourceError {
    fn class(&self) -> Class {
        match self {
            Self::NoSuchPath(_) => Class::NotFound,
            _ => Class::InvalidArgument,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Hostile { .. } | Self::Scheme(_) => "GitUrlRejected",
            Self::Empty => "SourceEmpty",
            Self::NotAUrl(_) => "SourceNotAUrl",
            Self::NoRepository(_) => "SourceWithoutRepository",
            Self::Page(_) => "SourcePageUnknown",
            Self::Reference(_) => "ReferenceMalformed",
            Self::NoSuchPath(_) => "SourceNotFound",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Empty | Self::NotAUrl(_) => {
                "give a Git URL such as https://HOST/OWNER/REPOSITORY, a directory, or a bundle file".into()
            }
            Self::Hostile { .. } => "give the plain URL of the repository, as `git clone` takes it".into(),
            Self::Scheme(scheme) if scheme == "file" => {
                "give the directory itself: its repository is then sent to the server".into()
            }
            Self::Scheme(_) => "use https://, ssh://, git:// or http://".into(),
            Self::NoRepository(_) => "add the path of the repository: https://HOST/OWNER/REPOSITORY".into(),
            Self::Page(_) => "open the repository, a branch, a commit or a request and give its address".into(),
            Self::Reference(_) => "give the ref after '#' as `git branch` or `git tag` shows it".into(),
            Self::NoSuchPath(_) => "check the path, or give a URL with its scheme (https://…)".into(),
        })
    }
}

/// Reads a source. Pure: nothing is looked up, so what is read may still not exist.
pub fn parse(text: &str) -> Result<Source, SourceError> {
    let text = text.trim_matches(' ');
    hostile::refuse(text)?;
    if let Some(remote) = scp_like(text)? {
        return Ok(remote);
    }
    let text = with_scheme(text);
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        None => return Err(SourceError::NotAUrl(hostile::shown(&text))),
        Some("https" | "http" | "ssh" | "git") => {}
        Some(other) => return Err(SourceError::Scheme(other.chars().take(40).collect())),
    }
    let mut url = url::Url::parse(&text).map_err(|_| SourceError::NotAUrl(hostile::shown(&text)))?;
    let mut warnings = strip_credentials(&mut url);
    hostile::refuse_url(&url)?;
    let mut source = context_url::read(&url)?;
    warnings.append(&mut source.warnings);
    source.warnings = warnings;
    Ok(source)
}

/// The known hosts are typed without a scheme often enough.
fn with_scheme(text: &str) -> String {
    let host = text.split('/').next().unwrap_or_default();
    match host {
        "github.com" | "gitlab.com" | "bitbucket.org" => format!("https://{text}"),
        _ => text.to_owned(),
    }
}

/// Secrets in a URL end in logs, process lists and `.git/config`: they are taken out, and said to be. The user of an ssh
/// URL is part of the address and stays.
fn strip_credentials(url: &mut url::Url) -> Vec<String> {
    let is_ssh = url.scheme() == "ssh";
    let had_some = url.password().is_some() || (!is_ssh && !url.username().is_empty());
    let _ = url.set_password(None);
    if !is_ssh {
        let _ = url.set_username("");
    }
    let warning = "the credentials in the URL were left out; give them to the server as a Git credential";
    had_some.then(|| warning.to_owned()).into_iter().collect()
}

/// Reads `[user@]host:path`, the form that only Git has.
fn scp_like(text: &str) -> Result<Option<Source>, SourceError> {
    let Some((host, path)) = text.split_once(':') else { return Ok(None) };
    if host.is_empty() || host.contains('/') || path.starts_with("//") || host.starts_with('[') {
        return Ok(None);
    }
    let shown = || hostile::shown(text);
    let (path, fragment) = path.split_once('#').map_or((path, None), |(path, fragment)| (path, Some(fragment)));
    let (user, machine) = host.rsplit_once('@').unwrap_or(("", host));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if machine.is_empty() || user.starts_with('-') || machine.starts_with('-') || path.starts_with('-') {
        return Err(SourceError::Hostile { shown: shown(), why: "a part of it would be read as an option" });
    }
    // Without a user, a host has a dot: "javascript:", "mailto:" and "C:" have none.
    let is_host = machine.len() > 1 && (!user.is_empty() || machine.contains('.'));
    if !is_plain(user) || !is_plain(machine) || !is_host {
        return Err(SourceError::NotAUrl(shown()));
    }
    if path.trim_matches('/').is_empty() {
        return Err(SourceError::NoRepository(shown()));
    }
    Ok(Some(Source {
        remote: format!("{host}:{path}"),
        candidates: fragment_candidates(fragment)?,
        fetch: Vec::new(),
        path_is_file: false,
        name: repository_name(path),
        warnings: Vec::new(),
    }))
}

/// The reading of what stands behind `#`.
pub(crate) fn fragment_candidates(fragment: Option<&str>) -> Result<Vec<Candidate>, SourceError> {
    match fragment {
        None | Some("") => Ok(Vec::new()),
        Some(reference) => {
            check_reference(reference)?;
            Ok(vec![Candidate::of(reference)])
        }
    }
}

/// The name for a workspace, by the last part of a repository's path.
pub(crate) fn repository_name(path: &str) -> String {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    name::from_repository(last)
}
