//! The refs of a remote or a bundle, and which of them a source means.

use std::collections::BTreeMap;
use std::path::Path;

use crate::content::error::ContentError;
use crate::content::git::{Call, Git};
use crate::content::remote::{Remote, is_commit_id};

/// Refs by full name, and where HEAD points.
#[derive(Debug, Default)]
pub struct Refs {
    objects: BTreeMap<String, String>,
    head: Option<String>,
}

/// What a source means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Full commit id (of an annotated tag: the commit it names); empty for a repository without commits.
    pub commit: String,
    /// Full ref name; empty for a commit.
    pub full: String,
    /// The candidate that it was; empty for HEAD.
    pub candidate: String,
}

impl Refs {
    /// Asks a remote.
    pub async fn of_remote(git: &Git<'_>, remote: &Remote, directory: &Path) -> Result<Self, ContentError> {
        let call = Call::new("ls-remote", directory).args(["--symref", "--quiet", "--", remote.url()]);
        let output = git.run(call).await?;
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// From a bundle's list of (object, name). A bundle does not say where HEAD points: the branch of the same commit.
    pub fn of_bundle(list: Vec<(String, String)>) -> Self {
        let objects: BTreeMap<String, String> = list.into_iter().map(|(object, name)| (name, object)).collect();
        let head = objects.get("HEAD").and_then(|commit| {
            let mut branches: Vec<&String> =
                objects.iter().filter(|(n, o)| n.starts_with("refs/heads/") && *o == commit).map(|(n, _)| n).collect();
            branches.sort_by_key(|name| !matches!(name.as_str(), "refs/heads/main" | "refs/heads/master"));
            branches.first().map(|name| (*name).clone())
        });
        Self { objects, head }
    }

    /// Lines of `git ls-remote --symref`: "ref: refs/heads/main\tHEAD" and "OBJECT\tNAME".
    fn parse(text: &str) -> Self {
        let mut refs = Self::default();
        for (left, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            match left.strip_prefix("ref: ") {
                Some(target) if name == "HEAD" => refs.head = Some(target.to_owned()),
                Some(_) => {}
                None if is_commit_id(left) => {
                    refs.objects.insert(name.to_owned(), left.to_owned());
                }
                None => {}
            }
        }
        refs
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// True for a repository without commits.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The branch that HEAD names, short; empty if unknown.
    pub fn default_branch(&self) -> String {
        self.head.as_deref().and_then(|h| h.strip_prefix("refs/heads/")).unwrap_or_default().to_owned()
    }

    /// The first candidate that exists; HEAD where there are none. A full commit id exists if nothing is named so: whether
    /// it really does is seen when it is fetched.
    pub fn pick(&self, candidates: &[String]) -> Option<Picked> {
        if candidates.is_empty() {
            return self.head();
        }
        candidates.iter().find_map(|candidate| self.one(candidate))
    }

    fn one(&self, candidate: &str) -> Option<Picked> {
        let picked = |full: &str, commit: &str| Picked { commit: commit.into(), full: full.into(), candidate: candidate.into() };
        if candidate == "HEAD" {
            return self.head().map(|head| Picked { candidate: candidate.into(), ..head });
        }
        let full = if candidate.starts_with("refs/") { vec![candidate.to_owned()] } else { Vec::new() };
        let short = ["refs/heads/", "refs/tags/", "refs/remotes/origin/"].map(|start| format!("{start}{candidate}"));
        for name in full.into_iter().chain(short) {
            if let Some(commit) = self.commit(&name) {
                return Some(picked(&name, commit));
            }
        }
        let lower = candidate.to_ascii_lowercase();
        is_commit_id(&lower).then(|| picked("", &lower))
    }

    fn head(&self) -> Option<Picked> {
        let picked =
            |full: &str, commit: &str| Some(Picked { commit: commit.into(), full: full.into(), candidate: String::new() });
        match (&self.head, self.objects.get("HEAD")) {
            (Some(branch), _) if self.commit(branch).is_some() => picked(branch, self.commit(branch)?),
            (_, Some(commit)) => picked("", commit),
            // HEAD names no branch that exists; of what there is, the usual names are meant.
            _ if !self.is_empty() => ["refs/heads/main", "refs/heads/master"]
                .into_iter()
                .find_map(|name| picked(name, self.commit(name)?))
                .or_else(|| {
                    let (name, commit) = self.objects.iter().find(|(name, _)| name.starts_with("refs/heads/"))?;
                    picked(name, commit)
                }),
            (branch, None) => picked(branch.as_deref().unwrap_or("refs/heads/main"), ""),
        }
    }

    /// An annotated tag is listed twice; what it names comes with `^{}`.
    fn commit(&self, name: &str) -> Option<&str> {
        self.objects.get(&format!("{name}^{{}}")).or_else(|| self.objects.get(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn refs() -> Refs {
        Refs::parse(&format!(
            "ref: refs/heads/main\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/main\n{b}\trefs/heads/release/1.0\n{c}\trefs/pull/7/head\n{d}\trefs/tags/v1\n{e}\trefs/tags/v1^{{}}\nrubbish\n",
            a = id('a'),
            b = id('b'),
            c = id('c'),
            d = id('d'),
            e = id('e'),
        ))
    }

    fn pick(candidates: &[&str]) -> Option<(String, String, String)> {
        let candidates: Vec<String> = candidates.iter().map(|c| (*c).to_owned()).collect();
        refs().pick(&candidates).map(|p| (p.full, p.commit, p.candidate))
    }

    #[test]
    fn the_first_candidate_that_exists_is_meant() {
        let found = |full: &str, digit, candidate: &str| Some((full.to_owned(), id(digit), candidate.to_owned()));
        assert_eq!(pick(&[]), found("refs/heads/main", 'a', ""));
        assert_eq!(pick(&["release/1.0/docs", "release/1.0", "release"]), found("refs/heads/release/1.0", 'b', "release/1.0"));
        assert_eq!(pick(&["refs/pull/7/head"]), found("refs/pull/7/head", 'c', "refs/pull/7/head"));
        assert_eq!(pick(&["v1"]), found("refs/tags/v1", 'e', "v1"));
        assert_eq!(pick(&[&id('f')]), found("", 'f', &id('f')));
        assert_eq!(pick(&["nope", "main^"]), None);
        assert_eq!(refs().default_branch(), "main");
    }

    #[test]
    fn a_repository_without_commits_is_its_unborn_branch() {
        let picked = Refs::parse("").pick(&[]).expect("unborn");
        assert_eq!((picked.full.as_str(), picked.commit.as_str()), ("refs/heads/main", ""));
    }

    #[test]
    fn a_bundles_head_is_the_branch_of_the_same_commit() {
        let list = vec![(id('a'), "HEAD".into()), (id('a'), "refs/heads/dev".into()), (id('a'), "refs/heads/main".into())];
        assert_eq!(Refs::of_bundle(list).pick(&[]).expect("head").full, "refs/heads/main");
        assert_eq!(Refs::of_bundle(vec![(id('a'), "HEAD".into())]).pick(&[]).expect("detached").full, "");
    }
}
