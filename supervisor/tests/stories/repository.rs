//! A repository is brought in by the workspace user's Git, from every kind of host, as the source says.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use api::v1::*;
use testkit::git::Fixture;
use testkit::git::daemon::GitDaemon;
use testkit::git::http::{HttpHost, Mode};

use crate::instance::{Instance, wait_until};

/// The workspace user of these stories: nobody special, where the tests may become another at all.
pub const USER: u32 = 61_234;

/// A directory that everybody may enter.
pub fn open_directory() -> anyhow::Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// Makes the instance one with a repository, whose user is `USER`.
pub fn with_source(config: &mut SupervisorConfig, source: GitSource) {
    let home = PathBuf::from(&config.home);
    let directory = home.with_file_name("workspace").join("app").display().to_string();
    as_user(config);
    let spec = config.spec.get_or_insert_default();
    spec.content = Some(ContentSpec { initial: Some(content_spec::Initial::Git(source)) });
    spec.working_directory = directory.clone();
    spec.repository_directory = directory;
}

/// Makes the workspace user one without privilege.
pub fn as_user(config: &mut SupervisorConfig) {
    if rustix::process::geteuid().is_root() {
        (config.uid, config.gid, config.user) = (USER, USER, "dev".into());
        std::os::unix::fs::chown(&config.home, Some(USER), Some(USER)).expect("hand over the home");
    }
}

/// Where its workspace is.
pub fn workspace(instance: &Instance) -> PathBuf {
    instance.home.with_file_name("workspace")
}

pub async fn start(source: GitSource) -> anyhow::Result<Instance> {
    Instance::with(|config| with_source(config, source)).await
}

/// Waits until the content is there, complete.
pub async fn ready(instance: &mut Instance) -> anyhow::Result<ContentStatus> {
    let state = instance.until("the content is complete", |state| {
        state.content.as_ref().is_some_and(|c| (c.ready && c.complete) || !c.error.is_empty())
    });
    let content = state.await?.content.unwrap_or_default();
    anyhow::ensure!(content.error.is_empty(), "{content:?}");
    Ok(content)
}

/// Runs Git in the repository, as the user that has it.
pub async fn git(instance: &mut Instance, args: &str) -> anyhow::Result<String> {
    let told = instance.shell(&format!("git {args}")).await?;
    anyhow::ensure!(told.exit.code == 0, "git {args}: {}", String::from_utf8_lossy(&told.stderr));
    Ok(String::from_utf8(told.stdout)?.trim_end().to_owned())
}

pub fn source(fixture: &Fixture, url: &str, full: &str) -> anyhow::Result<GitSource> {
    let commit = fixture.git(["rev-parse", &format!("{full}^{{commit}}")])?;
    let r#ref = if full.starts_with("refs/") { full.to_owned() } else { String::new() };
    Ok(GitSource { remote: url.into(), origin: url.into(), r#ref, commit, directory: "app".into(), ..Default::default() })
}

struct Hosted {
    fixture: Fixture,
    host: HttpHost,
    root: tempfile::TempDir,
}

async fn hosted(mode: Mode) -> anyhow::Result<Hosted> {
    let (fixture, root) = (Fixture::usual()?, open_directory()?);
    fixture.publish(&root.path().join("usual.git"))?;
    let host = HttpHost::serve(root.path(), mode).await?;
    Ok(Hosted { fixture, host, root })
}

#[tokio::test]
async fn a_branch_with_slashes_is_checked_out_and_follows_origin() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let source = source(&fixture, &host.url("usual.git"), "refs/heads/feature/with/slashes")?;
    let mut instance = start(source.clone()).await?;
    let content = ready(&mut instance).await?;
    assert_eq!((content.commit.as_str(), content.branch.as_str()), (source.commit.as_str(), "feature/with/slashes"));
    assert_eq!(git(&mut instance, "rev-parse --abbrev-ref @{upstream}").await?, "origin/feature/with/slashes");
    assert_eq!(git(&mut instance, "status --porcelain").await?, "");
    assert_eq!(git(&mut instance, "config remote.origin.url").await?, host.url("usual.git"));
    assert_eq!(git(&mut instance, "tag").await?, "v1.0");
    let mut head = String::new();
    while head != "origin/main" {
        head = git(&mut instance, "rev-parse --abbrev-ref origin/HEAD").await.unwrap_or_default();
    }
    let file = workspace(&instance).join("app/src/main.sh");
    assert_eq!(std::fs::read_to_string(&file)?, "echo two\n");
    if rustix::process::geteuid().is_root() {
        assert_eq!(std::fs::metadata(&file)?.uid(), USER, "the user's own");
    }
    let state =
        instance.until("the step has ended", |s| s.timeline.iter().any(|t| t.name == "clone" && t.ended_unix_us > 0)).await?;
    let step = state.timeline.iter().find(|step| step.name == "clone").expect("a row");
    assert!(step.error.is_empty() && !step.detail.is_empty(), "{step:?}");
    Ok(())
}

#[tokio::test]
async fn a_pull_request_a_tag_and_a_commit_are_where_the_source_says() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let parent = fixture.git(["rev-parse", "main~1"])?;
    for (full, branch) in [("refs/pull/7/head", "pr/7"), ("refs/tags/v1.0", ""), (parent.as_str(), "")] {
        let source = source(&fixture, &host.url("usual.git"), full)?;
        let mut instance = start(source.clone()).await?;
        let content = ready(&mut instance).await?;
        assert_eq!((content.commit.as_str(), content.branch.as_str()), (source.commit.as_str(), branch), "{full}");
        if full == "refs/pull/7/head" {
            // Following it means that `git pull` asks for the request's own ref.
            assert_eq!(git(&mut instance, "config branch.pr/7.merge").await?, full);
            assert_eq!(git(&mut instance, "pull --ff-only").await?, "Already up to date.");
        }
    }
    Ok(())
}

#[tokio::test]
async fn git_daemon_serves_as_well() -> anyhow::Result<()> {
    let Hosted { fixture, root, host: _host } = hosted(Mode::Open).await?;
    let daemon = GitDaemon::serve(root.path())?;
    let source = source(&fixture, &daemon.url("usual.git"), "refs/heads/main")?;
    let mut instance = start(source.clone()).await?;
    assert_eq!(ready(&mut instance).await?.commit, source.commit);
    Ok(())
}

#[tokio::test]
async fn blobs_that_a_partial_clone_left_out_come_behind() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let source = GitSource { partial: true, ..source(&fixture, &host.url("usual.git"), "refs/heads/main")? };
    let mut instance = start(source).await?;
    assert!(ready(&mut instance).await?.complete);
    let asked = host.seen().iter().filter(|seen| seen.path.ends_with("/git-upload-pack")).count();
    // One for refs, one for objects; the checkout and what comes behind ask again.
    assert!(asked > 2, "{asked} requests are those of a full clone");
    drop(host);
    // `main` does not need this blob; it is here all the same, without the host.
    assert_eq!(git(&mut instance, "show origin/feature/with/slashes:src/main.sh").await?, "echo two");
    assert_eq!(git(&mut instance, "rev-list --objects --all --missing=print").await?.matches('?').count(), 0);
    assert!(git(&mut instance, "config remote.origin.promisor").await.is_err(), "an ordinary clone in the end");
    Ok(())
}

#[tokio::test]
async fn uncommitted_changes_come_as_they_were_and_the_bundle_is_for_root_only() -> anyhow::Result<()> {
    let (fixture, directory) = (Fixture::usual()?, open_directory()?);
    fixture.write("src/main.sh", "echo changed\n")?;
    fixture.write("new/file", "new\n")?;
    std::fs::remove_file(fixture.path().join("README.md"))?;
    let head = fixture.git(["rev-parse", "HEAD"])?;
    fixture.git(["checkout", "--quiet", "--detach"])?;
    let changes = fixture.commit("changes")?;
    fixture.git(["update-ref", "refs/crannog/uncommitted", &changes])?;
    fixture.git(["checkout", "--quiet", "main"])?;
    let bundle = directory.path().join("source.bundle");
    fixture.bundle(&bundle, &["refs/heads/main", "refs/tags/v1.0", "refs/crannog/uncommitted"])?;
    std::fs::set_permissions(&bundle, std::fs::Permissions::from_mode(0o600))?;
    let source = GitSource {
        origin: "https://git.example.org/a/usual".into(),
        changes_ref: "refs/crannog/uncommitted".into(),
        r#ref: "refs/heads/main".into(),
        commit: head.clone(),
        ..Default::default()
    };
    let mut instance = Instance::with(|config| {
        with_source(config, source);
        config.bundle_path = bundle.display().to_string();
    })
    .await?;
    assert_eq!(ready(&mut instance).await?.commit, head);
    assert_eq!(
        git(&mut instance, "status --porcelain --untracked-files=all").await?,
        " D README.md\n M src/main.sh\n?? new/file"
    );
    assert_eq!(git(&mut instance, "for-each-ref --format='%(refname)' refs/crannog").await?, "", "no ref of ours is left");
    assert_eq!(git(&mut instance, "config remote.origin.url").await?, "https://git.example.org/a/usual");
    assert_eq!(names(&workspace(&instance))?, ["app"], "no copy of the bundle is left");
    Ok(())
}

#[tokio::test]
async fn a_clone_that_a_crash_left_half_is_made_again() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let source = source(&fixture, &host.url("usual.git"), "refs/heads/main")?;
    let mut instance = Instance::with(|config| {
        with_source(config, source);
        let half = Path::new(&config.home).with_file_name("workspace").join(".app.incoming");
        std::fs::create_dir_all(half.join(".git")).expect("half a clone");
        std::fs::write(half.join(".git/HEAD"), "ref: refs/heads/ma").expect("half a clone");
    })
    .await?;
    ready(&mut instance).await?;
    assert_eq!(git(&mut instance, "status --porcelain").await?, "");
    assert_eq!(names(&workspace(&instance))?, ["app"]);
    Ok(())
}

#[tokio::test]
async fn content_that_is_there_is_not_fetched_again() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let source = source(&fixture, &host.url("usual.git"), "refs/heads/main")?;
    let mut first = start(source.clone()).await?;
    ready(&mut first).await?;
    git(&mut first, "checkout --quiet -b mine").await?;
    let kept = workspace(&first);
    drop(host);
    let mut second = Instance::with(|config| {
        with_source(config, source.clone());
        config.content_ready = true;
        config.spec.get_or_insert_default().repository_directory = kept.join("app").display().to_string();
    })
    .await?;
    let content = ready(&mut second).await?;
    assert_eq!((content.commit, content.branch.as_str()), (source.commit, "mine"));
    let state =
        second.until("the step has ended", |s| s.timeline.iter().any(|t| t.name == "clone" && t.ended_unix_us > 0)).await?;
    assert!(state.timeline.iter().any(|step| step.name == "clone" && step.hit));
    Ok(())
}

#[tokio::test]
async fn what_goes_wrong_is_named_and_leaves_a_workspace_that_runs() -> anyhow::Result<()> {
    let Hosted { fixture, host, root } = hosted(Mode::Open).await?;
    let locked = HttpHost::serve(root.path(), Mode::Basic { user: "me".into(), password: "secret-word".into() }).await?;
    let forbidden = HttpHost::serve(root.path(), Mode::Refuse(403)).await?;
    let broken = HttpHost::serve(root.path(), Mode::Refuse(503)).await?;
    let commit = |source: GitSource| GitSource { commit: "12".repeat(20), ..source };
    let main = |url: &str| source(&fixture, url, "refs/heads/main");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cases = [
        (main(&host.url("nothing.git"))?, "not-found", "there is no repository at http"),
        (main("http://host.invalid/a.git")?, "not-found", "the host of http://host.invalid/a.git is not found"),
        (main(&format!("http://{nobody}/a.git"))?, "unavailable", "does not answer"),
        (main(&broken.url("usual.git"))?, "unavailable", "503"),
        (main(&locked.url("usual.git"))?, "unauthenticated", "wants a login"),
        (main(&forbidden.url("usual.git"))?, "permission-denied", "refuses access"),
        (commit(main(&host.url("usual.git"))?), "not-found", "there is no such commit: 1212"),
        (
            GitSource { r#ref: "refs/pull/99/head".into(), ..main(&host.url("usual.git"))? },
            "not-found",
            "no such branch or tag: refs/pull/99/head",
        ),
        (main("https://me:secret-word@host.invalid/a")?, "invalid-argument", "user name or a password"),
        (main("--upload-pack=touch /tmp/x")?, "invalid-argument", "begins with a dash"),
        (GitSource { r#ref: "--orphan".into(), ..main(&host.url("usual.git"))? }, "invalid-argument", "\"--orphan\""),
    ];
    for (source, class, text) in cases {
        let mut instance = start(source.clone()).await?;
        let failed = |state: &SupervisorState| state.content.as_ref().is_some_and(|c| !c.error.is_empty());
        let content = instance.until("it failed", failed).await?.content.unwrap_or_default();
        assert_eq!(content.error_class, class, "{content:?}");
        assert!(content.error.contains(text) && !content.hint.is_empty() && !content.ready, "{content:?}");
        assert!(!format!("{content:?}").contains("secret-word"), "{content:?}");
        assert_eq!(instance.exec(&["true"], b"").await?.exit.code, 0, "people can look into it");
        if workspace(&instance).exists() {
            assert_eq!(names(&workspace(&instance))?, [] as [String; 0], "{source:?} left something");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_image_without_git_is_told_from_a_repository_without_answer() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let source = source(&fixture, &host.url("usual.git"), "refs/heads/main")?;
    let mut instance = Instance::with(|config| {
        with_source(config, source);
        config.env.push(EnvVar { name: "PATH".into(), value: "/nonexistent".into() });
    })
    .await?;
    let failed = |state: &SupervisorState| state.content.as_ref().is_some_and(|c| !c.error.is_empty());
    let content = instance.until("it failed", failed).await?.content.unwrap_or_default();
    assert_eq!((content.error_class.as_str(), content.error.as_str()), ("failed-precondition", "there is no git in the image"));
    Ok(())
}

#[tokio::test]
async fn every_bundle_of_the_corpus_is_brought_in() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/repos");
    let bundles: Vec<PathBuf> = match std::fs::read_dir(&corpus) {
        Ok(entries) => {
            entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "bundle")).collect()
        }
        Err(_) => Vec::new(),
    };
    println!("corpus: {}", if bundles.is_empty() { "not here".to_owned() } else { format!("{} files", bundles.len()) });
    for bundle in bundles {
        let heads = testkit::git::git(Path::new("/"), ["bundle", "list-heads", bundle.to_str().expect("path")], b"")?;
        let (commit, full) =
            heads.lines().filter_map(|l| l.split_once(' ')).find(|(_, n)| n.starts_with("refs/heads/")).expect("a branch");
        let source =
            GitSource { r#ref: full.into(), commit: commit.into(), origin: "https://e.org/a".into(), ..Default::default() };
        let mut instance = Instance::with(|config| {
            with_source(config, source);
            config.bundle_path = bundle.display().to_string();
        })
        .await?;
        assert_eq!(ready(&mut instance).await?.commit, commit, "{}", bundle.display());
        assert_eq!(git(&mut instance, "status --porcelain").await?, "", "{}", bundle.display());
        served_with_all_checks(&bundle, commit, full).await?;
    }
    Ok(())
}

/// The same repository over HTTP, where Git looks into each object (`transfer.fsckObjects`).
async fn served_with_all_checks(bundle: &Path, commit: &str, full: &str) -> anyhow::Result<()> {
    let root = open_directory()?;
    let (from, to) = (bundle.to_str().expect("path"), root.path().join("a.git"));
    testkit::git::git(root.path(), ["clone", "--quiet", "--mirror", from, to.to_str().expect("path")], b"")?;
    let host = HttpHost::serve(root.path(), Mode::Open).await?;
    let url = host.url("a.git");
    let source = GitSource { remote: url.clone(), origin: url, r#ref: full.into(), commit: commit.into(), ..Default::default() };
    let mut instance = start(source).await?;
    assert_eq!(ready(&mut instance).await?.commit, commit, "{}", bundle.display());
    let state =
        instance.until("the step has ended", |s| s.timeline.iter().any(|t| t.name == "clone" && t.ended_unix_us > 0)).await?;
    let step = state.timeline.iter().find(|step| step.name == "clone").expect("a row");
    let name = bundle.file_name().unwrap_or_default().display();
    println!("{name}: {} ms, {} KiB, {}", (step.ended_unix_us - step.started_unix_us) / 1000, step.bytes >> 10, step.detail);
    Ok(())
}

pub fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(directory)?
        .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn a_submodule_of_the_same_host_comes_along() -> anyhow::Result<()> {
    let Hosted { fixture, host, root } = hosted(Mode::Open).await?;
    let commit = fixture.git(["rev-parse", "main"])?;
    let outer = Fixture::new()?;
    outer.write(".gitmodules", "[submodule \"lib\"]\n\tpath = lib\n\turl = ../usual.git\n")?;
    outer.git(["add", ".gitmodules"])?;
    outer.git(["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib")])?;
    outer.git(["commit", "--quiet", "-m", "with a submodule"])?;
    outer.publish(&root.path().join("outer.git"))?;
    let source = GitSource { submodules: true, ..source(&outer, &host.url("outer.git"), "refs/heads/main")? };
    let mut instance = start(source).await?;
    ready(&mut instance).await?;
    wait_until("the submodule is there", || Ok(workspace(&instance).join("app/lib/README.md").exists())).await?;
    assert_eq!(git(&mut instance, "status --porcelain").await?, "");
    Ok(())
}

#[tokio::test]
async fn a_clone_that_is_still_partial_at_a_restart_is_completed_then() -> anyhow::Result<()> {
    let Hosted { fixture, host, root: _root } = hosted(Mode::Open).await?;
    let source = GitSource { partial: true, ..source(&fixture, &host.url("usual.git"), "refs/heads/main")? };
    let kept = open_directory()?;
    let app = kept.path().join("app");
    let (url, path) = (source.remote.clone(), app.display().to_string());
    let args = ["clone", "--quiet", "--filter=blob:none", &url, &path].map(str::to_owned);
    tokio::task::spawn_blocking(move || testkit::git::git(Path::new("/"), args.iter().map(String::as_str), b"")).await??;
    let missing = ["rev-list", "--objects", "--all", "--missing=print"];
    assert!(testkit::git::git(&app, missing, b"")?.contains('?'), "a partial one to begin with");
    let mut instance = Instance::with(|config| {
        with_source(config, source);
        config.content_ready = true;
        config.spec.get_or_insert_default().repository_directory = path.clone();
        let owner = format!("{}:{}", config.uid, config.gid);
        std::process::Command::new("chown").args(["-R", &owner, &path]).status().expect("chown");
    })
    .await?;
    ready(&mut instance).await?;
    drop(host);
    assert!(!testkit::git::git(&app, missing, b"")?.contains('?'));
    Ok(())
}

#[tokio::test]
async fn what_the_repository_wants_of_git_is_set_for_the_user_at_each_start() -> anyhow::Result<()> {
    let setting = |key: &str, value: &str| GitSetting { key: key.into(), value: value.into() };
    let mut instance = Instance::with(|config| {
        as_user(config);
        std::fs::write(Path::new(&config.home).join(".gitconfig"), "[pull]\n\trebase = false\n").expect("an earlier choice");
        let directory = PathBuf::from(&config.home).with_file_name("workspace").join("app");
        let spec = config.spec.get_or_insert_default();
        spec.repository_directory = directory.display().to_string();
        spec.git_config = vec![setting("pull.rebase", "true"), setting("core.abbrev", "-1"), setting("--unset", "x")];
    })
    .await?;
    ready(&mut instance).await?;
    let text = std::fs::read_to_string(instance.home.join(".gitconfig"))?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines, ["[pull]", "rebase = true", "[core]", "abbrev = -1"], "all that can be set, and nothing else");
    Ok(())
}
