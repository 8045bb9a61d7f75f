//! TM-18: credentials go to their host and to nobody else, and are in no file, argument or text.

use api::v1::{GitCredential, GitSource};
use testkit::git::Fixture;
use testkit::git::http::{HttpHost, Mode};
use tokio::net::TcpListener;

use crate::instance::Instance;
use crate::repository::{git, open_directory, ready, source, with_source, workspace};

const PASSWORD: &str = "very-secret-word";

fn locked() -> Mode {
    Mode::Basic { user: "me".into(), password: PASSWORD.into() }
}

async fn instance(source: GitSource, host: &HttpHost) -> anyhow::Result<Instance> {
    let credential = GitCredential { host: host.address().to_string(), username: "me".into(), password: PASSWORD.into() };
    Instance::with(|config| {
        with_source(config, source);
        config.credentials.push(credential);
    })
    .await
}

#[tokio::test]
async fn a_private_repository_is_cloned_and_the_password_is_written_nowhere() -> anyhow::Result<()> {
    let (fixture, root) = (Fixture::usual()?, open_directory()?);
    fixture.publish(&root.path().join("usual.git"))?;
    let host = HttpHost::serve(root.path(), locked()).await?;
    let source = GitSource { partial: true, ..source(&fixture, &host.url("usual.git"), "refs/heads/main")? };
    let mut instance = instance(source, &host).await?;
    ready(&mut instance).await?;
    assert!(host.seen().iter().any(|seen| seen.has_credentials()), "it was asked for and given");
    let found = instance.shell(&format!("cd; grep -r {PASSWORD} {} . /run; env", workspace(&instance).display())).await?;
    assert!(!String::from_utf8_lossy(&found.stdout).contains(PASSWORD), "{}", String::from_utf8_lossy(&found.stdout));
    let state = instance.until("anything", |_| true).await?;
    assert!(!format!("{state:?}").contains(PASSWORD));
    assert_eq!(git(&mut instance, "config remote.origin.url").await?, host.url("usual.git"));
    Ok(())
}

#[tokio::test]
async fn neither_a_redirect_nor_a_submodule_takes_them_to_another_host() -> anyhow::Result<()> {
    let (fixture, root) = (Fixture::usual()?, open_directory()?);
    fixture.publish(&root.path().join("usual.git"))?;
    let thief = HttpHost::on(TcpListener::bind("127.0.0.2:0").await?, root.path(), Mode::Refuse(401))?;
    let helper = HttpHost::on(TcpListener::bind("127.0.0.3:0").await?, root.path(), locked())?;
    let host = HttpHost::serve(root.path(), locked()).await?;
    let outer = Fixture::new()?;
    let commit = fixture.git(["rev-parse", "main"])?;
    outer.write(".gitmodules", format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {}\n", thief.url("usual.git")))?;
    outer.git(["add", ".gitmodules"])?;
    outer.git(["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib")])?;
    outer.git(["commit", "--quiet", "-m", "with a submodule"])?;
    outer.publish(&root.path().join("outer.git"))?;
    let with_submodule = GitSource { submodules: true, ..source(&outer, &host.url("outer.git"), "refs/heads/main")? };
    let mut cloned = instance(with_submodule, &host).await?;
    ready(&mut cloned).await?;
    let state =
        cloned.until("submodules were tried", |s| s.timeline.iter().any(|t| t.name == "clone/submodules" && !t.error.is_empty()));
    assert!(format!("{:?}", state.await?).contains("a submodule wants a login"));

    let redirecting = HttpHost::serve(root.path(), Mode::Redirect(format!("http://{}", helper.address()))).await?;
    let mut redirected = instance(source(&fixture, &redirecting.url("usual.git"), "refs/heads/main")?, &redirecting).await?;
    let failed = redirected.until("it failed", |s| s.content.as_ref().is_some_and(|c| !c.error.is_empty())).await?;
    assert_eq!(failed.content.unwrap_or_default().error_class, "unauthenticated");

    for (name, other) in [("a submodule's host", &thief), ("a redirect's host", &helper)] {
        let seen = other.seen();
        assert!(!seen.is_empty(), "{name} was asked");
        assert!(seen.iter().all(|request| !request.has_credentials()), "{name} was given credentials: {seen:?}");
    }
    Ok(())
}
