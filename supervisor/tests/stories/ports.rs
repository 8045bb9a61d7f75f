//! Ports appear while something listens, with who it is, and go when it ends.

use std::time::{Duration, Instant};

use api::v1::*;

use crate::instance::Instance;

fn port(state: &SupervisorState, number: u16) -> Option<&PortStatus> {
    state.ports.iter().find(|p| p.port == u32::from(number))
}

/// A number that nobody uses now. The instance shares the machine's network here.
fn free() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test]
async fn a_server_on_either_loopback_is_seen_within_a_second_with_its_process() -> anyhow::Result<()> {
    let mut instance = Instance::start().await?;
    for address in ["127.0.0.1", "::1", "0.0.0.0"] {
        let number = free()?;
        let script = format!(
            "import socket,sys;s=socket.socket(socket.AF_INET6 if ':' in '{address}' else socket.AF_INET);s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);s.bind(('{address}',{number}));s.listen();print('up',flush=True);sys.stdin.read()"
        );
        let (asks, mut answers) = instance.begin(crate::instance::start(&["python3", "-c", &script])).await?;
        while let Some(answer) = answers.message().await? {
            if let Some(exec_response::Message::Stdout(_)) = answer.message {
                break;
            }
        }
        let began = Instant::now();
        let state =
            instance.until("the port is served", |s| port(s, number).is_some_and(|p| p.served && !p.process.is_empty())).await?;
        let appeared = began.elapsed();
        let status = port(&state, number).expect("listed");
        assert_eq!((status.bind.as_str(), status.visibility()), (address, Visibility::Private));
        assert!(status.process.starts_with("python3") && status.pid > 1, "{status:?}");
        assert_eq!(status.url, format!("http://{number}-story.localhost:7280"));
        asks.send(crate::instance::ask(exec_request::Message::StdinEof(true))).await?;
        let began = Instant::now();
        instance.until("the port is gone", |s| port(s, number).is_none()).await?;
        println!("{address}: appeared after {appeared:?}, gone after {:?}", began.elapsed());
        assert!(appeared < Duration::from_secs(1) && began.elapsed() < Duration::from_secs(1), "{appeared:?}");
    }
    Ok(())
}

#[tokio::test]
async fn configured_ports_are_listed_and_the_owner_has_the_last_word() -> anyhow::Result<()> {
    let rule = |first, visibility: Visibility| PortRule {
        first,
        last: first,
        visibility: visibility.into(),
        name: "web".into(),
        ..Default::default()
    };
    let mut instance = Instance::with(|config| {
        config.spec.get_or_insert_default().ports = vec![rule(9, Visibility::Public), rule(8, Visibility::Private)];
    })
    .await?;
    let state = instance.until("they are listed", |s| s.ports.len() >= 2).await?;
    let listed: Vec<_> = state.ports.iter().take(2).map(|p| (p.port, p.served, p.visibility(), p.name.as_str())).collect();
    assert_eq!(listed, [(9, false, Visibility::Public, "web"), (8, false, Visibility::Private, "web")]);
    let choose = |port, visibility: Visibility| {
        let mut client = instance.client.clone();
        async move { client.set_port_visibility(SetPortVisibilityRequest { port, visibility: visibility.into() }).await }
    };
    choose(9, Visibility::Private).await?;
    let own = u32::from(instance.api_port);
    for (port, visibility) in
        [(own, Visibility::Public), (0, Visibility::Public), (70_000, Visibility::Public), (9, Visibility::Unspecified)]
    {
        let status = choose(port, visibility).await.expect_err("refused");
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{port}: {status:?}");
    }
    let state = instance.until("it is private", |s| port(s, 9).is_some_and(|p| p.visibility() == Visibility::Private)).await?;
    assert!(port(&state, instance.api_port).is_none(), "our own port is nobody's");
    Ok(())
}
