//! TM-17: a repository that is hostile is cloned, with its submodules, and nothing of it runs and nothing of it lies
//! outside its worktree.

use testkit::git::Fixture;
use testkit::git::hostile::corpus;
use testkit::git::http::{HttpHost, Mode};

use crate::repository::{names, open_directory, source, start, workspace};

#[tokio::test]
async fn nothing_of_a_hostile_repository_runs() -> anyhow::Result<()> {
    let root = open_directory()?;
    Fixture::usual()?.publish(&root.path().join("x"))?;
    let host = HttpHost::serve(root.path(), Mode::Open).await?;
    // Anybody could write it, so the user's Git could.
    let yard = open_directory()?;
    std::fs::set_permissions(yard.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777))?;
    let canary = yard.path().join("canary");
    let corpus = corpus();
    let (mut whole, mut refused) = (0, 0);
    for (index, hostile) in corpus.iter().enumerate() {
        let fixture = hostile.make(&canary)?;
        let name = format!("hostile-{index}.git");
        fixture.publish(&root.path().join(&name))?;
        let mut source = source(&fixture, &host.url(&name), "refs/heads/main")?;
        (source.submodules, source.partial) = (true, index % 2 == 0);
        let mut instance = start(source).await?;
        let ended = |state: &api::v1::SupervisorState| {
            state.content.as_ref().is_some_and(|c| (c.ready && c.complete) || !c.error.is_empty())
        };
        let content = instance.until(hostile.name, ended).await?.content.unwrap_or_default();
        if content.ready {
            whole += 1
        } else {
            refused += 1
        }
        assert!(!canary.exists(), "{} ran", hostile.name);
        assert!(!content.ready || content.error.is_empty());
        let expected: &[&str] = if content.ready { &["app"] } else { &[] };
        assert_eq!(names(&workspace(&instance))?, expected, "{} left something outside", hostile.name);
        let around = names(instance.home.parent().expect("a parent"))?;
        assert_eq!(around, ["api.sock", "home", "workspace"], "{} wrote outside", hostile.name);
        assert_eq!(instance.exec(&["true"], b"").await?.exit.code, 0, "{}", hostile.name);
    }
    println!("{} hostile repositories: {whole} cloned without harm, {refused} refused", corpus.len());
    assert!(corpus.len() >= 30 && refused >= 10, "{whole} {refused}");
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
