//! What ffmpeg says while it goes on: whether something of a file was lost.

/// Words of a demuxer that comes to the end of a file before the end of what is in it.
const CUT: [&str; 4] =
    ["partial file", "File ended prematurely", "stream ends prematurely", "Truncating packet of size"];

/// Words for what could not be read, or only with guesses. Not those for what stands before the first whole picture of a
/// recording that was begun in the middle.
const LOST: [&str; 14] = [
    "error while decoding MB",
    "concealing",
    "corrupt decoded frame",
    "Packet corrupt",
    "Error while decoding stream",
    "Error submitting packet to decoder",
    "Invalid NAL unit size",
    "Error splitting the input into NAL units",
    "Error parsing the packet header",
    "CRC mismatch",
    // Of demuxers that look for the next thing that they know: Matroska's, FLV's, that of ASF, and GIF's.
    "invalid as first byte of an EBML number",
    "Packet mismatch",
    "ff asf bad header",
    "invalid block label",
];

/// Words for pictures that need others which are not there, as at the begin of a recording that was begun in the middle.
const WAITING: [&str; 5] = [
    "no frame!",
    "non-existing PPS",
    "decode_slice_header error",
    "Could not find ref with POC",
    "Missing reference picture",
];

/// What was complained of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// The file ends before what is in it does.
    pub(crate) cut: bool,
    /// How often something was lost.
    pub(crate) lost: u32,
    /// Whether there were pictures that need others which are not there. That alone is no damage.
    pub(crate) waiting: bool,
}

impl Complaints {
    /// Reads a tool's stderr, or the end of it.
    pub(crate) fn read(stderr: &str) -> Self {
        let has = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
        let lost = stderr.lines().filter(|line| has(line, &LOST)).count();
        let lost = u32::try_from(lost).unwrap_or(u32::MAX);
        Self { cut: has(stderr, &CUT), lost, waiting: has(stderr, &WAITING) }
    }

    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            cut: self.cut || other.cut,
            lost: self.lost.saturating_add(other.lost),
            waiting: self.waiting || other.waiting,
        }
    }

    /// Whether something was lost.
    pub(crate) const fn any(self) -> bool {
        self.cut || self.lost > 0
    }

    /// Whether they say why a result is shorter than the packets of its input.
    pub(crate) const fn explain_less(self) -> bool {
        self.any() || self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_from_what_is_only_odd() {
        let said = "[mov @ 0x1] stream 1, offset 0x737f2: partial file\n[h264 @ 0x2] Invalid NAL unit size (2547 > 2077).\n\
                    Error while decoding stream #0:0: Invalid data found when processing input";
        assert_eq!(Complaints::read(said), Complaints { cut: true, lost: 2, waiting: false });
        let begun_in_the_middle = "[h264 @ 0x5] non-existing PPS 0 referenced\n[h264 @ 0x5] no frame!";
        let begun = Complaints::read(begun_in_the_middle);
        assert!(!begun.any() && begun.explain_less());
        assert!(!Complaints::read("").explain_less());
        for hole in [
            "[matroska,webm @ 0x1] 0x00 at pos 80308 (0x139b4) invalid as first byte of an EBML number",
            "[flv @ 0x1] Packet mismatch 0 842 74389",
            "[asf @ 0x1] ff asf bad header 0  at:200135",
            "[gif @ 0x1] invalid block label",
        ] {
            assert_eq!(Complaints::read(hole).lost, 1, "{hole}");
        }
        // A stream that nobody asked for.
        assert!(!Complaints::read("[asf @ 0x1] ff asf skip 3191 (unknown stream)").any());
    }
}
