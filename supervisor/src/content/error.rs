//! Why content could not be brought in, and what a person can do about it. Git says it in English on stderr (we run it
//! with `LC_ALL=C`); the words are matched here, in one table, most telling first.

use std::io;
use std::path::PathBuf;

use domain::class::{Class, Classify};

use super::remote::Refused;
use crate::error::SupervisorError;

/// An error of bringing content in, or of looking into a repository.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The remote is not one that Git may be given.
    #[error("the repository's URL cannot be used: {0}")]
    Remote(Refused),
    /// A name that came with the source is no name of a ref, commit, or directory.
    #[error("{what} {name:?} cannot be used")]
    Name {
        /// "the branch", "the commit"
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Git failed.
    #[error("{}{detail}", .fault.sentence(.step, .subject))]
    Git {
        /// What Git was doing: "fetch".
        step: &'static str,
        /// To what: a URL, a branch, a commit.
        subject: String,
        /// Why.
        fault: Fault,
        /// What Git said, shortened, credentials removed; empty where the sentence says it all.
        detail: String,
    },
    /// The directory holds something that is not ours.
    #[error("{0} exists already and is not empty")]
    Occupied(PathBuf),
    /// A file operation of our own failed.
    #[error("cannot {step} {}", .path.display())]
    File {
        /// "create"
        step: &'static str,
        /// Which file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Git could not be started, or not be watched.
    #[error("cannot run git")]
    Start(#[source] SupervisorError),
}

/// Why Git failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no such host.
    HostNotFound,
    /// The host does not answer, or breaks off.
    HostUnreachable,
    /// Nothing came for too long.
    TimedOut,
    /// There is no such repository, or it is hidden.
    RepositoryNotFound,
    /// No credentials, or refused ones.
    AuthenticationNeeded,
    /// Known, but not allowed.
    Denied,
    /// No such branch or tag.
    RefNotFound,
    /// No such commit.
    CommitNotFound,
    /// The certificate is not trusted.
    Certificate,
    /// The disk is full.
    DiskFull,
    /// Objects or paths that a sound repository does not have.
    Malformed,
    /// The answer is larger than is accepted.
    TooLarge,
    /// A transport that is not allowed.
    Transport,
    /// The bundle cannot be read.
    Bundle,
    /// The image has no Git.
    NoGit,
    /// The image has no ssh.
    NoSsh,
    /// The image's Git is too old.
    OldGit,
    /// None of these.
    Other,
}

/// What Git says, and what it means. Sooner rows win: a full disk also ends a fetch with "early EOF".
const WORDS: &[(&str, Fault)] = &[
    ("No space left on device", Fault::DiskFull),
    ("Disk quota exceeded", Fault::DiskFull),
    ("cannot run ssh", Fault::NoSsh),
    ("couldn't find remote ref", Fault::RefNotFound),
    ("not our ref", Fault::CommitNotFound),
    ("unadvertised object", Fault::CommitNotFound),
    ("reference is not a tree", Fault::CommitNotFound),
    ("Could not resolve host", Fault::HostNotFound),
    ("Could not resolve proxy", Fault::HostNotFound),
    ("unable to look up", Fault::HostNotFound),
    ("Name or service not known", Fault::HostNotFound),
    ("Temporary failure in name resolution", Fault::HostNotFound),
    ("certificate", Fault::Certificate),
    ("returned error: 403", Fault::Denied),
    ("Authentication failed", Fault::AuthenticationNeeded),
    ("could not read Username", Fault::AuthenticationNeeded),
    ("could not read Password", Fault::AuthenticationNeeded),
    ("returned error: 401", Fault::AuthenticationNeeded),
    ("Permission denied (", Fault::AuthenticationNeeded),
    ("Host key verification failed", Fault::AuthenticationNeeded),
    ("returned error: 404", Fault::RepositoryNotFound),
    ("returned error: 410", Fault::RepositoryNotFound),
    ("epository not found", Fault::RepositoryNotFound),
    ("/' not found", Fault::RepositoryNotFound),
    ("access denied or repository not exported", Fault::RepositoryNotFound),
    ("does not appear to be a git repository", Fault::RepositoryNotFound),
    ("is this a git repository?", Fault::RepositoryNotFound),
    ("fsck error", Fault::Malformed),
    ("invalid path", Fault::Malformed),
    ("hash mismatch", Fault::Malformed),
    ("index-pack failed", Fault::Malformed),
    ("transport '", Fault::Transport),
    ("does not look like a v2 or v3 bundle", Fault::Bundle),
    ("Repository lacks these prerequisite commits", Fault::Bundle),
    ("is not a bundle", Fault::Bundle),
    ("unknown option", Fault::OldGit),
    ("is not a git command", Fault::OldGit),
    ("Operation too slow", Fault::TimedOut),
    ("onnection timed out", Fault::HostUnreachable),
    ("onnection refused", Fault::HostUnreachable),
    ("Failed to connect", Fault::HostUnreachable),
    ("onnection reset", Fault::HostUnreachable),
    ("No route to host", Fault::HostUnreachable),
    ("Network is unreachable", Fault::HostUnreachable),
    ("returned error: 5", Fault::HostUnreachable),
    ("returned error: 429", Fault::HostUnreachable),
    ("Empty reply from server", Fault::HostUnreachable),
    ("unable to connect", Fault::HostUnreachable),
    ("unable to access", Fault::HostUnreachable),
    ("early EOF", Fault::HostUnreachable),
    ("unexpected disconnect", Fault::HostUnreachable),
    ("hung up", Fault::HostUnreachable),
];

impl Fault {
    /// What Git's words mean.
    pub fn of(stderr: &str) -> Self {
        WORDS.iter().find(|(words, _)| stderr.contains(words)).map_or(Self::Other, |(_, fault)| *fault)
    }

    /// True where what Git said adds nothing to the sentence.
    pub fn says_it_all(self) -> bool {
        matches!(
            self,
            Self::HostNotFound
                | Self::RepositoryNotFound
                | Self::AuthenticationNeeded
                | Self::RefNotFound
                | Self::NoGit
                | Self::NoSsh
        ) || matches!(self, Self::CommitNotFound | Self::DiskFull | Self::TimedOut | Self::TooLarge)
    }

    fn sentence(self, step: &str, subject: &str) -> String {
        match self {
            Self::HostNotFound => format!("the host of {subject} is not found"),
            Self::HostUnreachable => format!("the host of {subject} does not answer"),
            Self::TimedOut => format!("{subject} sent nothing for too long (git {step})"),
            Self::RepositoryNotFound => format!("there is no repository at {subject}"),
            Self::AuthenticationNeeded => format!("{subject} wants a login"),
            Self::Denied => format!("{subject} refuses access"),
            Self::RefNotFound => format!("there is no such branch or tag: {subject}"),
            Self::CommitNotFound => format!("there is no such commit: {subject}"),
            Self::Certificate => format!("the certificate of {subject} is not trusted"),
            Self::DiskFull => "the disk is full".to_owned(),
            Self::Malformed => format!("{subject} holds objects that no sound repository has"),
            Self::TooLarge => format!("{subject} answers more than is accepted"),
            Self::Transport => format!("{subject} wants a way of transport that is not allowed"),
            Self::Bundle => "the uploaded bundle cannot be read".to_owned(),
            Self::NoGit => "there is no git in the image".to_owned(),
            Self::NoSsh => "there is no ssh in the image".to_owned(),
            Self::OldGit => "the image's git is too old".to_owned(),
            Self::Other => format!("git {step} of {subject} failed"),
        }
    }

    fn class(self) -> Class {
        match self {
            Self::HostNotFound | Self::RepositoryNotFound | Self::RefNotFound | Self::CommitNotFound => Class::NotFound,
            Self::HostUnreachable => Class::Unavailable,
            Self::TimedOut => Class::DeadlineExceeded,
            Self::AuthenticationNeeded => Class::Unauthenticated,
            Self::Denied => Class::PermissionDenied,
            Self::DiskFull | Self::TooLarge => Class::ResourceExhausted,
            Self::Malformed | Self::Bundle => Class::DataLoss,
            Self::Transport => Class::InvalidArgument,
            Self::Certificate | Self::NoGit | Self::NoSsh | Self::OldGit => Class::FailedPrecondition,
            Self::Other => Class::Unavailable,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::HostNotFound => "HostNotFound",
            Self::HostUnreachable => "HostUnreachable",
            Self::TimedOut => "GitTimeout",
            Self::RepositoryNotFound => "RepositoryNotFound",
            Self::AuthenticationNeeded => "AuthenticationNeeded",
            Self::Denied => "AccessDenied",
            Self::RefNotFound => "BranchNotFound",
            Self::CommitNotFound => "CommitNotFound",
            Self::Certificate => "CertificateNotTrusted",
            Self::DiskFull => "DiskFull",
            Self::Malformed => "RepositoryMalformed",
            Self::TooLarge => "GitTooLarge",
            Self::Transport => "GitTransportRefused",
            Self::Bundle => "BundleUnreadable",
            Self::NoGit => "GitMissing",
            Self::NoSsh => "SshMissing",
            Self::OldGit => "GitTooOld",
            Self::Other => "GitFailed",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::HostNotFound => "check the spelling of the host, and that the machine can resolve names",
            Self::HostUnreachable | Self::TimedOut => "check that the host can be reached from this machine, then start again",
            Self::RepositoryNotFound => "check the spelling; a private repository needs credentials",
            Self::AuthenticationNeeded => "give credentials for this host, or start from a local clone of it",
            Self::Denied => "ask for access to the repository, or give other credentials",
            Self::RefNotFound => "check the spelling of the branch or tag",
            Self::CommitNotFound => "the branch may have been rewritten: start from the branch instead of the commit",
            Self::Certificate => "if the host uses a private authority, add it to the image's trusted certificates",
            Self::DiskFull => "free space on the node, or start a smaller repository",
            Self::Malformed => "run `git fsck` in a clone that you trust, and repair the repository",
            Self::TooLarge => "use a repository with fewer refs, or start from a bundle of it",
            Self::Transport => "use an https, ssh or git URL",
            Self::Bundle => "check it with `git bundle verify`, and upload it again",
            Self::NoGit => "use an image that has git, or install it in the image",
            Self::NoSsh => "use the https URL, or an image that has an OpenSSH client",
            Self::OldGit => "use an image with Git 2.20 or newer",
            Self::Other => "see what git said; a terminal in the workspace can be opened all the same",
        }
    }
}

impl Classify for ContentError {
    fn class(&self) -> Class {
        match self {
            Self::Remote(_) | Self::Name { .. } => Class::InvalidArgument,
            Self::Git { fault, .. } => fault.class(),
            Self::Occupied(_) => Class::FailedPrecondition,
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => Class::ResourceExhausted,
            Self::File { .. } => Class::Internal,
            Self::Start(source) => source.class(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Remote(_) => "GitUrlRejected",
            Self::Name { .. } => "GitNameRejected",
            Self::Git { fault, .. } => fault.reason(),
            Self::Occupied(_) => "DirectoryOccupied",
            Self::File { .. } => "ContentFileFailed",
            Self::Start(source) => source.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Remote(_) => Some("use an https, ssh or git URL without user name and password".to_owned()),
            Self::Name { .. } => Some("check the spelling".to_owned()),
            Self::Git { fault, .. } => Some(fault.hint().to_owned()),
            Self::Occupied(_) => Some("move what is there away, or use an image without it".to_owned()),
            Self::File { .. } => None,
            Self::Start(source) => source.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_git_become_what_they_mean() {
        for (words, fault) in [
            ("fatal: unable to access 'https://nope.invalid/a/': Could not resolve host: nope.invalid", Fault::HostNotFound),
            ("fatal: unable to look up nope.invalid (port 9418) (Name or service not known)", Fault::HostNotFound),
            ("fatal: unable to access 'http://127.0.0.1:1/a/': Failed to connect to 127.0.0.1 port 1", Fault::HostUnreachable),
            ("fatal: repository 'https://e.org/a/' not found", Fault::RepositoryNotFound),
            ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", Fault::AuthenticationNeeded),
            (
                "git@e.org: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                Fault::AuthenticationNeeded,
            ),
            ("fatal: couldn't find remote ref refs/heads/nope", Fault::RefNotFound),
            ("fatal: remote error: upload-pack: not our ref aaaa", Fault::CommitNotFound),
            ("server certificate verification failed. CAfile: none CRLfile: none", Fault::Certificate),
            ("error: file write error: No space left on device\nfatal: early EOF", Fault::DiskFull),
            ("error: object aaaa: hasDotgit: contains '.git'\nfatal: fsck error in packed object", Fault::Malformed),
            ("fatal: transport 'ext' not allowed", Fault::Transport),
            ("error: cannot run ssh: No such file or directory\nfatal: unable to fork", Fault::NoSsh),
            ("something new", Fault::Other),
        ] {
            assert_eq!(Fault::of(words), fault, "{words}");
        }
    }

    #[test]
    fn every_fault_says_what_to_do_next() {
        for (_, fault) in WORDS {
            assert!(!fault.hint().is_empty() && !fault.reason().is_empty() && !fault.sentence("fetch", "x").is_empty());
        }
    }
}
