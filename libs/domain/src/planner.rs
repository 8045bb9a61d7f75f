//! What is wanted against what is there: the steps that bring one to the other. Decided anew each round, from the whole;
//! a step that was lost on its way is simply decided again.

use std::collections::BTreeMap;

use crate::phase::Phase;

/// What should become of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// It runs.
    Running,
    /// It does not run; what its workspace keeps stays.
    Stopped,
    /// Nothing of the instance is left; what its workspace keeps stays.
    Removed,
    /// Nothing of the instance is left, nor of what its workspace keeps.
    Forgotten,
}

/// An instance as the orchestrator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Instance id.
    pub id: String,
    /// Grows with each change of the spec; equal generations are equal specs.
    pub generation: u64,
    /// What should become of it.
    pub desired: Desired,
}

/// An instance as its node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Instance id.
    pub id: String,
    /// Generation of the spec that the node works by.
    pub generation: u64,
    /// Where it is.
    pub phase: Phase,
    /// When it was made, on the clock (or counter) of [`plan`]'s `listed`.
    pub created: u64,
}

/// One thing to ask of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Apply the present spec of an instance.
    Apply(String),
    /// Stop it.
    Stop(String),
    /// Remove it; with `forget`, what its workspace keeps too.
    Remove {
        /// Instance id.
        id: String,
        /// Whether what the workspace keeps goes as well.
        forget: bool,
    },
}

/// Says what to ask of a node. `listed` is when `wanted` was read: an instance that nobody wants but that was made after
/// it may be wanted by a newer list, so it is left alone. Equal input needs nothing.
///
/// Instances are never restarted here: one that ended has ended, and a new start is a new instance.
pub fn plan(wanted: &[Wanted], observed: &[Observed], listed: u64) -> Vec<Step> {
    let there: BTreeMap<&str, &Observed> = observed.iter().map(|instance| (instance.id.as_str(), instance)).collect();
    let known: BTreeMap<&str, &Wanted> = wanted.iter().map(|instance| (instance.id.as_str(), instance)).collect();
    let for_wanted = wanted.iter().filter_map(|want| step_for(want, there.get(want.id.as_str()).copied()));
    let for_unknown = observed
        .iter()
        .filter(|seen| !known.contains_key(seen.id.as_str()) && seen.created <= listed)
        .filter_map(|seen| removal(&seen.id, seen.phase, false));
    for_wanted.chain(for_unknown).collect()
}

fn step_for(want: &Wanted, seen: Option<&Observed>) -> Option<Step> {
    match (want.desired, seen) {
        (Desired::Running, None) => Some(Step::Apply(want.id.clone())),
        (Desired::Running, Some(seen)) => {
            let outdated = seen.generation < want.generation && !seen.phase.has_ended();
            outdated.then(|| Step::Apply(want.id.clone()))
        }
        (Desired::Stopped, Some(seen)) => needs_stop(seen.phase).then(|| Step::Stop(want.id.clone())),
        (Desired::Removed, Some(seen)) => removal(&want.id, seen.phase, false),
        // What a workspace keeps may be on the node without an instance, so forgetting is asked either way.
        (Desired::Forgotten, Some(seen)) => removal(&want.id, seen.phase, true),
        (Desired::Forgotten, None) => Some(Step::Remove { id: want.id.clone(), forget: true }),
        (Desired::Stopped | Desired::Removed, None) => None,
    }
}

/// What lives is stopped first. What is being stored is only hurried when it need not be kept.
fn removal(id: &str, phase: Phase, forget: bool) -> Option<Step> {
    match phase {
        Phase::Stopping => None,
        Phase::Storing if !forget => None,
        phase if needs_stop(phase) => Some(Step::Stop(id.to_owned())),
        Phase::Removed if !forget => None,
        _ => Some(Step::Remove { id: id.to_owned(), forget }),
    }
}

fn needs_stop(phase: Phase) -> bool {
    matches!(phase, Phase::Pending | Phase::Preparing | Phase::Starting | Phase::Running)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(id: &str, desired: Desired) -> Wanted {
        Wanted { id: id.into(), generation: 1, desired }
    }

    fn seen(id: &str, phase: Phase, created: u64) -> Observed {
        Observed { id: id.into(), generation: 1, phase, created }
    }

    fn check(wanted: &[Wanted], observed: &[Observed], expected: &[Step]) {
        assert_eq!(plan(wanted, observed, 100), expected);
    }

    #[test]
    fn an_equal_spec_asks_nothing_of_the_node() {
        for phase in Phase::ALL {
            check(&[want("a", Desired::Running)], &[seen("a", phase, 5)], &[]);
        }
    }

    #[test]
    fn what_is_wanted_and_not_there_is_applied_and_a_newer_generation_again() {
        check(&[want("a", Desired::Running)], &[], &[Step::Apply("a".into())]);
        let newer = Wanted { generation: 2, ..want("a", Desired::Running) };
        check(std::slice::from_ref(&newer), &[seen("a", Phase::Running, 5)], &[Step::Apply("a".into())]);
        check(&[newer], &[seen("a", Phase::Stopped, 5)], &[]);
    }

    #[test]
    fn an_instance_that_nobody_knows_goes_only_if_it_is_older_than_the_list() {
        check(&[], &[seen("a", Phase::Running, 99)], &[Step::Stop("a".into())]);
        check(&[], &[seen("a", Phase::Stopped, 99)], &[Step::Remove { id: "a".into(), forget: false }]);
        check(&[], &[seen("a", Phase::Running, 101), seen("b", Phase::Stopped, 101)], &[]);
    }

    #[test]
    fn removal_stops_first_and_waits_for_what_is_being_kept() {
        let wanted = [want("a", Desired::Removed)];
        check(&wanted, &[seen("a", Phase::Running, 5)], &[Step::Stop("a".into())]);
        check(&wanted, &[seen("a", Phase::Stopping, 5)], &[]);
        check(&wanted, &[seen("a", Phase::Storing, 5)], &[]);
        check(&wanted, &[seen("a", Phase::Stopped, 5)], &[Step::Remove { id: "a".into(), forget: false }]);
        check(&wanted, &[], &[]);
    }

    #[test]
    fn a_forgotten_workspace_waives_keeping_and_is_asked_for_without_an_instance_too() {
        let wanted = [want("a", Desired::Forgotten)];
        let remove = [Step::Remove { id: "a".into(), forget: true }];
        check(&wanted, &[seen("a", Phase::Storing, 5)], &remove);
        check(&wanted, &[seen("a", Phase::Removed, 5)], &remove);
        check(&wanted, &[], &remove);
    }
}
