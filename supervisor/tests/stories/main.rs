//! Stories about the real supervisor: PID 1 of a PID namespace, asked over its socket.

mod credentials;
mod exec;
mod gitpod;
mod hostile;
mod instance;
mod lifecycle;
mod ports;
mod reaping;
mod repository;
mod resolve;
mod tasks;
mod terminals;
