//! PID 1 of every instance. It reaps, starts programs ([`process`]), owns terminals ([`terminals`]), brings content in,
//! runs tasks, watches ports, and says what it knows ([`hub`]).
//!
//! Two doors: `crannog.v1.InstanceService` on a socket that the node made and handed over (nothing inside can reach it),
//! and the `supervisor` package on loopback for programs inside. Path of a command: [`service`] decodes, [`process`]
//! starts it under the lock of [`reap`], bytes flow by back-pressure, the exit status comes from the one reaper.
//!
//! Never: exit while a child lives; give a descriptor or one of our variables to a child; let a slow viewer hold up a
//! program for longer than `terminals::viewers::PATIENCE`; run a user's text through a shell the user did not ask for.

pub mod app;
pub mod clock;
pub mod config;
pub mod content;
pub mod context;
pub mod environment;
pub mod error;
pub mod hub;
pub mod ports;
pub mod process;
pub mod reap;
pub mod resolve;
pub mod service;
pub mod shutdown;
pub mod sudo;
pub mod tasks;
pub mod terminals;
pub mod timeline;

pub use context::Context;
