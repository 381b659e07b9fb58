mod crash;
mod full;
mod index;
mod results;
mod version;

use super::*;
use crate::content::ContentId;
use crate::events::Events;
use crate::profile::{Profile, ProfileSet};
use crate::store::DataDir;
use crate::workers::Verified;

fn profile(name: &str) -> std::sync::Arc<Profile> {
    ProfileSet::builtin().get(&name.parse().unwrap()).unwrap()
}

pub(super) fn meta(bytes: u64) -> std::sync::Arc<Meta> {
    std::sync::Arc::new(Meta {
        content: ContentId([0; 32]),
        profile: "360p".parse().unwrap(),
        encoder: String::new(),
        bytes,
        sha256: ContentId([0; 32]),
        media_type: String::new(),
        damage: None,
        extension: String::new(),
    })
}

fn key(number: u64) -> Key {
    Key::new(ContentId::of(&number.to_le_bytes()), &profile("360p"))
}

/// The result that belongs to a number: its bytes tell it from all others.
fn result(number: u64, bytes: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

fn new_object(dir: &DataDir, number: u64, data: &[u8]) -> Verified {
    let (_, file) = dir.scratch_file("result-").unwrap();
    std::fs::write(&file, data).unwrap();
    Verified::for_test(key(number).content, profile("360p"), file, data)
}

fn read(object: &Object) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut data = vec![0; object.bytes() as usize];
    object.file().read_exact_at(&mut data, 0).unwrap();
    data
}
