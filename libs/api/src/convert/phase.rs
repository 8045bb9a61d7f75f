//! Phases and conclusions.

use domain::phase::{Conclusion, Phase};

use super::ConvertError;
use crate::v1;

impl From<Phase> for v1::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pending => Self::Pending,
            Phase::Preparing => Self::Preparing,
            Phase::Starting => Self::Starting,
            Phase::Running => Self::Running,
            Phase::Stopping => Self::Stopping,
            Phase::Storing => Self::Storing,
            Phase::Stopped => Self::Stopped,
            Phase::Removed => Self::Removed,
            Phase::Unknown => Self::Unknown,
        }
    }
}

impl TryFrom<v1::Phase> for Phase {
    type Error = ConvertError;

    fn try_from(phase: v1::Phase) -> Result<Self, ConvertError> {
        Ok(match phase {
            v1::Phase::Unspecified => return Err(ConvertError::UnknownValue { what: "a phase", value: 0 }),
            v1::Phase::Pending => Self::Pending,
            v1::Phase::Preparing => Self::Preparing,
            v1::Phase::Starting => Self::Starting,
            v1::Phase::Running => Self::Running,
            v1::Phase::Stopping => Self::Stopping,
            v1::Phase::Storing => Self::Storing,
            v1::Phase::Stopped => Self::Stopped,
            v1::Phase::Removed => Self::Removed,
            v1::Phase::Unknown => Self::Unknown,
        })
    }
}

impl From<Conclusion> for v1::Conclusion {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Succeeded => Self::Succeeded,
            Conclusion::Failed => Self::Failed,
            Conclusion::Canceled => Self::Canceled,
            Conclusion::TimedOut => Self::TimedOut,
            Conclusion::Lost => Self::Lost,
        }
    }
}

impl TryFrom<v1::Conclusion> for Conclusion {
    type Error = ConvertError;

    fn try_from(conclusion: v1::Conclusion) -> Result<Self, ConvertError> {
        Ok(match conclusion {
            v1::Conclusion::Unspecified => return Err(ConvertError::UnknownValue { what: "a conclusion", value: 0 }),
            v1::Conclusion::Succeeded => Self::Succeeded,
            v1::Conclusion::Failed => Self::Failed,
            v1::Conclusion::Canceled => Self::Canceled,
            v1::Conclusion::TimedOut => Self::TimedOut,
            v1::Conclusion::Lost => Self::Lost,
        })
    }
}

/// The phase as a number of the wire, as messages carry it.
impl v1::InstanceStatus {
    /// The phase, checked.
    pub fn domain_phase(&self) -> Result<Phase, ConvertError> {
        let unknown = |_| ConvertError::UnknownValue { what: "a phase", value: self.phase };
        v1::Phase::try_from(self.phase).map_err(unknown)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_survives_the_wire_and_none_is_made_of_nothing() {
        for phase in Phase::ALL {
            let status = v1::InstanceStatus { phase: v1::Phase::from(phase).into(), ..Default::default() };
            assert_eq!(status.domain_phase(), Ok(phase));
        }
        for wrong in [0, 10, -1] {
            let status = v1::InstanceStatus { phase: wrong, ..Default::default() };
            status.domain_phase().expect_err("no such phase");
        }
    }
}
