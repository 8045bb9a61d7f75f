//! Failures of images, as this node tells them: class, reason and hint are kept, the causes are said where the person
//! who asked can act on them, and our own faults keep their chain for the log.

use domain::class::{Class, Classify};
use oci::reference::NotAReference;
use oci::registry::RegistryError;
use oci::store::StoreError;

use crate::error::NodeError;

/// A text that names no image.
pub fn bad_reference(error: NotAReference) -> NodeError {
    let hint = "write it like `nginx:1.27`, `ghcr.io/team/image:tag` or `localhost:5000/image`, or use `--image host`";
    NodeError::refused(Class::InvalidArgument, "ImageReference", error.to_string(), hint)
}

/// A registry client that could not be made.
pub fn registry_refused(error: RegistryError) -> NodeError {
    store_refused(StoreError::Registry(error))
}

/// A pull that failed.
pub fn store_refused(error: StoreError) -> NodeError {
    let (class, reason, hint) = (error.class(), error.reason(), error.hint().unwrap_or_default());
    if class == Class::Internal {
        return NodeError::Inside { doing: "prepare the image".to_owned(), source: error.into() };
    }
    NodeError::refused(class, reason, chain(&error), hint)
}

/// An error with its causes in one line, none said twice.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}
