//! Terminals belong to PID 1: a lost client changes nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;

use testkit::suite::Suite;

fn started() -> anyhow::Result<Option<Suite>> {
    let Some(suite) = Suite::start()? else { return Ok(None) };
    let repository = integration::repository(&[("a", "a")])?;
    suite.run(["start", &repository.path().to_string_lossy(), "--name", "app", "--image", "host"]).ok()?;
    Ok(Some(suite))
}

/// A client at a terminal: what it types, and what it has been shown so far.
struct Client {
    child: Child,
    keys: ChildStdin,
    shown: mpsc::Receiver<String>,
}

impl Client {
    fn open(suite: &Suite, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = suite.crannog(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let keys = child.stdin.take().ok_or_else(|| anyhow::anyhow!("no stdin"))?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no stdout"))?;
        let (sender, shown) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Ok(Self { child, keys, shown })
    }

    fn types(&mut self, text: &[u8]) -> anyhow::Result<()> {
        Ok(self.keys.write_all(text)?)
    }

    /// Waits for a line with this text; a terminal that does not show it within the time has failed.
    fn sees(&self, text: &str) -> anyhow::Result<()> {
        let mut seen = String::new();
        loop {
            let line =
                self.shown.recv_timeout(Duration::from_secs(20)).with_context(|| format!("'{text}' is not in:\n{seen}"))?;
            if line.contains(text) {
                return Ok(());
            }
            seen.push_str(&line);
        }
    }

    fn killed(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

#[test]
fn a_terminal_outlives_its_client_and_shows_what_was_written_meanwhile() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    let mut client = Client::open(&suite, &["shell", "app"])?;
    client.types(b"X=remembered; echo shown-$((20+3))\n")?;
    client.sees("shown-23")?;
    client.types(b"sleep 1; echo later-$((20+4))\n")?;
    // Once the line is echoed, the terminal has it.
    client.sees("echo later-$")?;
    client.killed()?;
    suite.until("nobody watches it, and it is there", Duration::from_secs(10), |suite| {
        let terminals = suite.json(["terminals", "app", "-o", "json"])?;
        Ok(terminals.as_array().and_then(|list| list.first()).is_some_and(|t| t["viewers"] == 0).then_some(()))
    })?;
    let mut again = Client::open(&suite, &["attach", "app"])?;
    again.sees("shown-23")?;
    again.sees("later-24")?;
    again.types(b"echo $X-$((1+1))\n")?;
    again.sees("remembered-2")?;
    again.types(b"exit 5\n")?;
    assert_eq!(again.child.wait()?.code(), Some(5));
    suite.end()
}

#[test]
fn ctrl_p_ctrl_q_leaves_a_terminal_running() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    let mut client = Client::open(&suite, &["shell", "app"])?;
    client.types(b"echo here-$((1+2))\n")?;
    client.sees("here-3")?;
    client.types(&[0x10, 0x11])?;
    let mut words = String::new();
    if let Some(stderr) = client.child.stderr.as_mut() {
        stderr.read_to_string(&mut words)?;
    }
    assert!(client.child.wait()?.success() && words.contains("crannog attach app"), "{words}");
    let terminals = suite.json(["terminals", "app", "-o", "json"])?;
    assert_eq!(terminals.as_array().map(Vec::len), Some(1), "{terminals:#}");
    suite.end()
}

#[test]
fn a_terminal_lives_through_a_killed_server() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    let mut client = Client::open(&suite, &["shell", "app"])?;
    client.types(b"Y=still; echo up-$((1+2))\n")?;
    client.sees("up-3")?;
    suite.kill_server()?;
    client.child.wait()?;
    suite.start_server()?;
    suite.until("it runs", Duration::from_secs(10), |suite| Ok((suite.run(["terminals", "app"]).code == 0).then_some(())))?;
    let mut again = Client::open(&suite, &["attach", "app"])?;
    again.types(b"echo $Y-$((2+2))\n")?;
    again.sees("still-4")?;
    again.killed()?;
    suite.end()
}
