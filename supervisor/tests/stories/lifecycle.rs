//! From the first answer to the end.

use std::time::{Duration, Instant};

use api::v1::{Lifecycle, ShutdownRequest, WatchStateRequest};

use crate::instance::{Instance, PATIENCE, start, wait_until};

#[tokio::test]
async fn it_answers_at_once_and_stays_small() -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut instance = Instance::start().await?;
    let mut states = instance.client.watch_state(WatchStateRequest {}).await?.into_inner();
    states.message().await?.expect("a state");
    println!("started to first answer, namespaces and client included: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    instance.exec(&["true"], b"").await?;
    println!("exec of true: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid()))?;
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).expect("resident memory");
    let threads = status.lines().find(|line| line.starts_with("Threads")).expect("threads");
    println!("{resident}; {threads}");
    let kib: u64 = resident.split_whitespace().nth(1).expect("number").parse()?;
    // The debug build has some 15 MiB; what is shipped is measured by the size check.
    assert!(kib < 32 << 10, "{resident}");
    Ok(())
}

#[tokio::test]
async fn a_watcher_sees_the_state_at_once_and_then_what_changes() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let mut states = instance.client.watch_state(WatchStateRequest {}).await?.into_inner();
    let mut state = states.message().await?.expect("a state");
    while !state.content.as_ref().is_some_and(|content| content.ready) {
        state = tokio::time::timeout(PATIENCE, states.message()).await??.expect("more");
    }
    let (alias, _asks, _answers) = instance.open("sleep 1000").await?;
    while state.terminals.is_empty() {
        state = tokio::time::timeout(PATIENCE, states.message()).await??.expect("more");
    }
    assert_eq!(state.terminals[0].alias, alias);
    assert!(state.last_activity_unix_ms > 0);
    Ok(())
}

#[tokio::test]
async fn shutting_down_asks_first_and_kills_who_does_not_listen() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let home = instance.home.clone();
    let polite = format!("trap 'touch {0}/polite; exit' TERM; touch {0}/a; while :; do sleep 0.05; done", home.display());
    let deaf = format!("trap '' TERM HUP; touch {0}/b; while :; do sleep 0.05; done", home.display());
    let _polite = instance.begin(start(&["bash", "-c", &polite])).await?;
    let _deaf = instance.begin(start(&["bash", "-c", &deaf])).await?;
    wait_until("both run", || Ok(home.join("a").exists() && home.join("b").exists())).await?;
    let begun = Instant::now();
    let answer = instance.client.shutdown(ShutdownRequest { grace_ms: 700, reason: "story".into() }).await?.into_inner();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(10), "{took:?}");
    assert!(home.join("polite").exists(), "it was asked");
    assert!(answer.killed.iter().any(|command| command.contains("trap '' TERM HUP")), "{:?}", answer.killed);
    assert!(!answer.killed.iter().any(|command| command.contains("/polite")), "{:?}", answer.killed);
    instance.ended().await
}

#[tokio::test]
async fn a_stopped_process_and_a_daemon_do_not_keep_an_instance_from_ending() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    instance.shell("setsid sleep 1000 & (kill -STOP $BASHPID) & disown -a").await?;
    let begun = Instant::now();
    let request = ShutdownRequest { grace_ms: 30_000, reason: "story".into() };
    assert_eq!(instance.client.shutdown(request).await?.into_inner().killed, Vec::<String>::new());
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody had to wait for the grace");
    instance.ended().await
}

#[tokio::test]
async fn a_signal_from_the_node_ends_it_within_the_grace_of_its_specification() -> anyhow::Result<()> {
    let mut instance = Instance::with(|config| {
        let spec = config.spec.as_mut().expect("spec");
        spec.lifecycle = Some(Lifecycle { stop_grace_ms: 300, ..Default::default() });
    })
    .await?;
    let mark = instance.home.join("up");
    let deaf = format!("trap '' TERM HUP; touch {}; while :; do sleep 0.05; done", mark.display());
    let _running = instance.begin(start(&["bash", "-c", &deaf])).await?;
    wait_until("it runs", || Ok(mark.exists())).await?;
    sys::process::kill(instance.pid(), 15)?;
    instance.ended().await
}

#[tokio::test]
async fn nothing_new_starts_while_it_shuts_down() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    let mark = instance.home.join("up");
    let deaf = format!("trap '' TERM HUP; touch {}; while :; do sleep 0.05; done", mark.display());
    let _running = instance.begin(start(&["bash", "-c", &deaf])).await?;
    wait_until("it runs", || Ok(mark.exists())).await?;
    let mut asking = instance.client.clone();
    let shutdown = tokio::spawn(async move { asking.shutdown(ShutdownRequest { grace_ms: 2000, reason: String::new() }).await });
    loop {
        match instance.begin(start(&["true"])).await {
            Err(refused) => {
                assert!(refused.to_string().contains("shutting down"), "{refused}");
                break;
            }
            Ok(_) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(shutdown.await??.into_inner().killed.len(), 2, "bash and its sleep");
    instance.ended().await
}
