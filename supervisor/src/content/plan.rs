//! What to fetch and where to be, decided from the source before anything runs. No I/O.

use api::v1::GitSource;

use super::error::ContentError;
use super::remote::{Remote, is_commit_id, is_ref_name};

/// What HEAD is in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// On a local branch that follows `merge` of origin.
    Branch {
        /// "main", "pr/7".
        local: String,
        /// "refs/heads/main", "refs/pull/7/head".
        merge: String,
    },
    /// On a commit.
    Detached,
}

/// A source, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to fetch from; `None`: only the bundle.
    pub remote: Option<Remote>,
    /// What is written as origin; `None`: no remote is written.
    pub origin: Option<String>,
    /// Where to be.
    pub head: Head,
    /// Exactly at this; empty for a repository without commits.
    pub commit: String,
    /// Further refs, full names.
    pub fetch_refs: Vec<String>,
    /// The ref of the uncommitted changes in the bundle.
    pub changes: Option<String>,
}

impl Plan {
    /// Checks every name that came with the source.
    pub fn new(source: &GitSource) -> Result<Self, ContentError> {
        let remote = match source.remote.as_str() {
            "" => None,
            url => Some(Remote::parse(url).map_err(ContentError::Remote)?),
        };
        let origin = match source.origin.as_str() {
            "" => remote.as_ref().map(|r| r.url().to_owned()),
            url => Some(Remote::parse(url).map_err(ContentError::Remote)?.url().to_owned()),
        };
        if !source.commit.is_empty() && !is_commit_id(&source.commit) {
            return Err(name("the commit", &source.commit));
        }
        let refs = source.fetch_refs.iter().chain([&source.r#ref, &source.changes_ref]).filter(|r| !r.is_empty());
        for full in refs {
            if !full.starts_with("refs/") || !is_ref_name(full) {
                return Err(name("the ref", full));
            }
        }
        let head = head(&source.r#ref);
        let mut fetch_refs = source.fetch_refs.clone();
        // A ref that the usual ones (branches, tags) do not cover has to be asked for.
        if !source.r#ref.is_empty() && tracked(&source.r#ref).is_some_and(|t| !t.1) && !fetch_refs.contains(&source.r#ref) {
            fetch_refs.push(source.r#ref.clone());
        }
        let changes = Some(source.changes_ref.clone()).filter(|r| !r.is_empty());
        Ok(Self { remote, origin, head, commit: source.commit.clone(), fetch_refs, changes })
    }

    /// What to ask a remote for.
    pub fn refspecs(&self) -> Vec<String> {
        let mut refspecs = vec!["+refs/heads/*:refs/remotes/origin/*".to_owned(), "+refs/tags/*:refs/tags/*".to_owned()];
        refspecs.extend(self.fetch_refs.iter().filter_map(|full| {
            let (local, usual) = tracked(full)?;
            (!usual).then(|| format!("+{full}:{local}"))
        }));
        refspecs
    }

    /// What to take out of a bundle that holds `heads`. Without an origin its branches become ours; with one they are what
    /// origin had, unless the bundle tells both apart (a local clone's does).
    pub fn bundle_refspecs(&self, heads: &[String]) -> Vec<String> {
        let mut refspecs = vec!["+refs/tags/*:refs/tags/*".to_owned()];
        let tells_apart = heads.iter().any(|h| h.starts_with("refs/remotes/origin/"));
        if tells_apart && self.origin.is_some() {
            refspecs.push("+refs/remotes/origin/*:refs/remotes/origin/*".to_owned());
        }
        let branches = if self.origin.is_none() || tells_apart {
            "+refs/heads/*:refs/heads/*"
        } else {
            "+refs/heads/*:refs/remotes/origin/*"
        };
        refspecs.push(branches.to_owned());
        let listed = |name: &str| heads.iter().any(|h| h == name);
        if listed("HEAD") {
            refspecs.push("+HEAD:refs/crannog/head".to_owned());
        }
        if let Some(changes) = self.changes.as_deref().filter(|c| listed(c)) {
            refspecs.push(format!("+{changes}:refs/crannog/changes"));
        }
        let others = self.fetch_refs.iter().filter(|r| listed(r));
        refspecs.extend(others.filter_map(|full| Some(format!("+{full}:{}", tracked(full)?.0))));
        refspecs
    }
}

/// As Gitpod names them: a pull request is a local branch of its own.
fn head(full: &str) -> Head {
    let branch = |local: String| Head::Branch { local, merge: full.to_owned() };
    if let Some(name) = full.strip_prefix("refs/heads/") {
        return branch(name.to_owned());
    }
    match request(full) {
        Some((word, number)) => branch(format!("{word}/{number}")),
        None => Head::Detached,
    }
}

/// "refs/pull/7/head" (GitHub), "refs/merge-requests/7/head" (GitLab), "refs/pull-requests/7/from" (Bitbucket).
fn request(full: &str) -> Option<(&'static str, &str)> {
    let (kind, rest) = full.strip_prefix("refs/")?.split_once('/')?;
    let (number, _) = rest.split_once('/')?;
    let word = match kind {
        "pull" | "pull-requests" => "pr",
        "merge-requests" => "mr",
        _ => return None,
    };
    number.bytes().all(|b| b.is_ascii_digit()).then_some((word, number))
}

/// Where a ref of origin is kept here, and whether the usual refspecs bring it.
fn tracked(full: &str) -> Option<(String, bool)> {
    if let Some(name) = full.strip_prefix("refs/heads/") {
        return Some((format!("refs/remotes/origin/{name}"), true));
    }
    if full.starts_with("refs/tags/") {
        return Some((full.to_owned(), true));
    }
    let short = match request(full) {
        Some((word, number)) => format!("{word}/{number}"),
        None => full.strip_prefix("refs/")?.to_owned(),
    };
    Some((format!("refs/remotes/origin/{short}"), false))
}

fn name(what: &'static str, name: &str) -> ContentError {
    ContentError::Name { what, name: name.chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(full: &str) -> GitSource {
        GitSource { remote: "https://e.org/a".into(), r#ref: full.into(), commit: "a1".repeat(20), ..Default::default() }
    }

    #[test]
    fn a_pull_request_is_a_branch_of_its_own_that_follows_its_ref() {
        for (full, local) in [
            ("refs/heads/feature/x", "feature/x"),
            ("refs/pull/7/head", "pr/7"),
            ("refs/merge-requests/12/head", "mr/12"),
            ("refs/pull-requests/3/from", "pr/3"),
        ] {
            let plan = Plan::new(&source(full)).expect(full);
            assert_eq!(plan.head, Head::Branch { local: local.into(), merge: full.into() });
            assert_eq!(plan.fetch_refs.is_empty(), full.starts_with("refs/heads/"), "{full}");
        }
        assert_eq!(Plan::new(&source("refs/tags/v1")).expect("tag").head, Head::Detached);
        assert_eq!(Plan::new(&source("")).expect("commit").head, Head::Detached);
        let refspecs = Plan::new(&source("refs/pull/7/head")).expect("plan").refspecs();
        assert!(refspecs.contains(&"+refs/pull/7/head:refs/remotes/origin/pr/7".to_owned()), "{refspecs:?}");
    }

    #[test]
    fn names_that_are_options_or_worse_are_refused() {
        for full in ["--upload-pack=x", "main", "refs/heads/-x:y", "refs/heads/a b", "refs/../x"] {
            assert!(Plan::new(&source(full)).is_err(), "{full}");
        }
        for commit in ["HEAD", "--x", "abc"] {
            assert!(Plan::new(&GitSource { commit: commit.into(), ..source("refs/heads/main") }).is_err(), "{commit}");
        }
    }

    #[test]
    fn branches_of_a_bundle_are_origins_unless_it_tells_both_apart() {
        let heads = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let mut plan = Plan::new(&source("refs/heads/main")).expect("plan");
        let plain = plan.bundle_refspecs(&heads(&["refs/heads/main", "HEAD"]));
        assert!(plain.contains(&"+refs/heads/*:refs/remotes/origin/*".to_owned()), "{plain:?}");
        let both = plan.bundle_refspecs(&heads(&["refs/heads/main", "refs/remotes/origin/main"]));
        assert!(both.contains(&"+refs/heads/*:refs/heads/*".to_owned()), "{both:?}");
        plan.origin = None;
        assert!(plan.bundle_refspecs(&heads(&["refs/heads/main"])).contains(&"+refs/heads/*:refs/heads/*".to_owned()));
    }
}
