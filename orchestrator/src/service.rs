//! The handlers: decode, call, encode. Streams say who owns their back-pressure.

pub mod edges;
mod feeds;
pub mod nodes;
pub mod streams;
pub mod workspaces;

/// What one connected client or node may send in a message.
pub const LARGEST_MESSAGE: usize = 8 * 1024 * 1024;

/// The owner of all workspaces while there is one: who holds the owner's token.
pub const OWNER: &str = "owner";
