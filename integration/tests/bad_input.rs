//! Whatever is wrong gets a message that says what to do next, its own exit code, and leaves nothing behind.

use std::process::{Command, Stdio};

use exit_code::*;
use testkit::suite::{Said, Suite};

/// Exit codes as the manual lists them.
mod exit_code {
    pub const INVALID: i32 = 2;
    pub const NOT_FOUND: i32 = 3;
    pub const ALREADY_EXISTS: i32 = 4;
    pub const UNAUTHENTICATED: i32 = 5;
    pub const FAILED_PRECONDITION: i32 = 7;
    pub const UNAVAILABLE: i32 = 10;
}

fn refused(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{said:?}");
    let all = format!("{}{}", said.stdout, said.stderr);
    for word in words {
        assert!(all.contains(word), "'{word}' is not said: {said:?}");
    }
    assert!(said.stderr.contains("what to do:"), "no hint: {said:?}");
}

#[test]
fn sources_that_cannot_be_had_say_why() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let start = |source: &str| suite.run(["start", source, "--image", "host"]);
    refused(&start("https://no-such-host.invalid/a/b"), NOT_FOUND, &["no-such-host.invalid"]);
    refused(&start("ext::sh -c id"), INVALID, &[]);
    refused(&start("https://example.com/a\u{7}b"), INVALID, &[]);
    refused(&start("./no-such-directory"), NOT_FOUND, &["no-such-directory"]);
    refused(&start("no-such-workspace"), NOT_FOUND, &["no-such-workspace"]);
    let empty = tempfile::tempdir()?;
    refused(&start(&empty.path().to_string_lossy()), INVALID, &["not in a Git repository"]);
    suite.end()
}

#[test]
fn names_and_images_that_cannot_be_had_say_why() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let repository = integration::repository(&[("a", "a")])?;
    let source = repository.path().to_string_lossy().into_owned();
    suite.run(["start", &source, "--name", "app", "--image", "host"]).ok()?;
    refused(&suite.run(["start", &source, "--name", "app", "--image", "host"]), ALREADY_EXISTS, &["app"]);
    refused(&suite.run(["start", &source, "--name", "Not_A_Name", "--image", "host"]), INVALID, &[]);
    refused(&suite.run(["start", &source, "--image", "not//an image"]), INVALID, &[]);
    // Nothing listens on port 1 of loopback: a registry that is away.
    refused(&suite.run(["start", &source, "--name", "away", "--image", "127.0.0.1:1/no/image:1"]), UNAVAILABLE, &["127.0.0.1:1"]);
    refused(&suite.run(["exec", "gone", "--", "true"]), NOT_FOUND, &["gone"]);
    suite.run(["stop", "app"]).ok()?;
    refused(&suite.run(["exec", "app", "--", "true"]), FAILED_PRECONDITION, &["crannog start app"]);
    suite.end()
}

#[test]
fn an_ill_configuration_starts_the_workspace_and_shows_the_error() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let ill = integration::repository(&[(".gitpod.yml", "tasks:\n  - init: [\n")])?;
    let said = suite.run(["start", &ill.path().to_string_lossy(), "--name", "ill", "--image", "host"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains(".gitpod.yml"), "{said:?}");
    let odd = integration::repository(&[(".gitpod.yml", "tasks:\n  - command: \"true\"\n    colour: red\n")])?;
    let said = suite.run(["start", &odd.path().to_string_lossy(), "--name", "odd", "--image", "host"]);
    assert!(
        said.code == 0 && said.stderr.contains("colour") && said.stderr.contains(":3:"),
        "line and column of the unknown key: {said:?}"
    );
    suite.end()
}

#[test]
fn a_second_server_and_data_of_a_newer_version_are_refused() -> anyhow::Result<()> {
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    let second = |suite: &Suite| suite.run(["server", "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"]);
    refused(&second(&suite), FAILED_PRECONDITION, &["data directory"]);
    suite.stop_server()?;
    let version = suite.data().join("VERSION");
    let known = std::fs::read_to_string(&version)?;
    std::fs::write(&version, "999\n")?;
    refused(&second(&suite), FAILED_PRECONDITION, &["999"]);
    std::fs::write(&version, known)?;
    refused(&suite.run(["list"]), UNAVAILABLE, &["crannog server"]);
    suite.start_server()?;
    suite.end()
}

#[test]
fn ports_that_are_taken_are_named() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let other = tempfile::tempdir()?;
    let mut command = Command::new(suite.crannog(["server"]).get_program());
    command.args(["server", "--listen", &address, "--edge", "127.0.0.1:0", "--data"]).arg(other.path()).stdin(Stdio::null());
    refused(&testkit::suite::said(&mut command), ALREADY_EXISTS, &[&address]);
    suite.end()
}

#[test]
fn a_wrong_token_is_refused() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    refused(&suite.run(["list", "--token", "wrong"]), UNAUTHENTICATED, &[]);
    suite.end()
}
