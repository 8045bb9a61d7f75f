//! How an instance ended. Said once: what is first, stays.

use super::Event;

/// How an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// The work was done and went well.
    Succeeded,
    /// It could not start, or its work failed, or it ended without being asked.
    Failed,
    /// A person or the idle timeout asked for it.
    Canceled,
    /// It ran for as long as it was allowed to.
    TimedOut,
    /// Its node was given up.
    Lost,
}

impl Conclusion {
    /// The conclusion after an event, given the one before. An event after the first that concluded changes nothing:
    /// a container that exits because it was stopped was canceled, not failed.
    pub fn after(before: Option<Self>, event: Event) -> Option<Self> {
        before.or(match event {
            Event::WorkSucceeded => Some(Self::Succeeded),
            Event::PreparationFailed
            | Event::StartFailed
            | Event::ContentFailed
            | Event::StartDeadlinePassed
            | Event::WorkFailed
            | Event::ContainerExited => Some(Self::Failed),
            Event::StopRequested | Event::RemoveRequested | Event::ForgetRequested => Some(Self::Canceled),
            Event::LifetimeExpired => Some(Self::TimedOut),
            Event::NodeGivenUp => Some(Self::Lost),
            _ => None,
        })
    }

    /// The word on the wire, in JSON and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::TimedOut => "timed-out",
            Self::Lost => "lost",
        }
    }
}
