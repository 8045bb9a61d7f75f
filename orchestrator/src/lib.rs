//! The orchestrator: what should exist, where, and what is known of it.
//!
//! A request comes in through [`service::workspaces`] (people), [`service::nodes`] (nodes, which dial in) or
//! [`service::edges`] (edges), all behind the one layer of [`auth`]. A verb becomes a change of a record
//! ([`workspaces::Workspaces::change`]): stored first ([`store`]), then shown to who watches ([`workspaces::hub`]), then
//! the node is told ([`nodes`]). What a node should do is decided by `domain::planner` from the whole, each time anew.
//! Bytes in and out of instances go over [`tunnels`], which nodes open when asked.
//!
//! Invariants: nothing is done before it is stored · at most one live instance for each workspace · a node is believed
//! about its own instances only, an instance never about who may reach it · tokens are compared as hashes, in constant
//! time, and are in no log.

pub mod activity;
pub mod app;
pub mod auth;
pub mod config;
pub mod error;
pub mod metrics;
pub mod nodes;
pub mod ports;
pub mod routes;
pub mod service;
pub mod sessions;
pub mod sources;
pub mod store;
pub mod supervisors;
pub mod tokens;
pub mod tunnels;
pub mod workspaces;
