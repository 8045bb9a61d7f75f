//! One task per instance. It alone changes the instance's record: an event moves the phase as `domain::phase` says, the
//! record is stored, and only then do the actions run, elsewhere, ending in events that come back here.

mod deadline;
mod record;

use std::time::{Duration, Instant};

use api::v1::{Condition, InstanceSpec, Visibility};
use domain::phase::{Action, Conclusion, Event, Phase};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::message::{Answer, Message, Prepared};
use super::timeline::Timeline;
use super::watchers::{self, Watchers};
use super::work::Work;
use super::{conditions, merge, wire};
use crate::ports::Running;
use crate::store::{InstanceRecord, StopRequest};
use crate::world::{WorkspaceLock, World, now_ms};

/// Messages that wait for one actor; who sends more waits.
const MAILBOX: usize = 128;
/// How many sequence numbers one write of the record covers.
const SEQUENCES: u64 = 10_000;

/// Sends to one actor.
pub type Handle = mpsc::Sender<Message>;

pub(super) struct Actor {
    pub(super) world: World,
    pub(super) record: InstanceRecord,
    pub(super) timeline: Timeline,
    mailbox: mpsc::Receiver<Message>,
    me: Handle,
    halt: CancellationToken,
    prepared: Option<Prepared>,
    lock: Arc<Mutex<Option<WorkspaceLock>>>,
    watchers: Option<Watchers>,
    /// Since when a container runs whose supervisor has not spoken yet.
    silent_since: Option<Instant>,
    work: tokio::task::JoinHandle<()>,
    doing: &'static [Action],
    cancel: CancellationToken,
    is_over: bool,
}

impl Actor {
    /// An actor for a record, and where to send to. `lock` is given when the instance may be writing already.
    pub(super) fn new(
        world: World,
        record: InstanceRecord,
        lock: Option<WorkspaceLock>,
        halt: CancellationToken,
    ) -> (Self, Handle) {
        let (me, mailbox) = mpsc::channel(MAILBOX);
        let changed = me.clone();
        let own_steps = record.status.timeline.clone();
        let timeline = Timeline::new(own_steps, move || drop(changed.try_send(Message::Changed)));
        let actor = Self {
            world,
            record,
            timeline,
            mailbox,
            me: me.clone(),
            halt,
            prepared: None,
            lock: Arc::new(Mutex::new(lock)),
            watchers: None,
            silent_since: None,
            work: tokio::spawn(async {}),
            doing: &[],
            cancel: CancellationToken::new(),
            is_over: false,
        };
        (actor, me)
    }

    /// Lives until the instance is gone or the daemon ends; true when the workspace was forgotten with it. `answer` is
    /// told when a new instance is stored.
    pub(super) async fn live(mut self, answer: Option<Answer>) -> bool {
        let halt = self.halt.clone();
        let _ = halt.run_until_cancelled(self.handle_all(answer)).await;
        self.is_over && self.record.remove == Some(true)
    }

    async fn handle_all(&mut self, answer: Option<Answer>) {
        match self.record.phase {
            Phase::Pending => self.happened(Event::Admitted, None).await,
            phase => {
                self.publish().await;
                self.run(phase.resume());
            }
        }
        if let Some(answer) = answer {
            let _ = answer.send(Ok(()));
        }
        while !self.is_over {
            let deadline = self.deadline();
            let wait = deadline.as_ref().map_or(Duration::from_secs(3600), |(wait, ..)| *wait);
            tokio::select! {
                Some(message) = self.mailbox.recv() => self.handle(message).await,
                () = tokio::time::sleep(wait) => if let Some((_, event, condition)) = deadline {
                    self.happened(event, Some(condition)).await;
                },
            }
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Apply(spec, answer) => self.apply(*spec, answer).await,
            Message::Stop(request, answer) => self.stop(request, answer).await,
            Message::Remove(forget, answer) => self.remove(forget, answer).await,
            Message::SetPort(port, visibility) => self.set_port(port, visibility).await,
            Message::Happened(event, condition) => self.happened(event, condition).await,
            Message::Condition(condition) => {
                conditions::set(&mut self.record.status.conditions, condition);
                self.publish().await;
            }
            Message::Prepared(prepared) => self.is_prepared(*prepared).await,
            Message::Started(running) => self.started(running).await,
            Message::Supervisor(state) => self.heard(*state).await,
            Message::Usage(usage) => self.uses(usage).await,
            Message::Disk(bytes) => self.holds(bytes).await,
            Message::Changed => self.publish().await,
            Message::Released => self.released().await,
        }
    }

    /// Takes a newer spec; an equal one changes nothing and is answered with what is known.
    async fn apply(&mut self, spec: InstanceSpec, answer: Answer) {
        if spec.generation > self.record.spec.generation {
            self.record.status.observed_generation = spec.generation;
            self.record.spec = spec;
            self.persist().await;
        }
        self.publish().await;
        let _ = answer.send(Ok(()));
    }

    async fn stop(&mut self, request: StopRequest, answer: Answer) {
        if self.record.stop.is_none() && self.record.status.conclusion == 0 {
            self.record.stop = Some(request);
        }
        self.happened(Event::StopRequested, None).await;
        let _ = answer.send(Ok(()));
    }

    async fn remove(&mut self, forget: bool, answer: Answer) {
        self.record.remove = Some(forget || self.record.remove == Some(true));
        self.ask_removal().await;
        let _ = answer.send(Ok(()));
    }

    async fn ask_removal(&mut self) {
        match self.record.remove {
            Some(true) => self.happened(Event::ForgetRequested, None).await,
            Some(false) => self.happened(Event::RemoveRequested, None).await,
            None => {}
        }
    }

    /// The owner's choice is kept in the spec, so that it outlives the supervisor, and told to the supervisor.
    async fn set_port(&mut self, port: u16, visibility: Visibility) {
        wire::set_port_rule(&mut self.record.spec.ports, port, visibility);
        self.persist().await;
        let socket = self.world.layout.supervisor_socket(&self.record.spec.id);
        tokio::spawn(async move {
            let request = api::v1::SetPortVisibilityRequest { port: port.into(), visibility: visibility.into() };
            match crate::supervisor::connect(&socket).await {
                Ok(mut client) => drop(client.set_port_visibility(request).await),
                Err(error) => tracing::debug!(%error, "tell the visibility of a port"),
            }
        });
    }

    /// Moves the phase, stores it, and begins what is to be done.
    pub(super) async fn happened(&mut self, event: Event, condition: Option<Condition>) {
        let before = self.record.phase;
        let (next, actions) = match before.on(event) {
            Ok(moved) => moved,
            Err(refused) => return tracing::warn!(id = self.record.spec.id, %refused, "an event at the wrong time"),
        };
        let is_news = next != before || event == Event::KeepFailed;
        if is_news && let Some(condition) = &condition {
            conditions::set(&mut self.record.status.conditions, condition.clone());
        }
        if is_news || !actions.is_empty() {
            self.conclude(event, condition.as_ref());
            self.record.phase = next;
            self.record.status.phase = wire::phase(next).into();
            self.reached(event);
            self.persist().await;
            self.publish().await;
            crate::metrics::Metrics::moved(next.as_str());
            tracing::info!(id = self.record.spec.id, ?event, from = %before, to = %next, "instance");
        }
        self.run(actions);
    }

    /// What a person reads about having come this far.
    fn reached(&mut self, event: Event) {
        let conditions = &mut self.record.status.conditions;
        match event {
            Event::Prepared => {
                conditions::set_true(conditions, "ImageReady", "Prepared", "the image is on the node");
                conditions::set_true(conditions, "NetworkReady", "Prepared", "the network is up");
            }
            Event::ContentReady => {
                conditions::set_true(conditions, "ContentReady", "Ready", "the content is in its place");
                conditions::set_true(conditions, "Ready", "Running", "the workspace runs");
            }
            Event::ContentKept => conditions::set_true(conditions, "ContentKept", "Kept", "what was written is kept on the node"),
            _ => {}
        }
    }

    fn conclude(&mut self, event: Event, condition: Option<&Condition>) {
        let status = &mut self.record.status;
        if status.conclusion != 0 {
            return;
        }
        let Some(conclusion) = Conclusion::after(None, event) else { return };
        let asked = self.record.stop.as_ref().filter(|_| event == Event::StopRequested);
        status.conclusion = match asked {
            Some(request) if request.conclusion != 0 => request.conclusion,
            _ => wire::conclusion(conclusion).into(),
        };
        status.conclusion_reason = match (condition, asked) {
            (Some(condition), _) => condition.message.clone(),
            (None, Some(request)) if !request.reason.is_empty() => request.reason.clone(),
            _ => merge::reason(event, status),
        };
    }

    async fn is_prepared(&mut self, prepared: Prepared) {
        let left_out = super::environment::left_out(&self.record.spec);
        if !left_out.is_empty() {
            let text = format!("these variables belong to Crannog and were left out: {}", left_out.join(", "));
            conditions::set_true(&mut self.record.status.conditions, "ConfigValid", "ReservedVariables", &text);
        }
        self.record.status.image_digest.clone_from(&prepared.image.digest);
        self.record.status.address = prepared.network.address.to_string();
        self.prepared = Some(prepared);
        self.happened(Event::Prepared, None).await;
    }

    async fn started(&mut self, running: Running) {
        if !matches!(self.record.phase, Phase::Starting | Phase::Running) {
            return;
        }
        if self.record.phase == Phase::Starting {
            self.silent_since = Some(Instant::now());
            self.timeline.begin("supervisor");
        }
        conditions::set_true(&mut self.record.status.conditions, "SandboxReady", "Started", "the container runs");
        let spec = &self.record.spec;
        self.watchers = Some(watchers::watch(&self.world, &spec.id, &spec.workspace_id, running, &self.me));
        self.publish().await;
    }

    /// The supervisor has spoken: what it says is checked before anything else.
    async fn heard(&mut self, state: api::v1::SupervisorState) {
        if !matches!(self.record.phase, Phase::Starting | Phase::Running | Phase::Stopping) {
            return;
        }
        if self.silent_since.take().is_some() {
            self.timeline.end("supervisor");
        }
        let state = super::bounds::state(state, now_ms());
        let event = merge::event_of(&state, self.record.spec.kind());
        self.remember_content(&state).await;
        merge::merge(&mut self.record.status, &self.timeline.steps(), state);
        self.publish().await;
        let Some((event, condition)) = event else { return };
        let was_starting = self.record.phase == Phase::Starting;
        self.happened(event, condition).await;
        if was_starting && event == Event::ContentReady {
            self.drop_source();
        }
    }

    fn drop_source(&self) {
        let Some(digest) = super::prepare::bundle_digest(&self.record.spec).map(str::to_owned) else { return };
        let sources = self.world.sources.clone();
        tokio::spawn(async move {
            if let Err(error) = sources.drop_source(&digest).await {
                tracing::warn!(%error, "drop an uploaded source");
            }
        });
    }

    async fn uses(&mut self, mut usage: api::v1::Usage) {
        let before = self.record.status.usage.unwrap_or_default();
        let killed_before = before.oom_kills;
        // Measured on its own, and seldom.
        usage.disk_bytes = before.disk_bytes;
        if usage.oom_kills > killed_before {
            self.world.reports.event(merge::out_of_memory(&self.record.spec, usage));
        }
        self.record.status.usage = Some(usage);
        self.publish().await;
    }

    async fn holds(&mut self, disk_bytes: u64) {
        self.record.status.usage.get_or_insert_default().disk_bytes = disk_bytes;
        self.publish().await;
    }

    async fn released(&mut self) {
        match self.record.phase {
            Phase::Removed => {
                let (store, id) = (self.world.store.clone(), self.record.spec.id.clone());
                self.insist("drop the instance", move || store.delete_instance(&id)).await;
                self.is_over = true;
            }
            Phase::Stopped => self.ask_removal().await,
            _ => {}
        }
    }

    /// Begins actions, after those before have ended; those are told to come to an end.
    fn run(&mut self, actions: &'static [Action]) {
        let is_doing_it = !self.work.is_finished() && self.doing == actions && matches!(actions, [Action::Drain | Action::Kill]);
        if actions.is_empty() || is_doing_it {
            return;
        }
        self.cancel.cancel();
        self.cancel = CancellationToken::new();
        self.doing = actions;
        let ends = matches!(actions, [.., Action::KeepContent] | [Action::ReleaseSandbox, ..]);
        let work = Work {
            world: self.world.clone(),
            spec: self.record.spec.clone(),
            stop: self.record.stop.clone(),
            actor: self.me.clone(),
            timeline: self.timeline.clone(),
            cancel: self.cancel.clone(),
            prepared: self.prepared.clone(),
            lock: self.lock.clone(),
            watchers: if ends { self.watchers.take() } else { None },
        };
        let before = std::mem::replace(&mut self.work, tokio::spawn(async {}));
        let halt = self.halt.clone();
        self.work = tokio::spawn(async move {
            let all = async {
                let _ = before.await;
                work.run(actions).await;
            };
            halt.run_until_cancelled(all).await;
        });
    }
}
