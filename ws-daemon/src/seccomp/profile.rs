//! The profile as OCI runtimes read it.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator,
    LinuxSyscall, LinuxSyscallBuilder,
};

use super::names::{ALLOWED, ALLOWED_HERE};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// Every namespace flag of clone(2); `CLONE_NEWTIME` shares a bit with the exit signal and needs clone3.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// Types into another program's terminal (tty(4)); a task could type into the shell of `sudo`.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
/// Linux, 32-bit address layout, and "what is it now?".
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What a workspace may do. What is not named is refused with EPERM; `clone3` answers ENOSYS, because its flags lie in
/// memory where no filter sees them, and C libraries then use `clone`.
pub fn profile() -> Result<LinuxSeccomp, OciSpecError> {
    let names = ALLOWED.iter().chain(ALLOWED_HERE).map(|(name, _)| (*name).to_owned());
    let mut syscalls = vec![
        allow(names.collect(), vec![])?,
        allow(one("clone"), vec![argument(0, NEW_NAMESPACES, Some(0), LinuxSeccompOperator::ScmpCmpMaskedEq)?])?,
        allow(one("socket"), vec![differs(0, AF_ALG)?, differs(0, AF_VSOCK)?])?,
        allow(one("ioctl"), vec![differs(1, TIOCSTI)?, differs(1, TIOCLINUX)?])?,
        LinuxSyscallBuilder::default().names(one("clone3")).action(LinuxSeccompAction::ScmpActErrno).errno_ret(ENOSYS).build()?,
    ];
    for personality in PERSONALITIES {
        syscalls.push(allow(one("personality"), vec![argument(0, personality, None, LinuxSeccompOperator::ScmpCmpEq)?])?);
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(EPERM)
        .architectures(vec![architecture()])
        .syscalls(syscalls)
        .build()
}

fn architecture() -> Arch {
    if cfg!(target_arch = "aarch64") { Arch::ScmpArchAarch64 } else { Arch::ScmpArchX86_64 }
}

fn one(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn allow(names: Vec<String>, arguments: Vec<LinuxSeccompArg>) -> Result<LinuxSyscall, OciSpecError> {
    let call = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    if arguments.is_empty() { call.build() } else { call.args(arguments).build() }
}

fn differs(index: usize, value: u64) -> Result<LinuxSeccompArg, OciSpecError> {
    argument(index, value, None, LinuxSeccompOperator::ScmpCmpNe)
}

fn argument(index: usize, value: u64, two: Option<u64>, op: LinuxSeccompOperator) -> Result<LinuxSeccompArg, OciSpecError> {
    let argument = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
    match two {
        Some(two) => argument.value_two(two).build(),
        None => argument.build(),
    }
}
