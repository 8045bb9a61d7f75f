//! Trees of files kept by content: a save costs the change, nothing acknowledged is lost, a restore is exact or an error.
//!
//! The way of a save: [`capture`] walks a directory and hands chunks to the [`pack`] writer, which puts whole packs into
//! a [`store`] and reads them back; then the [`tree`] objects, then the [`snapshot`], and at last the [`head`] is moved.
//! The way of a read is the other way round: [`repository`] finds an object by its digest through the pack indexes and
//! checks the bytes before anybody sees them. Nothing here knows of workspaces.
//!
//! Invariants: an object is never altered after it was written; nothing names an object that is not yet durable; every
//! byte in the store is covered by a digest. The encodings are in `docs/formats/`.

pub mod capture;
pub mod check;
pub mod chunker;
pub mod command;
pub mod diff;
pub mod digest;
pub mod error;
pub mod frame;
pub mod head;
pub mod index;
mod long_path;
pub mod pack;
pub mod path_text;
pub mod read;
pub mod repository;
pub mod restore;
pub mod save;
pub mod snapshot;
pub mod store;
pub mod tree;
pub mod varint;

pub use digest::Digest;
pub use error::{ContentError, FormatError};
