//! The life of an instance, as one table. Workspace, prebuild, job and service live by the same one.
//!
//! Whoever drives an instance stores the new phase first and then runs the actions, in order (the three `Prepare…`
//! together). Each action bears repeating: after a crash [`Phase::resume`] says what to run again, and each action ends
//! in an event, so a life always goes on.

mod action;
mod conclusion;
mod event;
mod table;

use std::fmt;

use crate::class::{Class, Classify};

pub use action::Action;
pub use conclusion::Conclusion;
pub use event::Event;
pub use table::phase_table;

/// Where an instance is in its life.
///
/// ```text
///  Pending ──► Preparing ──► Starting ──► Running
///     │        ├ image          │            │
///     │        ├ content        ▼            ▼
///     │        └ network     Stopping ◄── Stopping
///     │            │            │ the container has ended
///     │            ▼            ▼
///     │         Storing ◄───────┘  (a keep that fails stays here, and is seen)
///     │            │ kept, or waived
///     ▼            ▼
///  Stopped{conclusion} ──► Removed
///
///  a node that is silent for longer than its lease: any live phase ──► Unknown ──► what the node reports,
///                                                                        └──► Stopped{lost} when given up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Accepted; not yet on a node.
    Pending,
    /// Image, content and network are being made ready, in parallel.
    Preparing,
    /// The container is being created; the supervisor brings content in.
    Starting,
    /// Content is ready; tasks run.
    Running,
    /// Draining, then killing.
    Stopping,
    /// What changed is being kept.
    Storing,
    /// Nothing runs; content is kept.
    Stopped,
    /// Nothing is left.
    Removed,
    /// The node has been silent for longer than its lease.
    Unknown,
}

/// A move that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance that is {phase} cannot handle {event:?}")]
pub struct Refused {
    /// Where the instance is.
    pub phase: Phase,
    /// What was said to have happened.
    pub event: Event,
}

impl Classify for Refused {
    fn class(&self) -> Class {
        Class::FailedPrecondition
    }

    fn reason(&self) -> &'static str {
        "PhaseRefused"
    }

    fn hint(&self) -> Option<String> {
        match (self.phase, self.event) {
            (Phase::Removed, _) => Some("it is gone; start a new one".into()),
            (_, Event::Admitted) => Some("an instance starts once; start the workspace again for a new one".into()),
            _ => None,
        }
    }
}

impl Phase {
    /// Every phase, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Preparing,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Storing,
        Self::Stopped,
        Self::Removed,
        Self::Unknown,
    ];

    /// The phase after an event, and what to do on getting there.
    ///
    /// An observation that comes late (a preparation that ends after the stop) changes nothing; it is not an error. A
    /// request that was made before runs what it started again.
    pub fn on(self, event: Event) -> Result<(Self, &'static [Action]), Refused> {
        use {Action as A, Event as E, Phase as P};
        Ok(match (self, event) {
            (P::Pending, E::Admitted) => (P::Preparing, P::Preparing.resume()),
            (P::Preparing, E::Prepared) => (P::Starting, &[A::CreateContainer, A::WatchSupervisor]),
            (P::Starting, E::ContentReady) => (P::Running, &[]),

            // The work ends by itself.
            (P::Running, E::WorkSucceeded | E::WorkFailed) => (P::Stopping, &[A::Drain]),
            (P::Starting | P::Running | P::Stopping, E::ContainerExited) => (P::Storing, &[A::KeepContent]),

            // It does not get as far as that. Nothing can drain before the supervisor has been heard.
            (P::Preparing, E::PreparationFailed | E::StartDeadlinePassed | E::LifetimeExpired) => {
                (P::Storing, &[A::CancelPreparation, A::KeepContent])
            }
            (P::Starting, E::StartFailed | E::StartDeadlinePassed) => (P::Stopping, &[A::Kill]),
            (P::Starting, E::ContentFailed) => (P::Stopping, &[A::Drain]),
            (P::Starting | P::Running, E::LifetimeExpired) => (P::Stopping, &[A::Drain]),

            // Someone asks for the end. A removal of what still lives stops it first, and is asked again then.
            (P::Pending, E::StopRequested) => (P::Stopped, &[A::ReleaseSandbox]),
            (P::Pending, E::RemoveRequested) => (P::Removed, &[A::ReleaseSandbox]),
            (P::Pending | P::Storing | P::Stopped, E::ForgetRequested) => (P::Stopped, &[A::ReleaseSandbox, A::ForgetContent]),
            (P::Preparing, E::StopRequested | E::RemoveRequested | E::ForgetRequested) => {
                (P::Storing, &[A::CancelPreparation, A::KeepContent])
            }
            (P::Starting | P::Running, E::StopRequested | E::RemoveRequested | E::ForgetRequested) => (P::Stopping, &[A::Drain]),
            (P::Stopping, E::StopRequested | E::RemoveRequested | E::ForgetRequested) => (P::Stopping, &[A::Drain]),
            (P::Stopping, E::GraceExpired) => (P::Stopping, &[A::Kill]),

            // What changed is kept, or someone says that it need not be.
            (P::Storing, E::ContentKept | E::KeepWaived) => (P::Stopped, &[A::ReleaseSandbox]),
            (P::Storing, E::StopRequested | E::RemoveRequested) => (P::Storing, &[A::KeepContent]),
            (P::Storing, E::KeepFailed) => (P::Storing, &[]),
            (P::Stopped, E::StopRequested) => (P::Stopped, &[A::ReleaseSandbox]),
            (P::Stopped, E::RemoveRequested) => (P::Removed, &[A::ReleaseSandbox]),
            (P::Stopped, E::ContentForgotten) => (P::Removed, &[A::ReleaseSandbox]),
            (P::Removed, E::StopRequested | E::RemoveRequested | E::ForgetRequested) => (P::Removed, &[]),

            // As the orchestrator sees it. Whatever ended has ended: an old report does not revive it.
            (P::Preparing | P::Starting | P::Running | P::Stopping | P::Storing, E::NodeSilent) => (P::Unknown, &[]),
            (P::Pending | P::Stopped | P::Removed | P::Unknown, E::NodeSilent) => (self, &[]),
            (P::Unknown, E::NodeGivenUp) => (P::Stopped, &[]),
            (P::Unknown, E::StopRequested | E::RemoveRequested | E::ForgetRequested) => (P::Unknown, &[]),
            (_, E::Reported(phase)) if self.may_be_reported_as(phase) => (phase, &[]),

            (_, event) if event.is_observation() && self != P::Pending => (self, &[]),
            _ => return Err(Refused { phase: self, event }),
        })
    }

    /// What to run on finding an instance in this phase: after a restart, or when somebody asks again.
    pub fn resume(self) -> &'static [Action] {
        use Action as A;
        match self {
            Self::Pending => &[A::Admit],
            Self::Preparing => &[A::PrepareImage, A::PrepareContent, A::PrepareNetwork],
            // A reboot takes networks and mounts away but not this phase, so they are made (or found) again.
            Self::Starting => &[A::PrepareImage, A::PrepareContent, A::PrepareNetwork, A::CreateContainer, A::WatchSupervisor],
            Self::Running => &[A::WatchSupervisor],
            Self::Stopping => &[A::Drain],
            Self::Storing => &[A::KeepContent],
            Self::Stopped | Self::Removed => &[A::ReleaseSandbox],
            Self::Unknown => &[],
        }
    }

    /// Whether processes may be running in it, so that it holds a node's resources.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Preparing | Self::Starting | Self::Running | Self::Stopping | Self::Storing | Self::Unknown)
    }

    /// Whether its life is over.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Removed)
    }

    /// The word on the wire, in JSON and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Storing => "storing",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    /// A node's word is taken unless it would go back: lives only go forward, and `Unknown` may become anything but the
    /// node's `Unknown`, which no node says.
    fn may_be_reported_as(self, reported: Self) -> bool {
        match (self, reported) {
            (_, Self::Unknown) => false,
            (Self::Unknown, _) => true,
            _ => reported >= self,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
