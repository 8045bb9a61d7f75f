//! The cache against an orchestrator that can be counted, changed and switched off.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use daemon_kit::units::HumanDuration;

use super::*;
use crate::ports::{Authority, NewSession};

#[derive(Default)]
struct Scripted {
    good: AtomicBool,
    away: AtomicBool,
    asked: AtomicUsize,
}

#[tonic::async_trait]
impl Authority for Scripted {
    async fn check(&self, _: &str, _: TokenHash) -> Result<bool, AuthorityError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if self.away.load(Ordering::SeqCst) {
            return Err(AuthorityError::BadToken("away".into()));
        }
        Ok(self.good.load(Ordering::SeqCst))
    }
    async fn redeem(&self, _: &str, _: &str) -> Result<Option<NewSession>, AuthorityError> {
        Ok(None)
    }
    async fn report_activity(&self, _: Vec<String>) -> Result<(), AuthorityError> {
        Ok(())
    }
}

fn cache(good_for: Duration, bad_for: Duration, kept: usize) -> (Arc<Scripted>, Sessions) {
    let authority = Arc::new(Scripted::default());
    let [good_for, bad_for, good_while_away] = [good_for, bad_for, Duration::from_secs(600)].map(HumanDuration);
    let settings = config::Sessions { good_for, bad_for, good_while_away, kept };
    (authority.clone(), Sessions::new(authority, settings))
}

fn token(number: usize) -> TokenHash {
    blake3::hash(&number.to_le_bytes())
}

#[tokio::test]
async fn a_hundred_requests_at_once_ask_once() {
    let (authority, sessions) = cache(Duration::from_secs(30), Duration::from_secs(5), 16);
    authority.good.store(true, Ordering::SeqCst);
    let all = futures::future::join_all((0..100).map(|_| sessions.is_good("w", token(1)))).await;
    assert!(all.into_iter().all(|good| good.expect("asked")));
    assert_eq!(authority.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_session_of_one_workspace_says_nothing_about_another() {
    let (authority, sessions) = cache(Duration::from_secs(30), Duration::from_secs(5), 16);
    authority.good.store(true, Ordering::SeqCst);
    assert!(sessions.is_good("w", token(1)).await.expect("asked"));
    authority.good.store(false, Ordering::SeqCst);
    assert!(!sessions.is_good("other", token(1)).await.expect("asked"));
}

#[tokio::test]
async fn a_revoked_session_is_noticed_when_the_good_word_is_old() {
    let (authority, sessions) = cache(Duration::ZERO, Duration::ZERO, 16);
    authority.good.store(true, Ordering::SeqCst);
    assert!(sessions.is_good("w", token(1)).await.expect("asked"));
    authority.good.store(false, Ordering::SeqCst);
    assert!(!sessions.is_good("w", token(1)).await.expect("asked"));
}

#[tokio::test]
async fn while_the_orchestrator_is_away_known_sessions_stay_and_new_ones_are_not_let_in() {
    let (authority, sessions) = cache(Duration::ZERO, Duration::ZERO, 16);
    authority.good.store(true, Ordering::SeqCst);
    assert!(sessions.is_good("w", token(1)).await.expect("asked"));
    authority.away.store(true, Ordering::SeqCst);
    assert!(sessions.is_good("w", token(1)).await.expect("believed"));
    assert!(sessions.is_good("w", token(2)).await.is_err());
}

#[tokio::test]
async fn a_flood_of_guesses_is_bounded_and_does_not_push_out_the_owner() {
    let (authority, sessions) = cache(Duration::from_secs(30), Duration::from_secs(5), 16);
    authority.good.store(true, Ordering::SeqCst);
    assert!(sessions.is_good("w", token(0)).await.expect("asked"));
    authority.good.store(false, Ordering::SeqCst);
    for guess in 1..1000 {
        assert!(!sessions.is_good("w", token(guess)).await.expect("asked"));
    }
    assert!(sessions.slots.lock().len() <= 16);
    let asked = authority.asked.load(Ordering::SeqCst);
    assert!(sessions.is_good("w", token(0)).await.expect("remembered"));
    assert_eq!(authority.asked.load(Ordering::SeqCst), asked);
}
