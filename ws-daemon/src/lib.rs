//! ws-daemon runs instances on one machine: it prepares image, content and network, makes the container, hears its
//! supervisor, and keeps what a workspace wrote.
//!
//! A spec comes down the [`node_stream`]; [`instances`] drives it by the table of `domain::phase`, acting through the
//! traits in [`ports`]; what is known goes into [`reports`] and up the stream again. Bytes take another way: [`tunnels`]
//! for the orchestrator, [`dial`] for an edge on the same machine.
//!
//! - A phase is stored before its actions run, and every action bears repeating.
//! - Instances are nobody's children: this daemon may be killed at any moment, and finds them again.
//! - What the supervisor says is hostile until it was checked ([`instances::bounds`]).
//! - Nothing is deleted that the store does not know to be gone, and what is deleted is deleted below a descriptor.

pub mod app;
pub mod backoff;
pub mod cgroup;
pub mod config;
pub mod content_layer;
mod descriptors;
pub mod dial;
pub mod error;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
pub mod heartbeat;
pub mod host_image;
pub mod images;
pub mod instances;
pub mod layout;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod network;
pub mod node_stream;
pub mod orchestrator;
pub mod ports;
pub mod reports;
pub mod resolve;
pub mod runtime;
pub mod sandbox;
pub mod seccomp;
pub mod service;
pub mod sources;
pub mod store;
pub mod supervisor;
pub mod tunnels;
pub mod world;
