//! Names of members: where they lie, and whether they are whiteouts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{LayerError, Limits};
use crate::archive::{Entry, Kind};

/// Longest name of one file on Linux.
const MAX_NAME: usize = 255;
const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs kept for itself in layers of long ago.
const AUFS_OWN: &[u8] = b".wh..wh.";

/// A member's directory and its name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Relative to the root; empty for the root itself.
    pub parent: PathBuf,
    /// One component: not empty, not `.`, not `..`.
    pub name: Box<OsStr>,
    /// As written, for messages.
    pub written: Vec<u8>,
}

impl Place {
    /// Reads a name. A leading `/` or `./` is common and means the root; `..` is refused. `None`: it is the root.
    pub fn of(written: &[u8], limits: Limits) -> Result<Option<Self>, LayerError> {
        let refused = |problem| Err(LayerError::refused(written, problem));
        if written.is_empty() || written.contains(&0) {
            return refused("its name is empty or has a NUL");
        }
        if written.len() > limits.path {
            return refused("its path is too long");
        }
        let mut components: Vec<&[u8]> = Vec::new();
        for component in written.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return refused("its name climbs with `..`"),
                long if long.len() > MAX_NAME => return refused("a part of its name is longer than 255 bytes"),
                usual => components.push(usual),
            }
        }
        if components.len() > limits.depth {
            return refused("it lies too deep");
        }
        let Some(name) = components.pop() else {
            return Ok(None);
        };
        let parent = components.iter().map(|component| OsStr::from_bytes(component)).collect();
        Ok(Some(Self { parent, name: OsStr::from_bytes(name).into(), written: written.to_vec() }))
    }

    /// Parent and name together.
    pub fn path(&self) -> PathBuf {
        self.parent.join(Path::new(&*self.name))
    }
}

/// A member that takes away instead of adding.
#[derive(Debug, PartialEq, Eq)]
pub enum Whiteout<'a> {
    /// `.wh.NAME`: what lower layers have under NAME.
    Hide(&'a OsStr),
    /// `.wh..wh..opq`: all that lower layers have in this directory.
    Opaque,
    /// aufs' own book-keeping.
    Ignored,
}

impl<'a> Whiteout<'a> {
    /// What whiteout a member is, if it is one. One that is no regular file, or hides `.` or `..`, is refused, and so is
    /// a name below a whiteout.
    pub fn of(place: &'a Place, entry: &Entry) -> Result<Option<Self>, LayerError> {
        let refused = |problem| Err(LayerError::refused(&place.written, problem));
        let is_below = |prefix| place.parent.components().any(|part| part.as_os_str().as_bytes().starts_with(prefix));
        let name = place.name.as_bytes();
        if is_below(AUFS_OWN) || name.starts_with(AUFS_OWN) && name != OPAQUE {
            return Ok(Some(Self::Ignored));
        }
        if is_below(PREFIX) {
            return refused("it lies below a whiteout");
        }
        let Some(hidden) = name.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        if !matches!(entry.kind, Kind::File | Kind::HardLink) {
            return refused("a whiteout must be an empty file");
        }
        match hidden {
            b"" | b"." | b".." => refused("a whiteout must name a file in its own directory"),
            _ if name == OPAQUE => Ok(Some(Self::Opaque)),
            hidden => Ok(Some(Self::Hide(OsStr::from_bytes(hidden)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Result<Option<PathBuf>, LayerError> {
        Place::of(name.as_bytes(), Limits::default()).map(|place| place.map(|place| place.path()))
    }

    #[test]
    fn names_are_made_relative_to_the_root() {
        for name in ["etc/passwd", "./etc/passwd", "/etc/passwd", "etc//./passwd", "etc/passwd/"] {
            assert_eq!(place(name).expect("a name"), Some(PathBuf::from("etc/passwd")), "{name}");
        }
        for root in ["./", ".", "/", "//"] {
            assert_eq!(place(root).expect("the root"), None, "{root}");
        }
    }

    #[test]
    fn names_that_climb_or_overflow_are_refused() {
        let (long, deep, wide) = ("a/".repeat(2100), "d/".repeat(257), "n".repeat(256));
        for name in ["", "..", "../x", "a/../b", "a/..", "/../x", &long, &deep, &wide, "a\0b"] {
            place(name).expect_err(name);
        }
    }
}
