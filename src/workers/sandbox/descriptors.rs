//! Open files: a program gets its stdin, stdout and stderr, and nothing that its node happens to have open.

use std::io;

const FIRST: libc::c_uint = 3;

/// Marks all descriptors from 3 on to be closed by the exec.
pub(super) fn close_at_exec() -> io::Result<()> {
    // SAFETY: a flag of descriptors is set; none is closed, and no memory is touched.
    #[expect(unsafe_code, reason = "no library of ours has a safe form of it")]
    let outcome =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if outcome == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // Before Linux 5.11, or in a container whose filter does not know it.
        error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EPERM)) => {
            one_by_one()
        }
        error => Err(error),
    }
}

fn one_by_one() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(descriptor) = name.to_str().and_then(|name| name.parse::<libc::c_int>().ok()) else {
            continue;
        };
        if descriptor.cast_unsigned() >= FIRST {
            // SAFETY: as above.
            #[expect(unsafe_code, reason = "as above")]
            let outcome = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
            let error = io::Error::last_os_error();
            // The listing's own descriptor stays open until the loop ends; another thread's may have gone.
            if outcome != 0 && error.raw_os_error() != Some(libc::EBADF) {
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn both_ways_mark_a_descriptor_that_would_be_inherited() {
        for way in [close_at_exec, one_by_one] {
            let file = std::fs::File::open("/dev/null").unwrap();
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
            assert!(file.as_raw_fd() >= 3);
            way().unwrap();
            assert_eq!(rustix::io::fcntl_getfd(&file).unwrap(), rustix::io::FdFlags::CLOEXEC);
        }
    }
}
