use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// What no decoder or encoder has any use for: the network, other processes, namespaces, the kernel's inner doors.
/// Landlock knows TCP alone; this closes UDP, raw, UNIX and every other kind of socket.
const DENIED: [libc::c_long; 27] = [
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
    // Out of the process group that is killed when a job is over.
    libc::SYS_setsid,
    libc::SYS_setpgid,
];

/// A second process, by the calls that can make nothing else. [`libc::SYS_clone`] makes threads, too.
#[cfg(target_arch = "x86_64")]
const FORKS: [libc::c_long; 2] = [libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: [libc::c_long; 0] = [];

/// Whether this kernel filters system calls at all, and this machine's are known here.
pub fn supported() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    TargetArch::try_from(std::env::consts::ARCH).is_ok()
        && status.lines().any(|line| line.starts_with("Seccomp:"))
}

/// Makes the calls of `DENIED` fail with EPERM, and every call that would make a second process, here and in whatever this
/// process turns into: what is killed by its process id is gone, and leaves nobody behind.
pub(super) fn restrict() -> io::Result<()> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(());
    };
    // Its flags lie in memory, where no filter sees them. A libc that hears of no such call makes its threads by clone.
    apply(vec![(libc::SYS_clone3, Vec::new())], libc::ENOSYS, arch)?;
    let mut rules: Vec<_> = DENIED.into_iter().chain(FORKS).map(|call| (call, Vec::new())).collect();
    let no_thread = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD.cast_unsigned().into());
    let no_thread = SeccompCondition::new(0, SeccompCmpArgLen::Dword, no_thread, 0)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)?;
    rules.push((libc::SYS_clone, vec![no_thread]));
    apply(rules, libc::EPERM, arch)
}

/// Makes what these rules match fail with this error. Filters add up.
fn apply(rules: Vec<(libc::c_long, Vec<SeccompRule>)>, errno: i32, arch: TargetArch) -> io::Result<()> {
    let errno = SeccompAction::Errno(errno.cast_unsigned());
    let program: BpfProgram =
        SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, errno, arch)
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
