//! What holds of every life, whatever happens and however often the daemon restarts.

use domain::phase::{Action, Conclusion, Event, Phase, phase_table};
use proptest::prelude::*;

/// A node's world, as far as actions change it. Everything goes well in it unless the script says otherwise.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct World {
    image: bool,
    content: bool,
    network: bool,
    container: bool,
    /// The workspace's content has been ready in a container, and not been kept since.
    dirty: bool,
    waived: bool,
    /// The next attempt to keep content fails.
    keep_fails: bool,
}

impl World {
    /// Does what an action says, and tells what comes of it.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Admit => return Some(Event::Admitted),
            Action::PrepareImage => self.image = true,
            Action::PrepareContent => self.content = true,
            Action::PrepareNetwork => self.network = true,
            Action::CancelPreparation => {}
            Action::CreateContainer => {
                assert!(self.image && self.content && self.network, "a container was made before all was prepared");
                self.container = true;
            }
            Action::WatchSupervisor => {
                self.dirty |= self.container;
                return Some(if self.container { Event::ContentReady } else { Event::ContainerExited });
            }
            Action::Drain | Action::Kill => {
                self.container = false;
                return Some(Event::ContainerExited);
            }
            Action::KeepContent => {
                assert!(!self.container, "content was kept while it could still change");
                if std::mem::take(&mut self.keep_fails) {
                    return Some(Event::KeepFailed);
                }
                self.dirty = false;
                return Some(Event::ContentKept);
            }
            Action::ReleaseSandbox => {
                assert!(!self.container, "the sandbox was released under a running container");
                assert!(!self.dirty || self.waived, "ready content was dropped before it was kept");
                self.network = false;
            }
            Action::ForgetContent => {
                assert!(!self.dirty || self.waived, "ready content was forgotten before it was kept");
                self.content = false;
                return Some(Event::ContentForgotten);
            }
        }
        let all = self.image && self.content && self.network;
        all.then_some(Event::Prepared)
    }
}

/// An instance as its daemon drives it. Phase and conclusion are stored; the list of actions is lost in a crash.
#[derive(Debug, Clone)]
struct Driver {
    phase: Phase,
    conclusion: Option<Conclusion>,
    actions: Vec<Action>,
    world: World,
    /// The most that was asked for, which is asked again until it is so.
    request: Option<Event>,
}

impl Driver {
    fn new() -> Self {
        let actions = Phase::Pending.resume().to_vec();
        Self { phase: Phase::Pending, conclusion: None, actions, world: World::default(), request: None }
    }

    fn on(&mut self, event: Event) {
        let Ok((next, actions)) = self.phase.on(event) else { return };
        if !self.phase.has_ended() {
            self.conclusion = Conclusion::after(self.conclusion, event);
        }
        let waives = event == Event::KeepWaived || event == Event::ForgetRequested;
        self.world.waived |= waives && self.phase == Phase::Storing;
        self.phase = next;
        self.actions.extend(actions);
    }

    /// Something happens from outside.
    fn happens(&mut self, event: Event) {
        if rank(event) > self.request.map_or(0, rank) {
            self.request = Some(event);
        }
        match event {
            Event::ContainerExited => self.world.container = false,
            // It cannot be had without an attempt, so the next attempt fails.
            Event::KeepFailed => return self.world.keep_fails = true,
            _ => {}
        }
        self.on(event);
    }

    /// Nothing more happens; a keep that failed is tried again, as after every restart.
    fn end(&mut self) {
        self.settle(None);
        self.world.keep_fails = false;
        self.restart();
        self.settle(None);
    }

    /// Performs actions until none is left, or until the daemon dies after `crash` of them.
    fn settle(&mut self, crash: Option<usize>) {
        let mut performed = 0;
        while !self.actions.is_empty() {
            if crash == Some(performed) {
                self.restart();
            }
            if self.actions.is_empty() {
                break;
            }
            let action = self.actions.remove(0);
            if let Some(event) = self.world.perform(action) {
                self.on(event);
            }
            performed += 1;
            assert!(performed < 100, "it never comes to rest: {self:?}");
        }
    }

    /// What is stored is found again, and what was asked for is asked again.
    fn restart(&mut self) {
        self.actions = self.phase.resume().to_vec();
        if let Some(request) = self.request {
            self.on(request);
        }
    }
}

/// What is wanted only grows: a stop does not take a removal back.
fn rank(event: Event) -> u8 {
    match event {
        Event::StopRequested => 1,
        Event::RemoveRequested => 2,
        Event::ForgetRequested => 3,
        _ => 0,
    }
}

/// What the outside may do to an instance.
fn outside() -> impl Strategy<Value = Event> {
    prop::sample::select(vec![
        Event::StopRequested,
        Event::RemoveRequested,
        Event::ForgetRequested,
        Event::ContainerExited,
        Event::LifetimeExpired,
        Event::StartDeadlinePassed,
        Event::WorkSucceeded,
        Event::WorkFailed,
        Event::ContentFailed,
        Event::PreparationFailed,
        Event::GraceExpired,
        Event::KeepFailed,
        Event::Admitted,
        Event::Prepared,
        Event::ContentReady,
    ])
}

fn any_phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(Phase::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ready_content_is_never_dropped_before_it_is_kept_whatever_happens(
        script in prop::collection::vec((outside(), prop::option::of(0_usize..6)), 0..12),
    ) {
        let mut driver = Driver::new();
        for (event, crash) in script {
            // The assertions of the world are the property.
            driver.settle(crash);
            driver.happens(event);
        }
        driver.end();
        prop_assert!(matches!(driver.phase, Phase::Running | Phase::Stopped | Phase::Removed), "{driver:?}");
    }

    #[test]
    fn a_life_with_restarts_ends_where_the_same_life_without_them_does(
        script in prop::collection::vec((outside(), prop::option::of(0_usize..6)), 0..12),
    ) {
        let (mut steady, mut crashing) = (Driver::new(), Driver::new());
        for (event, crash) in script {
            steady.settle(None);
            crashing.settle(crash);
            steady.happens(event);
            crashing.happens(event);
        }
        for driver in [&mut steady, &mut crashing] {
            driver.end();
            // A request is repeated until it is so: that is how nodes and orchestrators speak.
            if let Some(request) = driver.request {
                driver.on(request);
                driver.settle(None);
                driver.on(request);
                driver.settle(None);
            }
        }
        prop_assert_eq!(steady.phase, crashing.phase);
        prop_assert_eq!(steady.conclusion, crashing.conclusion);
        prop_assert_eq!(steady.world.container, crashing.world.container);
    }

    #[test]
    fn every_phase_can_be_resumed_and_comes_to_rest(phase in any_phase()) {
        let mut driver = Driver { phase, ..Driver::new() };
        driver.world = World { image: true, content: true, network: true, ..World::default() };
        driver.world.container = matches!(phase, Phase::Running | Phase::Stopping);
        driver.actions.clear();
        driver.restart();
        driver.settle(None);
        let at_rest = matches!(driver.phase, Phase::Running | Phase::Stopped | Phase::Removed | Phase::Unknown);
        prop_assert!(at_rest, "{driver:?}");
    }

    #[test]
    fn a_conclusion_is_said_once_and_every_end_has_one(script in prop::collection::vec(outside(), 0..12)) {
        let mut driver = Driver::new();
        let mut first = None;
        for event in script {
            driver.settle(None);
            driver.happens(event);
            first = first.or(driver.conclusion);
            prop_assert_eq!(driver.conclusion, first);
            prop_assert!(!driver.phase.has_ended() || driver.conclusion.is_some(), "{:?}", driver);
        }
    }
}

#[test]
fn no_phase_is_reached_from_running_to_stopped_without_storing() {
    for event in Event::all() {
        let next = Phase::Running.on(event).map_or(Phase::Running, |(next, _)| next);
        let reported = matches!(event, Event::Reported(_));
        assert!(reported || !next.has_ended(), "{event:?} goes from running to {next}");
    }
}

#[test]
fn removed_comes_only_after_stopped_or_before_anything_was_there() {
    for phase in Phase::ALL {
        for event in Event::PLAIN {
            if matches!(phase.on(event), Ok((Phase::Removed, _))) {
                assert!(matches!(phase, Phase::Pending | Phase::Stopped | Phase::Removed), "{phase} {event:?}");
            }
        }
    }
}

#[test]
fn a_report_never_revives_what_has_ended() {
    assert!(Phase::Stopped.on(Event::Reported(Phase::Running)).is_err());
    assert!(Phase::Removed.on(Event::Reported(Phase::Stopped)).is_err());
    assert_eq!(Phase::Unknown.on(Event::Reported(Phase::Running)), Ok((Phase::Running, &[][..])));
}

#[test]
fn a_refusal_says_both_sides_in_words() {
    let refused = Phase::Running.on(Event::Admitted).expect_err("it runs already");
    assert_eq!(refused.to_string(), "an instance that is running cannot handle Admitted");
}

#[test]
fn the_page_of_phases_shows_the_table_as_it_is() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/phases.md")).unwrap_or_default();
    let expected = phases_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/phases.md"), &expected).expect("write the page");
        return;
    }
    assert!(page == expected, "docs/phases.md is not what the code says: UPDATE_DOCS=1 cargo test -p domain writes it");
}

fn phases_page() -> String {
    let introduction = "# Phases of an instance

Written by a test from `domain::phase`; change the table there. A node stores the new phase first and then does what
stands beside it, in order (the three `Prepare…` together). Everything bears repeating: after a crash the second table
says what is done again. What is not in the first table changes nothing (an observation that comes late) or is refused
(a request that makes no sense any more).

";
    format!("{introduction}{}", phase_table())
}
