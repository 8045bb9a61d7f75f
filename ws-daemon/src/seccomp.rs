//! Which system calls a workspace may make: Docker's allow-list in shape, as an OCI profile (so that any runtime takes it),
//! and its translation to BPF for the embedded runtime, because libcontainer without libseccomp ignores profiles.
//!
//! Not allowed, among others: `io_uring_*`, `bpf`, `keyctl`, `add_key`, `request_key`, `userfaultfd`, `perf_event_open`,
//! `kexec_*`, `*_module`, `open_by_handle_at`, `mount` and its successors, `setns`, `unshare`, new namespaces by `clone`.

mod filter;
mod names;
mod profile;

pub use filter::{FilterError, Program, compile};
pub use names::numbers;
pub use profile::profile;
