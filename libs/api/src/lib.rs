//! Where daemons meet: the .proto files under `proto/`, the code generated from them, and conversions to and from
//! `domain`. Validation of what comes over the wire is `TryFrom` here, once, for every daemon and the CLI.

pub mod convert;
pub mod dial;

pub use prost_types;

/// Every .proto file here, as a `FileDescriptorSet`: for checks over all services and methods.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The API of Crannog itself: `proto/crannog/v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("crannog.v1");
}

/// What programs inside an instance speak with its supervisor: `proto/supervisor`, by Gitpod's names and numbers.
#[allow(missing_docs, clippy::all)]
pub mod supervisor {
    tonic::include_proto!("supervisor");
}
