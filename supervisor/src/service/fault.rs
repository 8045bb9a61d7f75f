//! From our errors to gRPC statuses; the detail rides along so that class and hint survive every hop.

use std::error::Error;

use api::v1::ErrorDetail;
use domain::class::{Class, Classify};
use prost::Message as _;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::{Code, Status};

/// The trailer of the detail.
const DETAIL: &str = "crannog-error-bin";
/// Longer texts are cut: a cause may quote what a stranger sent, and trailers have a bound.
const LONGEST: usize = 2048;

/// The status of an error.
pub fn status(error: impl Classify) -> Status {
    if error.class() == Class::Internal {
        tracing::error!(error = chain(&error), reason = error.reason(), "a fault of our own");
    }
    let detail = ErrorDetail {
        class: error.class().as_str().into(),
        reason: error.reason().into(),
        message: cut(chain(&error)),
        hint: cut(error.hint().unwrap_or_default()),
    };
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(DETAIL, BinaryMetadataValue::from_bytes(&detail.encode_to_vec()));
    Status::with_metadata(code(error.class()), detail.message, metadata)
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
    text
}

fn code(class: Class) -> Code {
    match class {
        Class::InvalidArgument => Code::InvalidArgument,
        Class::NotFound => Code::NotFound,
        Class::AlreadyExists => Code::AlreadyExists,
        Class::Unauthenticated => Code::Unauthenticated,
        Class::PermissionDenied => Code::PermissionDenied,
        Class::FailedPrecondition => Code::FailedPrecondition,
        Class::Aborted => Code::Aborted,
        Class::ResourceExhausted => Code::ResourceExhausted,
        Class::Unavailable => Code::Unavailable,
        Class::DeadlineExceeded => Code::DeadlineExceeded,
        Class::Unimplemented => Code::Unimplemented,
        Class::DataLoss => Code::DataLoss,
        Class::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SupervisorError;

    #[test]
    fn class_and_hint_survive_in_the_trailer() {
        let status = status(SupervisorError::NoProgram { program: "gti".into() });
        assert_eq!((status.code(), status.message()), (Code::NotFound, "command not found: gti"));
        let bytes = status.metadata().get_bin(DETAIL).expect("detail").to_bytes().expect("bytes");
        let detail = ErrorDetail::decode(bytes).expect("decodes");
        assert_eq!((detail.class.as_str(), detail.reason.as_str()), ("not-found", "CommandNotFound"));
        assert!(detail.hint.contains("spelling"));
    }
}
