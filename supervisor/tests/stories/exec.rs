//! Commands on behalf of a client.

use api::v1::exec_request::Message as Ask;
use api::v1::exec_response::Message as Answer;
use api::v1::{ExecExit, ExecStart, TerminalSize};
use futures::StreamExt as _;

use crate::instance::{Instance, PATIENCE, ask, collect, start, wait_until};

#[tokio::test]
async fn output_errors_and_exit_code_of_a_command_arrive_apart() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let told = instance.shell("echo out; echo err >&2; exit 7").await?;
    assert_eq!((told.stdout.as_slice(), told.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(told.exit, ExecExit { code: 7, signal: 0, oom_killed: false });
    Ok(())
}

#[tokio::test]
async fn every_byte_of_a_binary_input_comes_back() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let input: Vec<u8> = (0..3_000_000u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()).collect();
    let told = instance.exec(&["cat"], &input).await?;
    assert!(told.stdout == input, "{} of {} bytes came back, or others", told.stdout.len(), input.len());
    assert_eq!(told.exit.code, 0);
    Ok(())
}

#[tokio::test]
async fn a_signal_reaches_the_whole_process_group() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let (asks, mut answers) = instance.begin(start(&["bash", "-c", "sleep 300 & echo up; wait"])).await?;
    loop {
        match tokio::time::timeout(PATIENCE, answers.next()).await?.expect("more")?.message {
            Some(Answer::Stdout(_)) => break,
            _ => continue,
        }
    }
    asks.send(ask(Ask::Signal(15))).await?;
    let told = tokio::time::timeout(PATIENCE, collect(answers)).await??;
    assert_eq!(told.exit, ExecExit { code: 143, signal: 15, oom_killed: false });
    let left = instance.shell("pgrep -c sleep").await?;
    assert_eq!(left.stdout, b"0\n");
    Ok(())
}

#[tokio::test]
async fn an_end_by_a_signal_without_a_name_is_an_end_too() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let told = instance.shell("kill -s 40 $$").await?;
    assert_eq!(told.exit, ExecExit { code: 168, signal: 40, oom_killed: false });
    Ok(())
}

#[tokio::test]
async fn commands_that_are_abandoned_leave_neither_process_nor_descriptor_behind() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    instance.exec(&["true"], b"").await?;
    let (pid, descriptors) = (instance.pid(), format!("/proc/{}/fd", instance.pid()));
    let count = || Ok::<_, anyhow::Error>(std::fs::read_dir(&descriptors)?.count());
    // Something at the start may still be under way.
    let before = count()?;
    for _ in 0..100 {
        drop(instance.begin(start(&["sleep", "1000"])).await?);
        let tty = ExecStart { tty: true, ..start(&["sleep", "1000"]) };
        drop(instance.begin(tty).await?);
    }
    wait_until(&format!("PID 1 ({pid}) has no more than {before} descriptors"), || Ok(count()? <= before)).await?;
    let children = format!("/proc/{pid}/task/{pid}/children");
    wait_until("no abandoned command is left", || Ok(std::fs::read_to_string(&children)?.is_empty())).await
}

#[tokio::test]
async fn a_command_that_cannot_start_says_why_and_what_to_do() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let missing = instance.begin(start(&["gti"])).await.expect_err("no such program");
    assert!(missing.to_string().contains("command not found: gti"), "{missing}");
    let nobody = instance.begin(ExecStart { user: "stranger".into(), ..start(&["true"]) }).await.expect_err("no such user");
    assert!(nobody.to_string().contains("no user stranger"), "{nobody}");
    let nowhere = ExecStart { working_directory: "/nowhere".into(), ..start(&["true"]) };
    assert!(instance.begin(nowhere).await.expect_err("no such directory").to_string().contains("no directory /nowhere"));
    let huge = ExecStart { env: [("X".to_owned(), "x".repeat(200_000))].into(), ..start(&["true"]) };
    assert!(instance.begin(huge).await.expect_err("too large").to_string().contains("too large"));
    Ok(())
}

#[tokio::test]
async fn a_command_has_the_environment_of_the_workspace_and_nothing_of_the_supervisor() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let told = instance.shell("env; ls /proc/self/fd | wc -l; umask").await?;
    let text = String::from_utf8(told.stdout)?;
    for expected in ["GITPOD_WORKSPACE_URL=http://story.localhost:7280", "USER=root", "CRANNOG_WORKSPACE_NAME=story"] {
        assert!(text.lines().any(|line| line == expected), "{expected} in {text}");
    }
    assert!(!text.contains("_FD="), "{text}");
    // 0, 1, 2 and the directory that ls itself reads.
    assert!(text.ends_with("4\n0022\n"), "{text}");
    Ok(())
}

#[tokio::test]
async fn not_even_root_inside_can_look_into_the_supervisor() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let told = instance.shell("id -u; head -c 1 /proc/1/mem; grep CapBnd /proc/self/status").await?;
    assert!(String::from_utf8_lossy(&told.stderr).contains("Permission denied"), "{told:?}");
    let text = String::from_utf8(told.stdout)?;
    let (id, bounding) = text.split_once("\nCapBnd:").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(id, "0");
    let bounding = u64::from_str_radix(bounding.trim(), 16)?;
    assert_eq!(bounding >> sys::process::CAP_SYS_PTRACE & 1, 0, "{bounding:x}");
    Ok(())
}

#[tokio::test]
async fn a_terminal_knows_its_size_and_follows_a_resize() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let script = "trap 'stty size; exit 3' WINCH; stty size; while :; do sleep 0.01; done";
    let size = |columns, rows| TerminalSize { columns, rows, ..Default::default() };
    let (asks, mut answers) =
        instance.begin(ExecStart { tty: true, size: Some(size(101, 31)), ..start(&["bash", "-c", script]) }).await?;
    let mut seen = String::new();
    let mut exit = None;
    while let Some(answer) = tokio::time::timeout(PATIENCE, answers.next()).await? {
        match answer?.message {
            Some(Answer::Stdout(bytes)) => seen.push_str(std::str::from_utf8(&bytes)?),
            Some(Answer::Exit(status)) => exit = Some(status.code),
            _ => {}
        }
        if seen == "31 101\r\n" {
            asks.send(ask(Ask::Resize(size(90, 20)))).await?;
        }
    }
    assert_eq!((seen.as_str(), exit), ("31 101\r\n20 90\r\n", Some(3)));
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_process_behind() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let mark = instance.home.join("pid");
    let script = format!("trap '' HUP; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.05; done", mark.display());
    let (asks, answers) = instance.begin(start(&["bash", "-c", &script])).await?;
    wait_until("the command runs", || Ok(mark.exists())).await?;
    let pid = std::fs::read_to_string(&mark)?;
    drop((asks, answers));
    // It ignores SIGHUP, so SIGKILL has to come.
    let gone = async {
        while !instance.shell(&format!("ps -o pid= -p {pid}")).await?.stdout.is_empty() {}
        Ok(())
    };
    tokio::time::timeout(PATIENCE, gone).await?
}

#[tokio::test]
async fn a_daemon_that_a_command_leaves_behind_lives_on() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let told = instance.shell("sleep 300 & echo $!").await?;
    assert_eq!(told.exit.code, 0);
    let pid = String::from_utf8(told.stdout)?;
    assert_eq!(instance.shell(&format!("kill -0 {pid}")).await?.exit.code, 0);
    Ok(())
}

#[tokio::test]
async fn half_a_gigabyte_goes_through_both_ways_without_memory_growing() -> anyhow::Result<()> {
    const CHUNKS: u64 = 8000;
    let mut instance = Instance::start().await?;
    let (asks, mut answers) = instance.begin(start(&["cat"])).await?;
    let chunk = bytes::Bytes::from(vec![7u8; 64 << 10]);
    let begun = std::time::Instant::now();
    tokio::spawn(async move {
        for _ in 0..CHUNKS {
            let _ = asks.send(ask(Ask::Stdin(chunk.clone()))).await;
        }
        let _ = asks.send(ask(Ask::StdinEof(true))).await;
    });
    let mut count = 0;
    while let Some(answer) = tokio::time::timeout(PATIENCE, answers.next()).await? {
        if let Some(Answer::Stdout(bytes)) = answer?.message {
            count += bytes.len() as u64;
        }
    }
    println!("cat: {:.0} MB/s", count as f64 / 1e6 / begun.elapsed().as_secs_f64());
    assert_eq!(count, CHUNKS << 16);
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid()))?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).expect("peak");
    let kib: u64 = peak.split_whitespace().nth(1).expect("number").parse()?;
    println!("{peak}");
    // The debug build itself has some 20 MiB.
    assert!(kib < 64 << 10, "{peak}");
    Ok(())
}
