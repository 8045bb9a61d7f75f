//! Terminals belong to PID 1: a lost client changes nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use testkit::suite::Suite;

fn started() -> anyhow::Result<Option<Suite>> {
    let Some(suite) = Suite::start()? else { return Ok(None) };
    let repository = integration::repository(&[("a", "a")])?;
    suite.run(["start", &repository.path().to_string_lossy(), "--name", "app", "--image", "host"]).ok()?;
    Ok(Some(suite))
}

fn open(suite: &Suite, arguments: &[&str]) -> anyhow::Result<(Child, ChildStdin)> {
    let mut child = suite.crannog(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take().ok_or_else(|| anyhow::anyhow!("no stdin"))?;
    Ok((child, stdin))
}

/// Reads until a line contains the text.
fn read_until(child: &mut Child, text: &str) -> anyhow::Result<()> {
    let stdout = child.stdout.as_mut().ok_or_else(|| anyhow::anyhow!("no stdout"))?;
    let mut reader = BufReader::with_capacity(1, stdout);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        if line.contains(text) {
            return Ok(());
        }
        line.clear();
    }
    anyhow::bail!("the terminal ended before it showed {text}")
}

#[test]
fn a_terminal_outlives_its_client_and_shows_what_was_written_meanwhile() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    let (mut client, mut keys) = open(&suite, &["shell", "app"])?;
    keys.write_all(b"X=remembered; echo shown-$((20+3))\n")?;
    read_until(&mut client, "shown-23")?;
    keys.write_all(b"sleep 1; echo later-$((20+4))\n")?;
    client.kill()?;
    client.wait()?;
    suite.until("nobody watches it, and it is there", Duration::from_secs(10), |suite| {
        let terminals = suite.json(["terminals", "app", "-o", "json"])?;
        Ok(terminals.as_array().and_then(|list| list.first()).is_some_and(|t| t["viewers"] == 0).then_some(()))
    })?;
    let (mut again, mut keys) = open(&suite, &["attach", "app"])?;
    read_until(&mut again, "shown-23")?;
    read_until(&mut again, "later-24")?;
    keys.write_all(b"echo $X-$((1+1))\n")?;
    read_until(&mut again, "remembered-2")?;
    keys.write_all(b"exit 5\n")?;
    let mut rest = String::new();
    if let Some(stdout) = again.stdout.as_mut() {
        stdout.read_to_string(&mut rest)?;
    }
    assert_eq!(again.wait()?.code(), Some(5), "{rest}");
    suite.end()
}

#[test]
fn ctrl_p_ctrl_q_leaves_a_terminal_running() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    let (mut client, mut keys) = open(&suite, &["shell", "app"])?;
    keys.write_all(b"echo here-$((1+2))\n")?;
    read_until(&mut client, "here-3")?;
    keys.write_all(&[0x10, 0x11])?;
    let mut words = String::new();
    if let Some(stderr) = client.stderr.as_mut() {
        stderr.read_to_string(&mut words)?;
    }
    assert!(client.wait()?.success() && words.contains("crannog attach app"), "{words}");
    let terminals = suite.json(["terminals", "app", "-o", "json"])?;
    assert_eq!(terminals.as_array().map(Vec::len), Some(1), "{terminals:#}");
    suite.end()
}

#[test]
fn a_terminal_lives_through_a_killed_server() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    let (mut client, mut keys) = open(&suite, &["shell", "app"])?;
    keys.write_all(b"Y=still; echo up-$((1+2))\n")?;
    read_until(&mut client, "up-3")?;
    suite.kill_server()?;
    client.wait()?;
    suite.start_server()?;
    suite.until("it runs", Duration::from_secs(10), |suite| Ok((suite.run(["terminals", "app"]).code == 0).then_some(())))?;
    let (mut again, mut keys) = open(&suite, &["attach", "app"])?;
    keys.write_all(b"echo $Y-$((2+2))\n")?;
    read_until(&mut again, "still-4")?;
    again.kill()?;
    again.wait()?;
    suite.end()
}
