//! Commands in a workspace behave as if they ran here.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::suite::Suite;

fn started() -> anyhow::Result<Option<Suite>> {
    let Some(suite) = Suite::start()? else { return Ok(None) };
    let repository = integration::repository(&[("a", "a")])?;
    suite.run(["start", &repository.path().to_string_lossy(), "--name", "app", "--image", "host"]).ok()?;
    Ok(Some(suite))
}

#[test]
fn exit_status_streams_user_directory_and_variables_are_what_was_asked_for() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    assert_eq!(suite.run(["exec", "app", "--", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(suite.run(["exec", "app", "--", "sh", "-c", "kill -9 $$"]).code, 128 + 9);
    let said = suite.run(["exec", "app", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"));
    let missing = suite.run(["exec", "app", "--", "no-such-program"]);
    assert!(missing.code == 127 && missing.stderr.contains("no-such-program"), "{missing:?}");
    assert_eq!(suite.run(["exec", "app", "--user", "root", "--", "id", "-u"]).ok()?, "0\n");
    assert_ne!(suite.run(["exec", "app", "--", "id", "-u"]).ok()?, "0\n");
    assert_eq!(suite.run(["exec", "app", "--workdir", "/usr", "--", "pwd"]).ok()?, "/usr\n");
    assert_eq!(suite.run(["exec", "app", "--env", "A=b c", "--", "sh", "-c", "echo \"$A\""]).ok()?, "b c\n");
    let odd = ["exec", "app", "--", "printf", "%s|", "a b", "", "$HOME", "'", "\n"];
    assert_eq!(suite.run(odd).ok()?, "a b||$HOME|'|\n|", "arguments are never parsed by a shell");
    suite.end()
}

#[test]
fn a_hundred_megabytes_go_through_and_come_back_as_they_were() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    let mut child = suite.crannog(["exec", "app", "-i", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(|| anyhow::anyhow!("no stdin"))?;
    let block: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sent = block.clone();
    let writing = std::thread::spawn(move || (0..100).try_for_each(|_| stdin.write_all(&sent)));
    let mut stdout = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no stdout"))?;
    let mut buffer = vec![0; block.len()];
    for turn in 0..100 {
        stdout.read_exact(&mut buffer)?;
        assert!(buffer == block, "block {turn} came back changed");
    }
    assert_eq!(stdout.read(&mut buffer)?, 0);
    writing.join().map_err(|_| anyhow::anyhow!("writing panicked"))??;
    assert!(child.wait()?.success());
    suite.end()
}

#[test]
fn a_signal_to_the_client_reaches_the_command() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = suite.crannog(["exec", "app", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no stdout"))?;
    let mut seen = [0; 6];
    stdout.read_exact(&mut seen)?;
    std::process::Command::new("kill").arg(child.id().to_string()).status()?;
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    assert_eq!((rest.as_str(), child.wait()?.code()), ("caught\n", Some(3)));
    suite.end()
}

#[test]
fn a_command_whose_client_is_gone_ends() -> anyhow::Result<()> {
    let Some(mut suite) = started()? else { return Ok(()) };
    let mut child = suite.crannog(["exec", "app", "--", "sleep", "4242"]).stdout(Stdio::null()).spawn()?;
    let runs = |suite: &Suite| suite.run(["exec", "app", "--", "sh", "-c", "grep -lz '^4242' /proc/[0-9]*/cmdline"]).code == 0;
    suite.until("it runs", Duration::from_secs(10), |suite| Ok(runs(suite).then_some(())))?;
    child.kill()?;
    child.wait()?;
    let began = Instant::now();
    suite.until("it has ended", Duration::from_secs(15), |suite| Ok((!runs(suite)).then_some(())))?;
    assert!(began.elapsed() < Duration::from_secs(15));
    suite.end()
}

#[test]
fn real_toolchains_of_the_machine_work_for_the_workspace_user() -> anyhow::Result<()> {
    let Some(suite) = started()? else { return Ok(()) };
    let rust = "mkdir -p /tmp/r/src && cd /tmp/r && printf '[package]\\nname=\"r\"\\nversion=\"0.1.0\"\\nedition=\"2021\"\\n' > Cargo.toml \
                && echo 'fn main() { println!(\"built inside\"); }' > src/main.rs && cargo run --quiet --offline";
    assert_eq!(suite.run(["exec", "app", "--", "sh", "-c", rust]).ok()?, "built inside\n");
    if testkit_has("python3") {
        let python = "python3 -m venv /tmp/v && /tmp/v/bin/python -c 'print(6 * 7)'";
        assert_eq!(suite.run(["exec", "app", "--", "sh", "-c", python]).ok()?, "42\n");
    }
    if testkit_has("npm") {
        suite
            .run([
                "exec",
                "app",
                "--",
                "sh",
                "-c",
                "mkdir -p /tmp/n && cd /tmp/n && npm init -y >/dev/null && node -e 'console.log(1)'",
            ])
            .ok()?;
    }
    suite.end()
}

fn testkit_has(program: &str) -> bool {
    std::process::Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
