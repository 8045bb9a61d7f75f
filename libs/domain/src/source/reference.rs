//! Which names of refs Git takes: `git check-ref-format`, and no leading dash.

use super::{SourceError, hostile};

/// Checks the name of a branch, tag, full ref or commit.
pub fn check_reference(name: &str) -> Result<(), SourceError> {
    let forbidden = |letter: char| letter.is_control() || letter.is_whitespace() || "~^:?*[\\".contains(letter);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = name.is_empty()
        || name.len() > 255
        || name == "@"
        || name.starts_with('-')
        || name.ends_with('.')
        || name.contains("..")
        || name.contains("@{")
        || name.chars().any(forbidden)
        || name.split('/').any(bad_part);
    if bad { Err(SourceError::Reference(hostile::shown(name))) } else { Ok(()) }
}
