//! Stories about the edge alone: a real edge over real sockets, with an orchestrator, a node and servers that the test
//! plays itself.

mod access;
mod browser;
mod client;
mod hosts;
mod identity;
mod limits;
mod node;
mod orchestrator;
mod servers;
mod smuggling;
mod starting;
mod streaming;
mod tunnels;
mod world;
