//! The stream to the orchestrator. The node dials, says what it has, and does what it is told; without an orchestrator it
//! goes on by itself and dials again. Commands are handled one after the other and acknowledged when they are stored.

pub mod session;

use std::time::Duration;

use api::v1::node_message::Message as Up;
use api::v1::orchestrator_message::Message as Down;
use api::v1::{Inventory, NodeHello, NodeMessage, OrchestratorMessage, Welcome};
use domain::class::Class;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::error::NodeError;
use crate::heartbeat;
use crate::instances::Instances;
use crate::metrics::Metrics;
use crate::orchestrator::{self, Orchestrator};
use crate::tunnels::Tunnels;
use session::{Inbox, Outbox};

/// The form of messages that this version speaks.
pub const PROTOCOL: u32 = 1;
/// Until the orchestrator has greeted.
const WELCOME: Duration = Duration::from_secs(10);
/// Between two rounds of statuses: what changes faster is told once.
const PACE: Duration = Duration::from_millis(20);

/// One side of the node stream, over all its connections.
pub struct NodeStream {
    orchestrator: Orchestrator,
    instances: Instances,
    tunnels: Tunnels,
    hello: NodeHello,
    min_free: u64,
    outbox: Outbox,
    inbox: Inbox,
    commands: mpsc::UnboundedSender<OrchestratorMessage>,
    handled: mpsc::UnboundedReceiver<u64>,
}

/// One connection.
struct Connection {
    up: mpsc::Sender<NodeMessage>,
    down: Streaming<OrchestratorMessage>,
    heartbeat: Duration,
}

impl NodeStream {
    /// Says `hello` to `orchestrator`, once [`Self::run`] is called.
    pub fn new(orchestrator: Orchestrator, instances: Instances, tunnels: Tunnels, hello: NodeHello, min_free: u64) -> Self {
        let (commands, waiting) = mpsc::unbounded_channel();
        let (done, handled) = mpsc::unbounded_channel();
        tokio::spawn(handle_all(instances.clone(), waiting, done));
        Self {
            orchestrator,
            instances,
            tunnels,
            hello,
            min_free,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            commands,
            handled,
        }
    }

    /// Keeps a connection for as long as it is polled.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            match self.connect().await {
                Ok(connection) => {
                    tracing::info!("connected to the orchestrator");
                    backoff.reset();
                    Metrics::connected(true);
                    if let Err(error) = self.converse(connection).await {
                        tracing::info!(%error, "the stream to the orchestrator ended");
                    }
                    Metrics::connected(false);
                }
                Err(error) => tracing::warn!(%error, "cannot reach the orchestrator; instances go on without it"),
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    async fn connect(&mut self) -> Result<Connection, NodeError> {
        let (up, messages) = mpsc::channel(16);
        let hello = NodeMessage { sequence: 0, ack: self.inbox.ack(), message: Some(Up::Hello(self.hello.clone())) };
        let _ = up.send(hello).await;
        let greet = async {
            let answer = self.orchestrator.control().stream(ReceiverStream::new(messages)).await;
            let mut down = answer.map_err(|status| orchestrator::refused("open the node stream", &status))?.into_inner();
            let welcome = welcome_of(&mut down).await?;
            Ok((down, welcome))
        };
        let (down, welcome) = tokio::time::timeout(WELCOME, greet).await.unwrap_or_else(|_| Err(no_welcome()))?;
        self.take_up(&up, &welcome).await?;
        let heartbeat = Duration::from_millis(if welcome.heartbeat_ms == 0 { 5_000 } else { welcome.heartbeat_ms });
        Ok(Connection { up, down, heartbeat })
    }

    /// Goes on with the session, or begins it anew; either way everything that is here is told.
    async fn take_up(&mut self, up: &mpsc::Sender<NodeMessage>, welcome: &Welcome) -> Result<(), NodeError> {
        let reports = &self.instances.world().reports;
        let inventory = Inventory { instances: reports.inventory() };
        let mut messages = Vec::new();
        if welcome.resumed {
            messages.extend(self.outbox.again());
            messages.push(self.outbox.number(Up::Inventory(inventory)));
        } else {
            self.inbox.restart();
            let (events, gone) = self.outbox.restart();
            messages.push(self.outbox.number(Up::Inventory(inventory)));
            messages.extend(gone.into_iter().map(|status| self.outbox.number(Up::Status(status))));
            messages.extend(events.into_iter().map(|event| self.outbox.number(Up::Event(event))));
        }
        for message in messages {
            self.send(up, message).await?;
        }
        Ok(())
    }

    async fn converse(&mut self, mut connection: Connection) -> Result<(), NodeError> {
        let mut news = self.instances.world().reports.watch();
        news.mark_changed();
        let mut beats = tokio::time::interval(connection.heartbeat);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = connection.down.message() => {
                    let message = message.map_err(|status| orchestrator::refused("read the node stream", &status))?;
                    let message = message.ok_or_else(|| orchestrator::refused("read the node stream", &tonic::Status::unavailable("it was closed")))?;
                    self.receive(&connection.up, message).await?;
                }
                Some(sequence) = self.handled.recv() => {
                    self.inbox.handled(sequence);
                    self.send(&connection.up, NodeMessage::default()).await?;
                }
                _ = news.changed() => {
                    self.tell_news(&connection.up).await?;
                    tokio::time::sleep(PACE).await;
                }
                _ = beats.tick() => {
                    let beat = heartbeat::now(self.instances.world().layout.root(), self.min_free);
                    self.send(&connection.up, NodeMessage { message: Some(Up::Heartbeat(beat)), ..NodeMessage::default() }).await?;
                }
            }
        }
    }

    async fn tell_news(&mut self, up: &mpsc::Sender<NodeMessage>) -> Result<(), NodeError> {
        let (statuses, events) = self.instances.world().reports.take();
        let all = statuses.into_iter().map(Up::Status).chain(events.into_iter().map(Up::Event));
        // Numbered all at once: what cannot be sent now is sent again after the next connect.
        let messages: Vec<NodeMessage> = all.map(|message| self.outbox.number(message)).collect();
        for message in messages {
            self.send(up, message).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, up: &mpsc::Sender<NodeMessage>, message: OrchestratorMessage) -> Result<(), NodeError> {
        self.outbox.acked(message.ack);
        if !self.inbox.is_new(message.sequence) {
            return self.send(up, NodeMessage::default()).await;
        }
        match message.message {
            Some(Down::OpenTunnel(request)) => {
                let tunnels = self.tunnels.clone();
                tokio::spawn(async move { tunnels.open(request).await });
                self.inbox.handled(message.sequence);
                self.send(up, NodeMessage::default()).await
            }
            None | Some(Down::Welcome(_)) => {
                self.inbox.handled(message.sequence);
                Ok(())
            }
            Some(_) => {
                let _ = self.commands.send(message);
                Ok(())
            }
        }
    }

    async fn send(&self, up: &mpsc::Sender<NodeMessage>, message: NodeMessage) -> Result<(), NodeError> {
        let message = NodeMessage { ack: self.inbox.ack(), ..message };
        up.send(message)
            .await
            .map_err(|_| orchestrator::refused("write the node stream", &tonic::Status::unavailable("it was closed")))
    }
}

async fn welcome_of(down: &mut Streaming<OrchestratorMessage>) -> Result<Welcome, NodeError> {
    let first = down.message().await.map_err(|status| orchestrator::refused("be greeted by the orchestrator", &status))?;
    match first.and_then(|message| message.message) {
        Some(Down::Welcome(welcome)) if welcome.protocol <= PROTOCOL => Ok(welcome),
        Some(Down::Welcome(welcome)) => Err(NodeError::refused(
            Class::Unimplemented,
            "ProtocolNewer",
            format!("the orchestrator speaks protocol {}; this node speaks {PROTOCOL}", welcome.protocol),
            "bring this node to the orchestrator's version",
        )),
        _ => Err(no_welcome()),
    }
}

fn no_welcome() -> NodeError {
    NodeError::refused(
        Class::Unavailable,
        "NoWelcome",
        "the orchestrator did not greet this node",
        "is there a Crannog server at that address?",
    )
}

/// Handles commands in their order; a store that cannot be written holds up commands, not the stream.
async fn handle_all(
    instances: Instances,
    mut commands: mpsc::UnboundedReceiver<OrchestratorMessage>,
    done: mpsc::UnboundedSender<u64>,
) {
    while let Some(command) = commands.recv().await {
        if let Some(message) = command.message {
            handle(&instances, message).await;
        }
        if done.send(command.sequence).is_err() {
            return;
        }
    }
}

/// Every command is answered by statuses: one that cannot be carried out by the status that says why.
async fn handle(instances: &Instances, message: Down) {
    let result = match message {
        Down::Apply(spec) => {
            let (id, workspace_id) = (spec.id.clone(), spec.workspace_id.clone());
            let applied = instances.apply(spec).await;
            applied.inspect_err(|error| instances.refuse(id, workspace_id, error))
        }
        Down::Stop(request) => {
            let id = request.id.clone();
            let stopped = instances.stop(request).await;
            stopped.inspect_err(|error| instances.refuse(id, String::new(), error))
        }
        Down::Remove(request) => {
            // Forgetting deletes a tree; it bears repeating, so nothing waits for it.
            let instances = instances.clone();
            tokio::spawn(async move {
                if let Err(error) = instances.remove(request).await {
                    tracing::warn!(error = daemon_kit::status::chain(&error), "remove an instance");
                }
            });
            Ok(())
        }
        Down::SetPort(request) => instances.set_port(request).await,
        Down::Welcome(_) | Down::OpenTunnel(_) => Ok(()),
    };
    if let Err(error) = result {
        tracing::warn!(error = daemon_kit::status::chain(&error), "a command of the orchestrator");
    }
}
