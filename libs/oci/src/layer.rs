//! Applying one layer of an image to a root file system on disk. The layer is hostile until proven harmless: every name
//! is resolved by the kernel within the root (`sys::beneath`), the last component is never followed, and everything
//! that costs memory or disk is counted after decoding. Semantics: OCI image spec, `layer.md`.
//!
//! Wanted of the caller: nobody else writes to the root meanwhile, and it is not shown to anybody before it is whole.

mod attributes;
mod decode;
mod error;
mod limits;
mod path;
mod tree;
mod whiteout;

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;

pub use error::LayerError;
pub(crate) use error::is_disk_full;
pub use limits::{Budget, Limits};
pub use tree::REQUIRED_DIRECTORIES;

use crate::archive::{Archive, Entry, Kind};
use crate::digest::Digest;
use decode::Decoded;
use path::{Place, Whiteout};
use tree::Tree;

/// What applying a layer did, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Members written.
    pub entries: u64,
    /// Device nodes that were not made.
    pub devices_skipped: u64,
    /// Extended attributes that are not for images to set.
    pub attributes_dropped: u64,
    /// Bytes unpacked.
    pub bytes: u64,
}

/// Applies the layer in `input` (gzip, zstd or plain tar) to the directory `root`. `diff_id` is the digest that the
/// unpacked bytes must have; `budget` is what all layers of the image together may still use. When `stop` is set, it
/// ends soon with [`LayerError::Stopped`]. After any error the root is not to be used.
pub fn apply(
    root: BorrowedFd<'_>,
    input: impl Read,
    diff_id: &Digest,
    budget: &mut Budget,
    stop: &AtomicBool,
) -> Result<Applied, LayerError> {
    let decoded = Decoded::new(input, diff_id.algorithm(), budget.limits(), stop)?;
    let mut archive = Archive::new(decoded);
    let mut tree = Tree::new(root, budget.limits().depth)?;
    let mut applied = Applied::default();
    while let Some(entry) = archive.next_entry()? {
        budget.take_entry(&entry)?;
        apply_entry(&mut tree, &mut archive, &entry, &mut applied, budget)?;
    }
    archive.drain()?;
    tree.finish()?;
    let (found, bytes) = archive.into_inner().finish();
    match found == *diff_id {
        true => Ok(Applied { bytes, ..applied }),
        false => Err(LayerError::DiffId { wanted: diff_id.clone(), found }),
    }
}

/// Makes sure that the directories which the runtime mounts over exist and are directories, not links to somewhere.
pub fn check_root(root: BorrowedFd<'_>) -> Result<(), LayerError> {
    tree::check_required(root)
}

fn apply_entry<R: Read>(
    tree: &mut Tree<'_>,
    archive: &mut Archive<R>,
    entry: &Entry,
    applied: &mut Applied,
    budget: &mut Budget,
) -> Result<(), LayerError> {
    let limits = budget.limits();
    let Some(place) = Place::of(&entry.path, limits)? else {
        return tree.set_root(entry, applied);
    };
    match Whiteout::of(&place, entry)? {
        Some(Whiteout::Hide(name)) => return tree.hide(&place, name),
        Some(Whiteout::Opaque) => return tree.hide_children(&place),
        Some(Whiteout::Ignored) => return Ok(()),
        None => {}
    }
    attributes::check_owner(entry)?;
    match entry.kind {
        Kind::Directory => tree.directory(&place, entry, applied)?,
        Kind::File => tree.file(&place, entry, archive, applied, budget)?,
        Kind::Symlink => tree.symlink(&place, entry, limits)?,
        Kind::HardLink => tree.hard_link(&place, entry, limits)?,
        Kind::Fifo => tree.fifo(&place, entry, applied)?,
        Kind::Device => {
            tree.clear(&place)?;
            applied.devices_skipped += 1;
            return Ok(());
        }
        // The reader keeps these to itself.
        Kind::GnuSparse | Kind::Pax | Kind::PaxGlobal | Kind::LongName | Kind::LongLink => return Ok(()),
    }
    applied.entries += 1;
    Ok(())
}
