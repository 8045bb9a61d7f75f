//! An OCI profile as BPF, by `seccompiler`.
//!
//! `seccompiler` knows one answer for a match, so a profile becomes one program for what is allowed and one for each other
//! answer. The kernel takes the strictest answer of all; of two error numbers it takes that of the program installed last.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::names;

/// What the kernel is given: (code, jt, jf, k) of each instruction.
pub type Program = Vec<(u16, u8, u8, u32)>;

/// Why a profile cannot be translated.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A name that this build does not know.
    #[error("the seccomp profile names the system call {0:?}, which is not known here")]
    UnknownCall(String),
    /// Only "allow" and "errno" are used.
    #[error("the seccomp profile uses the action {0:?}, which is not supported here")]
    Action(LinuxSeccompAction),
    /// `seccompiler` refused.
    #[error("compile the seccomp profile")]
    Compile(#[source] BackendError),
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Translates a profile to the programs to install, in this order.
pub fn compile(profile: &LinuxSeccomp) -> Result<Vec<Program>, FilterError> {
    let mut allowed = Rules::new();
    let mut refused: BTreeMap<u32, Rules> = BTreeMap::new();
    for call in profile.syscalls().iter().flatten() {
        let errno = match call.action() {
            LinuxSeccompAction::ScmpActAllow => None,
            LinuxSeccompAction::ScmpActErrno => Some(call.errno_ret().unwrap_or(1)),
            other => return Err(FilterError::Action(other)),
        };
        for name in call.names() {
            let number = names::number(name).ok_or_else(|| FilterError::UnknownCall(name.clone()))?;
            if let Some(errno) = errno {
                // The first program must let it through, so that the second one's answer counts.
                allowed.entry(number).or_default();
                refused.entry(errno).or_default().entry(number).or_default();
                continue;
            }
            let rules = allowed.entry(number).or_default();
            if let Some(rule) = rule(call.args().as_deref().unwrap_or_default())? {
                rules.push(rule);
            }
        }
    }
    let default = SeccompAction::Errno(profile.default_errno_ret().unwrap_or(1));
    let mut programs = vec![program(allowed, default, SeccompAction::Allow)?];
    for (errno, rules) in refused {
        programs.push(program(rules, SeccompAction::Allow, SeccompAction::Errno(errno))?);
    }
    Ok(programs)
}

fn rule(arguments: &[LinuxSeccompArg]) -> Result<Option<SeccompRule>, FilterError> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let conditions = arguments.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    SeccompRule::new(conditions).map(Some).map_err(FilterError::Compile)
}

/// Arguments are compared as 32 bits where their value fits: the kernel reads no more of a family, command or flag word.
fn condition(argument: &LinuxSeccompArg) -> Result<SeccompCondition, FilterError> {
    let (op, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, argument.value()),
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, argument.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(argument.value()), argument.value_two().unwrap_or_default())
        }
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, argument.value()),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, argument.value()),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, argument.value()),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, argument.value()),
    };
    let index = u8::try_from(argument.index()).unwrap_or(u8::MAX);
    let length = if u32::try_from(value).is_ok() { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    SeccompCondition::new(index, length, op, value).map_err(FilterError::Compile)
}

fn program(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<Program, FilterError> {
    let architecture = std::env::consts::ARCH.try_into().map_err(FilterError::Compile)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture).map_err(FilterError::Compile)?;
    let program = BpfProgram::try_from(filter).map_err(FilterError::Compile)?;
    Ok(program.into_iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::profile;

    #[test]
    fn our_own_profile_can_be_translated() {
        let programs = compile(&profile().expect("profile")).expect("programs");
        assert_eq!(programs.len(), 2);
        assert!(programs.iter().all(|program| !program.is_empty() && program.len() < 4096));
    }

    #[test]
    fn what_escapes_a_container_is_not_on_the_list() {
        for name in [
            "io_uring_setup",
            "bpf",
            "keyctl",
            "add_key",
            "userfaultfd",
            "perf_event_open",
            "kexec_load",
            "mount",
            "open_by_handle_at",
            "init_module",
            "unshare",
            "setns",
            "pivot_root",
            "fsopen",
            "open_tree",
            "quotactl",
        ] {
            assert_eq!(names::number(name), None, "{name}");
        }
    }
}
