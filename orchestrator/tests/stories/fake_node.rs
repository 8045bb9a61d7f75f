//! A node, played: it speaks the real protocol, runs nothing, and remembers what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use api::v1::node_message::Message as Up;
use api::v1::node_service_client::NodeServiceClient;
use api::v1::open_tunnel::Target;
use api::v1::orchestrator_message::Message as Down;
use api::v1::*;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::fake_supervisor;
use crate::world::{Authorized, PATIENCE, World, bearer};

/// What the node does with a request to look into a repository.
#[derive(Clone)]
pub enum Resolving {
    Answer(ResolveResponse),
    Fail(tonic::Status),
    Stall,
}

#[derive(Default)]
pub struct Memory {
    /// Every message, in order, as words: "apply ID", "stop ID", "remove ID forget".
    pub told: Vec<String>,
    pub applied: Vec<InstanceSpec>,
    pub stops: Vec<StopInstance>,
    pub resolved: Vec<ResolveRequest>,
    pub instances: BTreeMap<String, InstanceStatus>,
    pub welcomes: Vec<Welcome>,
    pub tunnels: usize,
    /// Numbers of messages as they came, those that came twice too.
    pub received: Vec<u64>,
    sent: u64,
    changes: u64,
}

#[derive(Clone)]
pub struct FakeNode {
    pub id: String,
    memory: Arc<Mutex<Memory>>,
    changed: watch::Sender<u64>,
    up: Arc<Mutex<Option<mpsc::Sender<NodeMessage>>>>,
    listening: Arc<Mutex<Option<tokio::task::AbortHandle>>>,
    pub resolving: Arc<Mutex<Resolving>>,
    /// Whether what is applied runs at once, and what is stopped has stopped.
    pub obedient: Arc<std::sync::atomic::AtomicBool>,
    /// Whether it acknowledges.
    pub acknowledges: Arc<std::sync::atomic::AtomicBool>,
}

impl FakeNode {
    pub fn new(id: &str) -> Self {
        let found = ResolveResponse {
            commit: "c".repeat(40),
            r#ref: "refs/heads/main".into(),
            partial_clone: true,
            ..Default::default()
        };
        Self {
            id: id.into(),
            memory: Arc::default(),
            changed: watch::channel(0).0,
            up: Arc::default(),
            listening: Arc::default(),
            resolving: Arc::new(Mutex::new(Resolving::Answer(found))),
            obedient: Arc::new(true.into()),
            acknowledges: Arc::new(true.into()),
        }
    }

    pub fn resolves_to(&self, change: impl FnOnce(&mut ResolveResponse)) {
        if let Resolving::Answer(answer) = &mut *self.resolving.lock().expect("lock") {
            change(answer);
        }
    }

    pub fn config_file(&self, text: &str) {
        let file = ConfigFile { path: ".gitpod.yml".into(), data: text.as_bytes().to_vec().into(), truncated: false };
        self.resolves_to(|answer| answer.files = vec![file]);
    }

    pub fn memory<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().expect("lock");
        let seen = look(&mut memory);
        memory.changes += 1;
        let changes = memory.changes;
        drop(memory);
        self.changed.send_replace(changes);
        seen
    }

    /// Waits until it remembers something.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Memory) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                if wanted(&self.memory.lock().expect("lock")) {
                    return;
                }
                changed.changed().await.expect("the node is there");
            }
        };
        let told = || self.memory.lock().expect("lock").told.clone();
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("still no {what}: {:?}", told()));
    }

    /// Connects as a new process would: a session of its own, and an inventory.
    pub async fn connect(&self, world: &World) {
        self.memory(|memory| memory.sent = 0);
        let session = format!("session-{}", self.memory(|memory| memory.changes));
        self.connect_as(world, &session, 0).await;
        self.send_inventory().await;
    }

    /// Connects with a session, acknowledging what it handled.
    pub async fn connect_as(&self, world: &World, session: &str, ack: u64) {
        self.disconnect();
        let client = NodeServiceClient::with_interceptor(world.channel().await, bearer(&world.tokens.node));
        let (up, messages) = mpsc::channel(64);
        let hello = NodeHello {
            node_id: self.id.clone(),
            version: "test".into(),
            protocol: 1,
            session: session.into(),
            dial_socket: "/run/dial.sock".into(),
            allocatable: Some(Resources { memory_bytes: 4000, ..Default::default() }),
            ..Default::default()
        };
        up.send(NodeMessage { sequence: 0, ack, message: Some(Up::Hello(hello)) }).await.expect("hello");
        let mut down = client.clone().stream(ReceiverStream::new(messages)).await.expect("stream").into_inner();
        let first = down.message().await.expect("welcome").expect("welcome");
        let Some(Down::Welcome(welcome)) = first.message else { panic!("no welcome: {first:?}") };
        self.memory(|memory| memory.welcomes.push(welcome));
        *self.up.lock().expect("lock") = Some(up);
        let node = self.clone();
        let listening = tokio::spawn(async move {
            while let Ok(Some(message)) = down.message().await {
                node.hear(message, &client).await;
            }
        });
        *self.listening.lock().expect("lock") = Some(listening.abort_handle());
    }

    pub fn disconnect(&self) {
        self.up.lock().expect("lock").take();
        if let Some(listening) = self.listening.lock().expect("lock").take() {
            listening.abort();
        }
    }

    async fn hear(&self, message: OrchestratorMessage, client: &NodeServiceClient<Authorized>) {
        let sequence = message.sequence;
        if sequence > 0 {
            self.memory(|memory| memory.received.push(sequence));
        }
        match message.message {
            Some(Down::Apply(spec)) => self.apply(spec).await,
            Some(Down::Stop(stop)) => self.stop(stop).await,
            Some(Down::Remove(remove)) => self.remove(remove).await,
            Some(Down::SetPort(port)) => {
                self.memory(|memory| memory.told.push(format!("port {} {}", port.port, port.visibility)))
            }
            Some(Down::OpenTunnel(open)) => drop(tokio::spawn(self.clone().dial(open, client.clone()))),
            Some(Down::Welcome(_)) | None => {}
        }
        if sequence > 0 && self.acknowledges.load(std::sync::atomic::Ordering::SeqCst) {
            self.say(NodeMessage { sequence: 0, ack: sequence, message: None }).await;
        }
    }

    async fn apply(&self, spec: InstanceSpec) {
        let (id, workspace_id) = (spec.id.clone(), spec.workspace_id.clone());
        self.memory(|memory| {
            memory.told.push(format!("apply {id}"));
            memory.applied.push(spec);
        });
        if self.obedient.load(std::sync::atomic::Ordering::SeqCst) {
            let content = ContentStatus {
                ready: true,
                commit: "d".repeat(40),
                branch: "main".into(),
                init_done: true,
                ..Default::default()
            };
            self.report(&id, &workspace_id, |status| {
                status.set_phase(Phase::Running);
                status.content = Some(content);
            })
            .await;
        }
    }

    async fn stop(&self, stop: StopInstance) {
        let id = stop.id.clone();
        let conclusion = (stop.conclusion, stop.reason.clone());
        self.memory(|memory| {
            memory.told.push(format!("stop {id}"));
            memory.stops.push(stop);
        });
        if self.obedient.load(std::sync::atomic::Ordering::SeqCst) {
            self.report(&id, "", |status| {
                status.set_phase(Phase::Stopped);
                (status.conclusion, status.conclusion_reason) = conclusion;
            })
            .await;
        }
    }

    async fn remove(&self, remove: RemoveInstance) {
        let words = format!("remove {}{}", remove.id, if remove.forget { " forget" } else { "" });
        self.memory(|memory| memory.told.push(words));
        self.report(&remove.id, &remove.workspace_id, |status| status.set_phase(Phase::Removed)).await;
        self.memory(|memory| memory.instances.remove(&remove.id));
    }

    /// Changes the state of an instance and says so.
    pub async fn report(&self, id: &str, workspace_id: &str, change: impl FnOnce(&mut InstanceStatus)) {
        let status = self.memory(|memory| {
            let status = memory.instances.entry(id.to_owned()).or_default();
            status.id = id.to_owned();
            if !workspace_id.is_empty() {
                status.workspace_id = workspace_id.to_owned();
            }
            status.sequence += 1;
            status.observed_generation = 1;
            change(status);
            status.clone()
        });
        self.send(Up::Status(status)).await;
    }

    pub async fn send_inventory(&self) {
        let instances = self.memory(|memory| memory.instances.values().cloned().collect());
        self.send(Up::Inventory(Inventory { instances })).await;
    }

    /// Says something with the next number.
    pub async fn send(&self, message: Up) {
        let sequence = self.memory(|memory| {
            memory.sent += 1;
            memory.sent
        });
        self.say(NodeMessage { sequence, ack: 0, message: Some(message) }).await;
    }

    pub async fn say(&self, message: NodeMessage) {
        let up = self.up.lock().expect("lock").clone();
        if let Some(up) = up {
            // A closed stream is what some stories are about.
            let _ = up.send(message).await;
        }
    }

    /// Answers a request for a tunnel.
    async fn dial(self, open: OpenTunnel, client: NodeServiceClient<Authorized>) {
        self.memory(|memory| memory.tunnels += 1);
        match open.target.expect("target") {
            Target::Node(_) => fake_supervisor::serve(client, open.id, fake_supervisor::node(self)).await,
            Target::Supervisor(_) => fake_supervisor::serve(client, open.id, fake_supervisor::supervisor()).await,
            Target::Port(port) if port.port == 1 => fake_supervisor::refuse(client, open.id).await,
            Target::Port(_) => fake_supervisor::echo(client, open.id).await,
        }
    }
}
