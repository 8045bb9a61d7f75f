//! ide-proxy, the edge: HTTP and WebSocket from browsers to ports of workspaces, and who may reach what.
//!
//! A request comes in at [`listener`], is judged byte by byte in [`wire`], and goes through [`service`]: its host says
//! which workspace and port it means ([`host`], [`routes`]), [`admission`] decides whether it may pass, [`upstream`] gets
//! a socket from the node ([`dial`]) and sends it on; [`tunnel`] takes over after a 101. What does not go on is answered
//! by [`refusal`] and [`pages`].
//!
//! Invariants: only the host decides where a request goes · nothing goes on without an [`admission::Admitted`] · our
//! cookies and headers never reach a workspace, and no workspace can set them · bodies are streamed, never gathered ·
//! what was let in is cut off when the right to be in ends · the last table of routes is served while the orchestrator
//! is away · no token and no code is ever logged.

pub mod activity;
pub mod admission;
pub mod app;
pub mod body;
pub mod config;
pub mod credentials;
pub mod dial;
pub mod error;
pub mod headers;
pub mod host;
pub mod listener;
pub mod metrics;
pub mod orchestrator;
pub mod pages;
pub mod ports;
pub mod refusal;
pub mod routes;
pub mod service;
pub mod sessions;
pub mod tunnel;
pub mod upstream;
pub mod wire;
