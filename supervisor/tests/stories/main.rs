//! Stories about the real supervisor: PID 1 of a PID namespace, asked over its socket.

mod exec;
mod gitpod;
mod instance;
mod lifecycle;
mod reaping;
mod terminals;
