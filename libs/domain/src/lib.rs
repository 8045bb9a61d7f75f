//! Decisions, as functions from what is known to what to do. No I/O, no clock, no async: what is decided here can be
//! tested by the thousand, and what acts elsewhere does not decide.

pub mod class;
pub mod context_url;
pub mod gitpod_yml;
pub mod host;
pub mod name;
pub mod phase;
pub mod planner;
pub mod source;
