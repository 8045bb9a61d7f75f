//! The last step before PID 1: the seccomp filter, the final capabilities, `execve`.
//!
//! libcontainer without libseccomp installs no filter. A filter without `no_new_privs` needs CAP_SYS_ADMIN in the
//! container's user namespace, so the helper lets libcontainer keep it (see `helper`) and this drops it again.

use std::ffi::CString;

use caps::{CapSet, Capability, CapsHashSet};
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use oci_spec::runtime::Spec;

use crate::seccomp::Program;

/// Capabilities that only the step itself needs: to install a filter, and to drop from the bounding set.
pub const NEEDED: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SETPCAP];

/// Runs in the container's init process, alone in its PID namespace.
#[derive(Clone)]
pub struct Confined {
    /// The filters, in order.
    pub filters: Vec<Program>,
    /// What stays, bounding, effective and permitted.
    pub capabilities: CapsHashSet,
}

impl Executor for Confined {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        for filter in &self.filters {
            sys::seccomp::install(filter).map_err(|error| failed("install the seccomp filter", error))?;
        }
        self.drop_capabilities().map_err(|error| failed("drop capabilities", error))?;
        let arguments = arguments(spec)?;
        let environment = environment(spec)?;
        let Err(errno) = nix::unistd::execve(&arguments[0], &arguments, &environment);
        Err(failed("execute the supervisor", errno))
    }

    /// The program is ours and mounted by us: nothing in the image has a say.
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }
}

impl Confined {
    fn drop_capabilities(&self) -> Result<(), caps::errors::CapsError> {
        for capability in caps::all().difference(&self.capabilities) {
            if caps::has_cap(None, CapSet::Bounding, *capability)? {
                caps::drop(None, CapSet::Bounding, *capability)?;
            }
        }
        caps::clear(None, CapSet::Ambient)?;
        caps::set(None, CapSet::Effective, &self.capabilities)?;
        caps::set(None, CapSet::Permitted, &self.capabilities)?;
        caps::clear(None, CapSet::Inheritable)
    }
}

fn arguments(spec: &Spec) -> Result<Vec<CString>, ExecutorError> {
    let arguments = spec.process().as_ref().and_then(|process| process.args().clone()).unwrap_or_default();
    if arguments.is_empty() {
        return Err(ExecutorError::InvalidArg);
    }
    strings(arguments)
}

/// From the specification, not from the process: nothing of the helper's own environment can slip through.
fn environment(spec: &Spec) -> Result<Vec<CString>, ExecutorError> {
    strings(spec.process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default())
}

fn strings(texts: Vec<String>) -> Result<Vec<CString>, ExecutorError> {
    texts.into_iter().map(|text| CString::new(text).map_err(|_| ExecutorError::InvalidArg)).collect()
}

fn failed(doing: &str, error: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::Other(format!("{doing}: {error}"))
}
