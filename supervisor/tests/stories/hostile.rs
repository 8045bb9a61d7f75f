//! TM-17: a repository that is hostile is cloned, with its submodules, and nothing of it runs and nothing of it lies
//! outside its worktree.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use api::v1::{GitSource, SupervisorState};
use testkit::git::Fixture;
use testkit::git::hostile::corpus;
use testkit::git::http::{HttpHost, Mode};

use crate::instance::Instance;
use crate::repository::{names, open_directory, source, start, with_source, workspace};

const HOST: &str = "https://host.invalid/a";

/// Where attempts would be seen.
struct Yard {
    directory: tempfile::TempDir,
    canary: PathBuf,
}

impl Yard {
    /// Anybody may write there, so the user's Git could.
    fn new() -> anyhow::Result<Self> {
        let directory = open_directory()?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o1777))?;
        let canary = directory.path().join("canary");
        Ok(Self { directory, canary })
    }

    /// Waits until the content is in or refused; true when it is in. Nothing ran, nothing lies outside.
    async fn survives(&self, name: &str, mut instance: Instance) -> anyhow::Result<bool> {
        let ended =
            |state: &SupervisorState| state.content.as_ref().is_some_and(|c| (c.ready && c.complete) || !c.error.is_empty());
        let content = instance.until(name, ended).await?.content.unwrap_or_default();
        assert!(!self.canary.exists(), "{name} ran");
        assert_eq!(names(self.directory.path())?, [] as [String; 0], "{name} wrote where anybody may");
        let expected: &[&str] = if content.ready { &["app"] } else { &[] };
        assert_eq!(names(&workspace(&instance))?, expected, "{name} left something beside the worktree");
        let around = names(instance.home.parent().expect("a parent"))?;
        assert_eq!(around, ["api.sock", "home", "workspace"], "{name} wrote outside the workspace");
        assert_eq!(instance.exec(&["true"], b"").await?.exit.code, 0, "{name}");
        Ok(content.ready)
    }
}

#[tokio::test]
async fn nothing_of_a_hostile_repository_runs() -> anyhow::Result<()> {
    let (root, yard) = (open_directory()?, Yard::new()?);
    Fixture::usual()?.publish(&root.path().join("x"))?;
    let host = HttpHost::serve(root.path(), Mode::Open).await?;
    let corpus = corpus();
    let mut whole = 0;
    for (index, hostile) in corpus.iter().enumerate() {
        let fixture = hostile.make(&yard.canary)?;
        let name = format!("hostile-{index}.git");
        fixture.publish(&root.path().join(&name))?;
        let source = source(&fixture, &host.url(&name), "refs/heads/main")?;
        let source = GitSource { submodules: true, partial: index % 2 == 0, ..source };
        whole += usize::from(yard.survives(hostile.name, start(source).await?).await?);
    }
    println!("{} hostile repositories: {whole} cloned without harm, the others refused", corpus.len());
    assert!(corpus.len() >= 30 && corpus.len() - whole >= 10, "{whole}");
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_hostile_bundle_runs() -> anyhow::Result<()> {
    let yard = Yard::new()?;
    let (mut count, mut whole) = (0, 0);
    for hostile in corpus() {
        let (fixture, directory) = (hostile.make(&yard.canary)?, open_directory()?);
        let bundle = directory.path().join("source.bundle");
        if fixture.bundle(&bundle, &["--all"]).is_err() {
            continue;
        }
        count += 1;
        let source = source(&fixture, HOST, "refs/heads/main")?;
        let source = GitSource { remote: String::new(), submodules: true, ..source };
        let instance = Instance::with(|config| {
            with_source(config, source);
            config.bundle_path = bundle.display().to_string();
        });
        whole += usize::from(yard.survives(hostile.name, instance.await?).await?);
    }
    println!("{count} hostile bundles: {whole} read without harm, the others refused");
    assert!(count >= 20, "{count}");
    Ok(())
}

#[test]
fn the_canary_is_touched_when_such_a_repository_is_trusted() -> anyhow::Result<()> {
    let yard = open_directory()?;
    let canary = yard.path().join("canary");
    let hooks = corpus().into_iter().find(|h| h.name.starts_with("hooks")).expect("in the corpus");
    let fixture = hooks.make(&canary)?;
    fixture.git(["-c", "core.hooksPath=.githooks", "checkout", "--quiet", "-b", "other"])?;
    assert!(canary.exists(), "the corpus could do no harm at all");
    Ok(())
}
