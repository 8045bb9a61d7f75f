//! The one place that knows gRPC codes: an error becomes a status with an [`ErrorDetail`], and back.
//!
//! A client sees the whole chain of causes for what it can act on. For our own faults it sees that there was one; the
//! chain goes to the log, once.

use std::error::Error;

use api::v1::ErrorDetail;
use domain::class::{Class, Classify};
use prost::Message as _;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::{Code, Status};

/// The trailer that carries the [`ErrorDetail`].
pub const DETAIL_KEY: &str = "crannog-error-bin";

/// Longer texts are cut: trailers have a bound, and a cause may quote what a stranger sent.
const LONGEST_TEXT: usize = 2048;

/// Makes the status that a client gets for an error.
pub fn to_status(error: &dyn Classify) -> Status {
    let detail = if error.class() == Class::Internal {
        tracing::error!(error = chain(error), reason = error.reason(), "a fault of our own");
        ErrorDetail {
            class: Class::Internal.as_str().into(),
            reason: error.reason().into(),
            message: "the server failed; its log says how".into(),
            hint: "look into the server's log, and report it".into(),
        }
    } else {
        ErrorDetail {
            class: error.class().as_str().into(),
            reason: error.reason().into(),
            message: cut(chain(error)),
            hint: cut(error.hint().unwrap_or_default()),
        }
    };
    from_detail(&detail)
}

/// Makes the status for a detail that was made elsewhere, by a node or a supervisor.
pub fn from_detail(detail: &ErrorDetail) -> Status {
    let class = Class::parse(&detail.class).unwrap_or(Class::Internal);
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(DETAIL_KEY, BinaryMetadataValue::from_bytes(&detail.encode_to_vec()));
    Status::with_metadata(code(class), detail.message.clone(), metadata)
}

/// What a status says: its detail, or for statuses made by others what their code means.
pub fn detail_of(status: &Status) -> ErrorDetail {
    let sent = status.metadata().get_bin(DETAIL_KEY).and_then(|value| value.to_bytes().ok());
    if let Some(detail) = sent.and_then(|bytes| ErrorDetail::decode(bytes).ok()) {
        return detail;
    }
    let class = class(status.code());
    ErrorDetail {
        class: class.as_str().into(),
        reason: Unclassified(class).reason().into(),
        message: status.message().into(),
        hint: String::new(),
    }
}

/// The class of a status.
pub fn class_of(status: &Status) -> Class {
    Class::parse(&detail_of(status).class).unwrap_or(Class::Internal)
}

/// An error and its causes in one line: "pull the image: ask the registry: connection refused".
pub fn chain(error: &dyn Classify) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        append(&mut text, cause);
        source = cause.source();
    }
    text
}

/// Some errors print their cause themselves; it is not said twice.
fn append(text: &mut String, cause: &dyn Error) {
    let cause = cause.to_string();
    if !cause.is_empty() && !text.ends_with(&cause) {
        text.push_str(": ");
        text.push_str(&cause);
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
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

fn class(code: Code) -> Class {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Class::InvalidArgument,
        Code::NotFound => Class::NotFound,
        Code::AlreadyExists => Class::AlreadyExists,
        Code::Unauthenticated => Class::Unauthenticated,
        Code::PermissionDenied => Class::PermissionDenied,
        Code::FailedPrecondition => Class::FailedPrecondition,
        Code::Aborted | Code::Cancelled => Class::Aborted,
        Code::ResourceExhausted => Class::ResourceExhausted,
        Code::Unavailable => Class::Unavailable,
        Code::DeadlineExceeded => Class::DeadlineExceeded,
        Code::Unimplemented => Class::Unimplemented,
        Code::DataLoss => Class::DataLoss,
        Code::Internal | Code::Unknown | Code::Ok => Class::Internal,
    }
}

/// Lends the words of `Classify` to a class that came without an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unclassified(Class);

impl Classify for Unclassified {
    fn class(&self) -> Class {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("pull the image {image}")]
    struct Pull {
        image: &'static str,
        class: Class,
        source: std::io::Error,
    }

    impl Classify for Pull {
        fn class(&self) -> Class {
            self.class
        }
        fn hint(&self) -> Option<String> {
            Some("try `--image host`".into())
        }
    }

    fn pull(class: Class) -> Pull {
        Pull { image: "debian", class, source: std::io::Error::other("disk /secret/path is full") }
    }

    #[test]
    fn a_client_sees_the_whole_chain_of_what_it_can_act_on() {
        let status = to_status(&pull(Class::ResourceExhausted));
        let detail = detail_of(&status);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(detail.message, "pull the image debian: disk /secret/path is full");
        assert_eq!((detail.reason.as_str(), detail.hint.as_str()), ("ResourceExhausted", "try `--image host`"));
    }

    #[test]
    fn a_client_never_sees_the_causes_of_our_own_faults() {
        let status = to_status(&pull(Class::Internal));
        assert_eq!(status.code(), Code::Internal);
        assert!(!format!("{status:?} {:?}", detail_of(&status)).contains("secret"));
    }

    #[test]
    fn every_class_survives_the_wire() {
        for class in Class::ALL {
            assert_eq!(class_of(&to_status(&pull(class))), class);
            assert_eq!(super::class(code(class)), class);
        }
    }

    #[test]
    fn a_status_of_someone_else_has_a_detail_too() {
        let detail = detail_of(&Status::unavailable("tcp connect error"));
        assert_eq!((detail.class.as_str(), detail.message.as_str()), ("unavailable", "tcp connect error"));
    }
}
