//! A set of files, as a peer might send it: `scripts/fuzz-target.sh fuzz bundle`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use starling::store::files::{Index, header};

fuzz_target!(|tar: &[u8]| {
    let read = |buffer: &mut [u8], at: u64| {
        buffer.copy_from_slice(&tar[at as usize..at as usize + buffer.len()]);
        Ok(())
    };
    let Ok(index) = Index::read_from(tar.len() as u64, read) else { return };
    // What is taken is byte for byte what a node writes.
    let mut again = Vec::new();
    for entry in index.entries() {
        again.extend(header(entry.name.as_str(), entry.bytes).unwrap());
        again.extend(&tar[entry.offset as usize..(entry.offset + entry.bytes) as usize]);
        again.resize(again.len().next_multiple_of(512), 0);
    }
    again.extend([0; 1024]);
    assert_eq!(again, tar);
});
