//! What every daemon has and none should write again: layered configuration, logs, metrics, an admin port, readiness,
//! shutdown, secrets, the lock of a data directory, and the one translation of errors into gRPC statuses.
//!
//! Nothing here knows what a workspace is.

pub mod admin;
pub mod bearer;
pub mod config;
pub mod data_dir;
pub mod logs;
pub mod metrics;
pub mod readiness;
pub mod secret;
pub mod shutdown;
pub mod status;
pub mod tls;
pub mod units;
