use std::path::{Path, PathBuf};

use super::devices;
use crate::media::Family;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};

/// Newest set of rights that is asked for; older kernels give what they have.
const RIGHTS: ABI = ABI::V6;

/// What a program needs to start: itself, its libraries, and the loader's tables. Nothing of /home, /root, /proc or /var.
const SYSTEM: [&str; 13] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/opt",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// Whether this kernel can confine file access at all.
pub fn supported() -> bool {
    abi() > 0
}

/// The newest version of those made use of that this kernel has; 0: none.
pub(super) fn abi() -> u8 {
    let versions = [(6, ABI::V6), (5, ABI::V5), (4, ABI::V4), (3, ABI::V3), (2, ABI::V2), (1, ABI::V1)];
    versions.into_iter().find(|(_, version)| has(*version)).map_or(0, |(number, _)| number)
}

fn has(version: ABI) -> bool {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(version))
        .and_then(|rules| match AccessNet::from_all(version) {
            none if none.is_empty() => Ok(rules),
            some => rules.handle_access(some),
        })
        .and_then(|rules| match Scope::from_all(version) {
            none if none.is_empty() => Ok(rules),
            some => rules.scope(some),
        });
    rules.and_then(Ruleset::create).is_ok()
}

/// Leaves this process the system's libraries, `readable`, `writable`, and no TCP, as far as the kernel has it.
pub(super) fn restrict(
    program: &Path,
    readable: &[PathBuf],
    writable: &[PathBuf],
    device: Option<Family>,
) -> Result<(), RulesetError> {
    let read = AccessFs::from_read(RIGHTS);
    let write = AccessFs::from_all(RIGHTS);
    let mut rules = Ruleset::default()
        .handle_access(write)?
        .handle_access(AccessNet::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?
        .create()?;
    // A program outside the system's folders brings its libraries along beside it.
    let own = program.parent().filter(|dir| dir.parent().is_some());
    for path in SYSTEM.map(Path::new).into_iter().chain(own) {
        rules = allow(rules, path, read)?;
    }
    for path in readable {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for path in writable {
        rules = allow(rules, path, write)?;
    }
    for device in device.into_iter().flat_map(devices::of) {
        // ioctl on a device is a right of its own since the fifth version.
        rules = allow(rules, &device, AccessFs::from_file(RIGHTS) | AccessFs::ReadDir)?;
    }
    for path in device.into_iter().flat_map(devices::described_in) {
        rules = allow(rules, Path::new(path), AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    rules = allow(rules, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    rules.restrict_self().map(drop)
}

/// A path that isn't there needs no rule.
fn allow(
    rules: landlock::RulesetCreated,
    path: &Path,
    access: impl Into<landlock::BitFlags<AccessFs>>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access)),
        Err(_) => Ok(rules),
    }
}
