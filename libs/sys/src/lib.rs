//! Every raw system call of the suite and all of its `unsafe`: one safe function for each, `io::Result`, no policy.
//! What a safe crate (rustix, nix) already wraps is called from there directly; this crate holds what they lack.

pub mod beneath;
pub mod fd_pass;
pub mod idmap;
pub mod inherit;
pub mod memfd;
pub mod mount;
pub mod netns;
pub mod pidfd;
pub mod process;
pub mod seccomp;
pub mod tty;
