//! Installing a seccomp filter without `no_new_privs`, so that `sudo` goes on working. (`seccompiler` compiles filters, but
//! its installer always sets `no_new_privs`.)

use std::io;

/// Installs a BPF program of (code, jt, jf, k) on the calling thread and what it starts. Without `no_new_privs` the caller
/// needs CAP_SYS_ADMIN in its user namespace (else EACCES); EINVAL for a program that the kernel does not accept.
pub fn install(program: &[(u16, u8, u8, u32)]) -> io::Result<()> {
    let instructions: Vec<libc::sock_filter> =
        program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let len = u16::try_from(instructions.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len, filter: instructions.as_ptr().cast_mut() };
    // SAFETY: `program` points to `len` instructions that live through the call; the kernel copies them and writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
