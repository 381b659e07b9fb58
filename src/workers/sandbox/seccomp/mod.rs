//! The filter of system calls: what is needed may be done, what is known to be harmful fails or kills, all else is a call
//! that this kernel has not.

mod calls;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// By call, the rules of which one has to match; none match always.
type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// `fcntl` without owners, signals, leases and seals: a descriptor can send signals to any process of the user.
const FCNTL: [i32; 8] = [
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
];
/// `ioctl`: whether it is a terminal and how large, how much there is to read.
const IOCTL: [libc::c_ulong; 5] =
    [libc::TCGETS, libc::TIOCGWINSZ, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX];
/// `prctl`: names of threads and memory, and what rights there are. Not the signal at the parent's death, which the node set.
const PRCTL: [i32; 5] =
    [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA, libc::PR_CAPBSET_READ, libc::PR_GET_DUMPABLE];
/// Flags of `clone` that make namespaces.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Leaves this process, and whatever it turns into, the calls that it needs:
///
/// - what only an attacker would call kills it;
/// - what it can do without fails with EPERM: among it a second process (so what is killed by its process id is gone, and
///   leaves nobody behind), signals, limits and turns of others;
/// - what is on no list fails with ENOSYS: a newer libc asks for newer calls first, and goes on with older ones. Calls by the
///   numbers of x32 are among it; those of 32-bit programs kill.
///
/// With `devices`, `ioctl` is free: drivers speak by it, and landlock says which devices there are.
pub(super) fn restrict(devices: bool) -> io::Result<()> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(());
    };
    let always = |calls: &mut dyn Iterator<Item = libc::c_long>| -> Rules {
        calls.map(|call| (call, Vec::new())).collect()
    };
    let deadly = always(&mut calls::deadly());
    let mut denied = always(&mut calls::denied());
    denied.extend(denied_at_times(std::process::id())?);
    if devices {
        denied.remove(&libc::SYS_ioctl);
    }
    // All filters count, and the strictest word is the last one: this one has none on what is on the other two lists.
    let at_times = denied_at_times(std::process::id())?;
    let known = calls::needed()
        .chain(at_times.keys().copied())
        .chain(denied.keys().copied())
        .chain(deadly.keys().copied());
    let known: Rules = known.map(|call| (call, Vec::new())).collect();
    let errno = |errno: i32| SeccompAction::Errno(errno.cast_unsigned());
    let install = |rules, matched, other| -> io::Result<()> {
        let program: BpfProgram = SeccompFilter::new(rules, other, matched, arch)
            .and_then(TryInto::try_into)
            .map_err(io::Error::other)?;
        seccompiler::apply_filter(&program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
            other => io::Error::other(other),
        })
    };
    match install(deadly, SeccompAction::KillProcess, SeccompAction::Allow) {
        // Landlock and the limits have to do.
        Err(error) if is_not_to_be_had(&error) => return Ok(()),
        outcome => outcome?,
    }
    install(known, SeccompAction::Allow, errno(libc::ENOSYS))?;
    // The last one, since it lets no further ones be made.
    install(denied, errno(libc::EPERM), SeccompAction::Allow)
}

/// Whether this kernel has no filters of system calls (some container runtimes' own), or what runs the node lets it make none
/// (a filter of its own that says no): the rights that it takes are there by then.
fn is_not_to_be_had(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EACCES))
}

/// Calls that are needed with some arguments, and denied with others. `own`: this process's id.
fn denied_at_times(own: u32) -> io::Result<Rules> {
    let flag = |flag: i32| u64::from(flag.cast_unsigned());
    let thread = flag(libc::CLONE_THREAD);
    let mut clone = vec![rule(vec![condition(0, SeccompCmpOp::MaskedEq(thread), 0)?])?];
    for namespace in NAMESPACES.map(flag) {
        clone.push(rule(vec![condition(0, SeccompCmpOp::MaskedEq(namespace), namespace)?])?);
    }
    let other = |argument: u8, values: &[u64]| -> io::Result<Vec<SeccompRule>> {
        let conditions: io::Result<Vec<_>> =
            values.iter().map(|value| condition(argument, SeccompCmpOp::Ne, *value)).collect();
        Ok(vec![rule(conditions?)?])
    };
    Ok([
        (libc::SYS_clone, clone),
        (libc::SYS_kill, other(0, &[own.into()])?),
        (libc::SYS_tgkill, other(0, &[own.into()])?),
        (libc::SYS_prlimit64, other(0, &[0])?),
        (libc::SYS_sched_setaffinity, other(0, &[0])?),
        (libc::SYS_fcntl, other(1, &FCNTL.map(flag))?),
        (libc::SYS_ioctl, other(1, &IOCTL)?),
        (libc::SYS_prctl, other(0, &PRCTL.map(flag))?),
    ]
    .into())
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_forbids_filters_is_one_without_and_no_other_failure_is() {
        let is = |errno| is_not_to_be_had(&io::Error::from_raw_os_error(errno));
        assert!([libc::EINVAL, libc::ENOSYS, libc::EPERM, libc::EACCES].into_iter().all(is));
        // Too large a filter, no memory for it, an address that is none: mistakes, which must not leave ffmpeg unfiltered.
        assert!(![libc::E2BIG, libc::ENOMEM, libc::EFAULT].into_iter().any(is));
    }
}
