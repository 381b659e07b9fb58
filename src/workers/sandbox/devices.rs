//! What a child may reach beyond its files where it encodes in hardware: the devices of one kind, and what the system tells of them.

use std::path::{Path, PathBuf};

use crate::media::Family;

/// What drivers are told by the environment: which card, which driver.
pub(super) const ENVIRONMENT: [&str; 6] = [
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "LIBVA_DRIVER_NAME",
    "LIBVA_DRIVERS_PATH",
    "LIBVA_DRI3_DISABLE",
];

/// The devices of this kind that are there.
pub(super) fn of(family: Family) -> Vec<PathBuf> {
    let (folder, prefixes): (_, &[&str]) = match family {
        Family::Nvenc => ("/dev", &["nvidia", "dxg"]),
        Family::Qsv | Family::Vaapi => ("/dev/dri", &["renderD"]),
        Family::V4l2 => ("/dev", &["video"]),
    };
    let Ok(entries) = std::fs::read_dir(Path::new(folder)) else { return Vec::new() };
    let is_one = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        prefixes.iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
    };
    entries.flatten().filter(is_one).map(|entry| entry.path()).collect()
}

/// Where drivers look what they are about.
pub(super) const fn described_in(family: Family) -> &'static [&'static str] {
    match family {
        Family::Nvenc => {
            &["/proc/driver/nvidia", "/proc/devices", "/sys/devices/system", "/sys/bus/pci/devices"]
        }
        Family::Qsv | Family::Vaapi => {
            &["/dev/dri", "/sys/dev/char", "/sys/devices", "/sys/class/drm", "/etc/drirc"]
        }
        Family::V4l2 => &["/sys/dev/char", "/sys/devices", "/sys/class/video4linux"],
    }
}

/// Whether its driver maps far more addresses than it uses memory, so that a limit on them says nothing.
pub(super) const fn maps_all_memory(family: Family) -> bool {
    matches!(family, Family::Nvenc)
}
