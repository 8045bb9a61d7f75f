//! A registry on loopback that serves images made by [`crate::images`], does as it is told (fails, stalls, lies, cuts
//! off, redirects, wants credentials), and remembers what it was asked.

mod fault;
mod serve;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use bytes::Bytes;

use crate::images::{INDEX_TYPE, Image, digest, index};
pub use fault::{Fault, Rule};

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// "GET".
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Range`, if there was one.
    pub range: Option<String>,
    /// `Authorization`, if there was one.
    pub authorization: Option<String>,
}

/// Who is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Whoever shows this user and password.
    Basic(String, String),
    /// Whoever shows a token from /token, which is given to everybody.
    AnonymousToken,
    /// Whoever shows a token from /token, which is given for this user and password.
    Token(String, String),
}

#[derive(Default)]
struct State {
    address: String,
    blobs: HashMap<String, Bytes>,
    /// Under "repository selector": type and bytes.
    manifests: HashMap<String, (String, Bytes)>,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    access: Access,
    tokens: u64,
}

/// A running registry; it ends, with all its connections, when it is dropped.
pub struct ScriptedRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// A runtime of its own, so that stopping ends connections that clients keep.
    runtime: Option<tokio::runtime::Runtime>,
}

impl ScriptedRegistry {
    /// Starts one on a free port of 127.0.0.1.
    pub fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("bind the registry")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { address: address.to_string(), ..State::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(serve::run(listener, state.clone()));
        Ok(Self { address, state, runtime: Some(runtime) })
    }

    /// "127.0.0.1:PORT".
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The whole reference of an image here.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Serves an image as `repository:tag` and by its digest.
    pub fn add(&self, repository: &str, tag: &str, image: &Image) {
        let mut state = self.state();
        state.add(repository, image);
        state.name(repository, tag, &image.manifest_type, &image.manifest);
    }

    /// Serves an index over images as `repository:tag`.
    pub fn add_index(&self, repository: &str, tag: &str, images: &[Image]) -> anyhow::Result<String> {
        let bytes = index(images)?;
        let mut state = self.state();
        for image in images {
            state.add(repository, image);
        }
        state.name(repository, tag, INDEX_TYPE, &bytes);
        Ok(digest(&bytes))
    }

    /// Serves any bytes as a manifest.
    pub fn add_manifest(&self, repository: &str, selector: &str, media_type: &str, bytes: Bytes) {
        self.state().name(repository, selector, media_type, &bytes);
    }

    /// From now on, requests whose path has `part` in it meet a fault; `times` of them, or all.
    pub fn script(&self, part: &str, times: Option<u32>, fault: Fault) {
        self.state().rules.push(Rule { part: part.to_owned(), times, fault });
    }

    /// Forgets all faults.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// Who is let in from now on. Tokens given before are worth nothing.
    pub fn set_access(&self, access: Access) {
        let mut state = self.state();
        state.access = access;
        state.tokens += 1;
    }

    /// What was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Requests for blobs of an image's layers so far.
    pub fn blob_requests(&self) -> usize {
        self.state().seen.iter().filter(|seen| seen.path.contains("/blobs/")).count()
    }

    /// Goes away: connections end, new ones are refused.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for a runtime to end is not allowed within another.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(std::time::Duration::from_secs(5))).join();
            ended.expect("the registry's runtime ends");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for ScriptedRegistry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    fn add(&mut self, repository: &str, image: &Image) {
        for layer in &image.layers {
            self.blobs.insert(layer.digest.clone(), layer.bytes.clone());
        }
        self.blobs.insert(digest(&image.config), image.config.clone());
        self.name(repository, &image.digest(), &image.manifest_type, &image.manifest);
    }

    fn name(&mut self, repository: &str, selector: &str, media_type: &str, bytes: &Bytes) {
        let value = (media_type.to_owned(), bytes.clone());
        self.manifests.insert(format!("{repository} {}", digest(bytes)), value.clone());
        self.manifests.insert(format!("{repository} {selector}"), value);
    }
}

/// A test that panicked elsewhere does not make this one fail.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
