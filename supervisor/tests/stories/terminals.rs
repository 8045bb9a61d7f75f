//! Terminals that PID 1 owns.

use api::v1::attach_response::Message as Seen;
use api::v1::{AttachRequest, AttachResponse, AttachStart, CloseTerminalRequest, ListTerminalsRequest, TerminalSize};
use api::v1::{ExecExit, attach_request};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::instance::{Instance, PATIENCE, wait_until};

type Keys = mpsc::Sender<AttachRequest>;

fn input(text: &str) -> AttachRequest {
    AttachRequest { message: Some(attach_request::Message::Input(text.to_owned().into())) }
}

/// Reads until `text` was shown.
async fn shown(answers: &mut Streaming<AttachResponse>, text: &str) -> anyhow::Result<String> {
    let mut seen = String::new();
    while !seen.contains(text) {
        let answer = tokio::time::timeout(PATIENCE, answers.message()).await??;
        match answer.and_then(|answer| answer.message) {
            Some(Seen::Output(bytes)) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => anyhow::bail!("{other:?} instead of {text:?} after {seen:?}"),
        }
    }
    Ok(seen)
}

/// Reads to the end: bytes shown, bytes skipped, how it ended.
async fn rest(answers: &mut Streaming<AttachResponse>) -> anyhow::Result<(u64, u64, Option<ExecExit>)> {
    let (mut bytes, mut skipped, mut exit) = (0, 0, None);
    while let Some(answer) = tokio::time::timeout(PATIENCE, answers.message()).await?? {
        match answer.message {
            Some(Seen::Output(output)) => bytes += output.len() as u64,
            Some(Seen::Skipped(count)) => skipped += count,
            Some(Seen::Exit(status)) => exit = Some(status),
            _ => {}
        }
    }
    Ok((bytes, skipped, exit))
}

#[tokio::test]
async fn a_terminal_lives_on_without_viewers_and_shows_the_next_one_what_was_said() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let (alias, asks, mut answers) = instance.open("echo first; read line; echo got $line; exit 5").await?;
    shown(&mut answers, "first").await?;
    drop((asks, answers));
    let (same, asks, mut answers) = instance.attach(AttachStart { terminal: alias.clone(), ..Default::default() }).await?;
    assert_eq!(same, alias);
    shown(&mut answers, "first").await?;
    asks.send(input("word\n")).await?;
    shown(&mut answers, "got word").await?;
    assert_eq!(rest(&mut answers).await?.2.map(|exit| exit.code), Some(5));
    // It is over, and whoever comes late still learns how.
    assert_eq!(instance.client.list_terminals(ListTerminalsRequest::default()).await?.get_ref().terminals, []);
    let (_, _asks, mut late) = instance.attach(AttachStart { terminal: alias, ..Default::default() }).await?;
    shown(&mut late, "got word").await?;
    assert_eq!(rest(&mut late).await?.2.map(|exit| exit.code), Some(5));
    Ok(())
}

#[tokio::test]
async fn a_viewer_that_reads_nothing_holds_up_neither_the_program_nor_others() -> anyhow::Result<()> {
    const SIZE: u64 = 100 << 20;
    let mut instance = Instance::start().await?;
    let done = instance.home.join("done");
    let script = format!("read go; head -c {SIZE} /dev/zero; touch {}; read end", done.display());
    let (alias, asks, mut stalled) = instance.open(&script).await?;
    asks.send(input("go\n")).await?;
    let begun = Instant::now();
    wait_until("the program has written everything", || Ok(done.exists())).await?;
    println!("100 MiB with a stalled viewer: {:.1} s", begun.elapsed().as_secs_f64());
    asks.send(input("end\n")).await?;
    let (bytes, skipped, exit) = rest(&mut stalled).await?;
    assert!(skipped > 0, "it was slow");
    // What was typed is echoed with CR LF.
    assert_eq!(bytes + skipped, SIZE + "go\r\nend\r\n".len() as u64);
    assert_eq!(exit.map(|exit| exit.code), Some(0));
    drop((alias, asks));
    Ok(())
}

#[tokio::test]
async fn a_viewer_that_keeps_up_sees_every_byte() -> anyhow::Result<()> {
    const SIZE: u64 = 64 << 20;
    let mut instance = Instance::start().await?;
    let (_, _asks, mut answers) = instance.open(&format!("head -c {SIZE} /dev/zero")).await?;
    let begun = Instant::now();
    let (bytes, skipped, _) = rest(&mut answers).await?;
    println!("terminal: {:.0} MB/s", bytes as f64 / 1e6 / begun.elapsed().as_secs_f64());
    assert_eq!((bytes, skipped), (SIZE, 0));
    Ok(())
}

#[tokio::test]
async fn keys_are_echoed_in_a_blink_while_another_terminal_floods() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let (_, keys, mut echo) = instance.open("stty raw -echo; echo up; exec cat").await?;
    shown(&mut echo, "up").await?;
    report("quiet", &mut times(&keys, &mut echo).await?);
    let (_, _flood, _unread) = instance.open("exec yes").await?;
    let mut flooded = times(&keys, &mut echo).await?;
    let middle = report("flooded", &mut flooded);
    assert!(middle < Duration::from_millis(100), "{middle:?}");
    Ok(())
}

async fn times(keys: &Keys, echo: &mut Streaming<AttachResponse>) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        keys.send(input("x")).await?;
        shown(echo, "x").await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn report(what: &str, times: &mut [Duration]) -> Duration {
    times.sort();
    println!("echo, {what}: p50 {:?}, p99 {:?}", times[150], times[297]);
    times[150]
}

#[tokio::test]
async fn the_last_viewer_to_say_so_decides_the_size() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let (alias, _first, mut answers) = instance.open("while read l; do stty size; done").await?;
    let size = Some(TerminalSize { columns: 99, rows: 33, ..Default::default() });
    let (_, second, _) = instance.attach(AttachStart { terminal: alias.clone(), size, ..Default::default() }).await?;
    second.send(input("\n")).await?;
    shown(&mut answers, "33 99").await?;
    let looking = AttachStart {
        terminal: alias,
        size: Some(TerminalSize { columns: 10, rows: 10, ..Default::default() }),
        read_only: true,
        ..Default::default()
    };
    let (_, mute, _) = instance.attach(looking).await?;
    mute.send(input("never typed\n")).await?;
    second.send(input("\n")).await?;
    let seen = shown(&mut answers, "33 99").await?;
    assert!(!seen.contains("never"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_terminal_starts_at_home_while_there_is_no_working_directory() -> anyhow::Result<()> {
    let mut instance = Instance::with(|config| {
        let spec = config.spec.as_mut().expect("spec");
        spec.working_directory = "/not/there/yet".into();
    })
    .await?;
    let (_, _asks, mut answers) = instance.open("pwd; tty; test -O $(tty) && echo mine").await?;
    let home = instance.home.display().to_string();
    let seen = shown(&mut answers, "mine").await?;
    assert!(seen.starts_with(&home), "{seen}");
    Ok(())
}

#[tokio::test]
async fn closing_a_terminal_ends_what_runs_in_it() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let (alias, _asks, mut answers) = instance.open("echo up; exec sleep 1000").await?;
    shown(&mut answers, "up").await?;
    instance.client.close_terminal(CloseTerminalRequest { terminal: alias, ..Default::default() }).await?;
    assert_eq!(rest(&mut answers).await?.2.map(|exit| exit.signal), Some(1));
    Ok(())
}
