use std::io;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What no decoder or encoder has any use for: the network, other processes, namespaces, the kernel's inner doors.
/// Landlock knows TCP alone; this closes UDP, raw, UNIX and every other kind of socket.
const DENIED: [libc::c_long; 25] = [
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_io_uring_setup,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// Whether this kernel filters system calls at all, and this machine's are known here.
pub fn supported() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    TargetArch::try_from(std::env::consts::ARCH).is_ok()
        && status.lines().any(|line| line.starts_with("Seccomp:"))
}

/// Makes the calls of `DENIED` fail with EPERM, here and in whatever this process turns into.
pub(super) fn restrict() -> io::Result<()> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(());
    };
    let rules = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let errno = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(()),
        // A kernel without it (some container runtimes' own): landlock and the limits have to do.
        Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}
