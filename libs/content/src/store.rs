//! What the library needs of a place that keeps objects, and the places there are.
//!
//! Keys are `/`-separated text. Everything but heads is written once. An operation that returned is durable.

pub mod local;
#[cfg(test)]
mod suite;

use std::ops::Range;

use crate::error::ContentError;

pub use local::LocalStore;

/// The object that says what a store is, and its bytes.
pub const VERSION: (&str, &[u8]) = ("VERSION", b"crannog-content 1\n");

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A place that keeps objects. All implementations pass the same suite (`store/suite.rs`).
pub trait Store: Send + Sync {
    /// The whole object, or `None`.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ContentError>;
    /// Exactly these bytes of it; an object that is absent or shorter is an error.
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, ContentError>;
    /// Writes an object that must not be there yet, and says whether it was not. One that is there stays as it is.
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<bool, ContentError>;
    /// Replaces `expected` (`None`: absent) by `new`, and says whether the object was as expected.
    fn compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, ContentError>;
    /// All objects whose keys begin with `prefix/`, ascending by key.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, ContentError>;
    /// Removes an object; one that is absent is no error.
    fn delete(&self, key: &str) -> Result<(), ContentError>;
}
