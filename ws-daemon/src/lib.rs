//! ws-daemon runs instances on one machine. A spec comes down the node stream, [`ports`] name what is needed of the
//! world to carry it out.

pub mod error;
pub mod ports;
