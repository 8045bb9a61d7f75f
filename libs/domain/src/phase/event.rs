//! What has happened to an instance. Past tense, so that it is never mistaken for something to do.

use super::Phase;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A node took the spec.
    Admitted,
    /// Image, content and network are ready, all three.
    Prepared,
    /// One of the three cannot be had.
    PreparationFailed,
    /// The container could not be created, or its supervisor did not answer.
    StartFailed,
    /// The supervisor brought the content in; tasks run.
    ContentReady,
    /// The supervisor cannot bring the content in.
    ContentFailed,
    /// Preparing and Starting took longer than the spec allows.
    StartDeadlinePassed,
    /// It ran for as long as the spec allows.
    LifetimeExpired,
    /// All work is done and went well (job, prebuild).
    WorkSucceeded,
    /// All work is done and some of it failed (job, prebuild).
    WorkFailed,
    /// Somebody, or the idle timeout, wants it stopped.
    StopRequested,
    /// Draining took longer than the grace.
    GraceExpired,
    /// PID 1 has ended, or no container was found where there should be one.
    ContainerExited,
    /// What changed is durable.
    ContentKept,
    /// What changed could not be made durable; it is still on the node.
    KeepFailed,
    /// A person said that what changed need not be kept.
    KeepWaived,
    /// The instance is to go; what its workspace keeps stays.
    RemoveRequested,
    /// The instance and all that its workspace keeps are to go.
    ForgetRequested,
    /// What the workspace kept is gone, as asked.
    ContentForgotten,
    /// The orchestrator has not heard the node for longer than its lease.
    NodeSilent,
    /// The node has been given up: it will not come back.
    NodeGivenUp,
    /// The node says where the instance is.
    Reported(Phase),
}

impl Event {
    /// Every event, `Reported` once for each phase.
    pub fn all() -> Vec<Self> {
        let mut events = Self::PLAIN.to_vec();
        events.extend(Phase::ALL.map(Self::Reported));
        events
    }

    /// Every event without data, in the order of a life.
    pub const PLAIN: [Self; 21] = [
        Self::Admitted,
        Self::Prepared,
        Self::PreparationFailed,
        Self::StartFailed,
        Self::ContentReady,
        Self::ContentFailed,
        Self::StartDeadlinePassed,
        Self::LifetimeExpired,
        Self::WorkSucceeded,
        Self::WorkFailed,
        Self::StopRequested,
        Self::GraceExpired,
        Self::ContainerExited,
        Self::ContentKept,
        Self::KeepFailed,
        Self::KeepWaived,
        Self::RemoveRequested,
        Self::ForgetRequested,
        Self::ContentForgotten,
        Self::NodeSilent,
        Self::NodeGivenUp,
    ];

    /// Whether the world said it rather than a person. An observation may come late, of something that was given up in
    /// the meantime, and then means nothing.
    pub fn is_observation(self) -> bool {
        !matches!(
            self,
            Self::Admitted
                | Self::KeepWaived
                | Self::StopRequested
                | Self::RemoveRequested
                | Self::ForgetRequested
                | Self::NodeGivenUp
                | Self::Reported(_)
        )
    }
}
