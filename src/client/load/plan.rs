//! What the seed decides: which file an upload sends, what makes it unique, and the order in which nodes are drawn.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes at the end of a file that make it a content of its own: an MP4 `free` box, which players pass over.
const TAG_BYTES: usize = 16;
const BOX_BYTES: usize = 8 + TAG_BYTES;

/// One upload, fixed by the seed and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Index of the file.
    pub(super) file: usize,
    /// What follows the file's own bytes; empty where contents may repeat.
    pub(super) tail: Vec<u8>,
    /// Chooses among the nodes that can be asked when it is sent.
    pub(super) draw: u64,
}

impl Plan {
    /// The `number`th upload of a run.
    pub(super) fn new(seed: u64, number: u64, files: usize, unique: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let file = rng.random_range(0..files.max(1));
        let draw = rng.random();
        let tail = if unique { free_box(rng.random()) } else { Vec::new() };
        Self { file, tail, draw }
    }
}

fn free_box(tag: [u8; TAG_BYTES]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BOX_BYTES);
    bytes.extend_from_slice(&(BOX_BYTES as u32).to_be_bytes());
    bytes.extend_from_slice(b"free");
    bytes.extend_from_slice(&tag);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_sends_the_same() {
        let run = |seed| (0..200).map(|number| Plan::new(seed, number, 16, true)).collect::<Vec<_>>();
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let files: HashSet<_> = run(7).iter().map(|plan| plan.file).collect();
        assert_eq!(files.len(), 16, "every file has its turn");
    }

    #[test]
    fn unique_uploads_differ_by_a_box_that_players_pass_over() {
        let tails: HashSet<_> = (0..1000).map(|number| Plan::new(1, number, 1, true).tail).collect();
        assert_eq!(tails.len(), 1000);
        assert!(tails.iter().all(|tail| tail.starts_with(b"\0\0\0\x18free") && tail.len() == 0x18));
        assert_eq!(Plan::new(1, 1, 1, false).tail, Vec::<u8>::new());
    }
}
