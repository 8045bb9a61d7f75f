//! Images from a registry: pulled once, checked, run as they are; and what is said of those that cannot be.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use testkit::images::{Busybox, Image, Packing, busybox, find_busybox, from_directory};
use testkit::registry::{Access, Fault, ScriptedRegistry};
use testkit::suite::{Said, Suite};

fn refused(said: &Said, code: i32, word: &str) {
    assert!(
        said.code == code && said.stderr.contains(word) && said.stderr.contains("what to do:"),
        "expected {code} and '{word}': {said:?}"
    );
}

#[test]
fn an_image_without_git_says_what_it_lacks_and_what_to_do() -> anyhow::Result<()> {
    let Some(program) = find_busybox() else { return Ok(()) };
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let registry = ScriptedRegistry::start()?;
    registry.add("tiny", "1", &busybox(&program, &Busybox::default())?.build());
    let repository = integration::repository(&[("a", "a")])?;
    let said =
        suite.run(["start", &repository.path().to_string_lossy(), "--name", "tiny", "--image", &registry.reference("tiny:1")]);
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(all.contains("git") && all.contains("what to do:"), "{said:?}");
    suite.end()
}

#[test]
fn images_that_cannot_be_had_leave_nothing_behind() -> anyhow::Result<()> {
    let Some(program) = find_busybox() else { return Ok(()) };
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let registry = ScriptedRegistry::start()?;
    registry.add("tiny", "1", &busybox(&program, &Busybox::default())?.build());
    let repository = integration::repository(&[("a", "a")])?;
    let source = repository.path().to_string_lossy().into_owned();
    let start = |name: &str| suite.run(["start", &source, "--image", &registry.reference(name)]);
    refused(&start("tiny:2"), 3, "tiny:2");
    registry.set_access(Access::Basic("u".into(), "p".into()));
    refused(&start("tiny:1"), 5, "docker login");
    registry.set_access(Access::Open);
    registry.script("/blobs/", None, Fault::FlipBit);
    refused(&start("tiny:1"), 13, "");
    let images = suite.data().join("node/images");
    let partial = testkit::leaks::find(&images, |name| name.ends_with(".partial"));
    assert!(partial.is_empty(), "{partial:?}");
    suite.end()
}

/// An image of this machine's bash, git and busybox, with the libraries they need.
fn with_git(busybox: &Path) -> anyhow::Result<Image> {
    let root = tempfile::tempdir()?;
    let copy = |from: &Path| -> anyhow::Result<()> {
        let to = root.path().join(from.strip_prefix("/")?);
        std::fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        std::fs::copy(from, to).with_context(|| from.display().to_string())?;
        Ok(())
    };
    for folder in ["tmp", "root", "home", "proc", "sys", "dev", "etc", "bin", "usr/bin"] {
        std::fs::create_dir_all(root.path().join(folder))?;
    }
    for program in ["/usr/bin/git", "/bin/bash"] {
        copy(Path::new(program))?;
        let listed = Command::new("ldd").arg(program).output().context("run ldd")?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(Path::new(library))?;
        }
    }
    std::fs::copy(busybox, root.path().join("bin/busybox"))?;
    for applet in ["sh", "cat", "ls", "id", "echo", "true", "mkdir", "sleep", "env", "stty"] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(applet))?;
    }
    std::fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(root.path().join("etc/group"), "root:x:0:\n")?;
    Ok(Image::builder()
        .blob(from_directory(root.path(), Packing::Zstd)?)
        .config("Env", ["PATH=/usr/bin:/bin", "FROM_IMAGE=yes"].as_slice().into())
        .build())
}

#[test]
fn an_image_is_pulled_once_for_all_workspaces_and_has_a_user_and_sudo_whatever_is_in_it() -> anyhow::Result<()> {
    let Some(program) = find_busybox() else { return Ok(()) };
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let registry = ScriptedRegistry::start()?;
    registry.add("small", "1", &with_git(&program)?);
    let repository = integration::repository(&[("a", "content of a\n")])?;
    let source = repository.path().to_string_lossy().into_owned();
    for name in ["one", "two"] {
        suite.run(["start", &source, "--name", name, "--image", &registry.reference("small:1")]).ok()?;
    }
    assert_eq!(registry.blob_requests(), 2, "one layer and one configuration: {:?}", registry.seen());
    let timeline = suite.json(["timeline", "two", "-o", "json"])?;
    let image = timeline.as_array().into_iter().flatten().find(|step| step["name"] == "image").cloned().unwrap_or_default();
    assert_eq!(image["hit"], true, "{timeline:#}");
    let inside = suite.run(["exec", "two", "--", "sh", "-c", "cat a; echo $FROM_IMAGE; id -u; sudo id -u"]).ok()?;
    let lines: Vec<&str> = inside.lines().collect();
    assert!(lines[0] == "content of a" && lines[1] == "yes" && lines[2] != "0" && lines[3] == "0", "{inside}");
    suite.run(["exec", "two", "--", "sudo", "sh", "-c", "echo of-two > /etc/of-two"]).ok()?;
    assert_ne!(
        suite.run(["exec", "one", "--", "cat", "/etc/of-two"]).code,
        0,
        "workspaces of one image do not see each other's writes"
    );
    suite.end()
}
