//! Images from a registry: pulled once, checked, run as they are; and what is said of those that cannot be.

use testkit::images::{Busybox, busybox, find_busybox};
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

#[test]
fn an_image_is_pulled_once_for_all_workspaces() -> anyhow::Result<()> {
    let Some(program) = find_busybox() else { return Ok(()) };
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let registry = ScriptedRegistry::start()?;
    registry.add("tiny", "1", &busybox(&program, &Busybox::default())?.build());
    let repository = integration::repository(&[("a", "a")])?;
    let source = repository.path().to_string_lossy().into_owned();
    for name in ["one", "two"] {
        suite.run(["start", &source, "--name", name, "--image", &registry.reference("tiny:1")]);
    }
    assert_eq!(registry.blob_requests(), 2, "one layer and one configuration: {:?}", registry.seen());
    let timeline = suite.json(["timeline", "two", "-o", "json"])?;
    let image = timeline.as_array().into_iter().flatten().find(|step| step["name"] == "image").cloned().unwrap_or_default();
    assert_eq!(image["hit"], true, "{timeline:#}");
    let inside = suite.run(["exec", "two", "--", "sh", "-c", "echo $((6*7)); sudo id -u"]);
    assert_eq!(inside.stdout, "42\n0\n", "a shell and sudo are there in any image: {inside:?}");
    suite.end()
}
