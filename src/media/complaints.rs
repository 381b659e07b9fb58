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

/// Words for the heads of a second film in an Ogg file, which are there whole, and for what ffmpeg calls that on its next line.
const HEAD: &str = "Header packet passed to frame decoder, skipping";
const HEAD_REFUSED: &str = "Operation not permitted";

/// Words for pictures that need others which are not there, as at the begin of a recording that was begun in the middle.
const WAITING: [&str; 5] = [
    "no frame!",
    "non-existing PPS",
    "decode_slice_header error",
    "Could not find ref with POC",
    "Missing reference picture",
];

/// Words for a file that goes on with zeros where its next piece would begin.
const ZEROS: [&str; 3] = ["0x00 at pos ", "Packet mismatch 0 11 ", "invalid block label"];
/// Zeros may begin so many bytes before that: what ends in zeros by itself.
const ZEROS_OF_A_PIECE_MAX: u64 = 8;

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
        let before = std::iter::once("").chain(stderr.lines());
        let is_head = |line: &str, before: &str| before.contains(HEAD) && line.ends_with(HEAD_REFUSED);
        let lost = stderr
            .lines()
            .zip(before)
            .filter(|(line, before)| has(line, &LOST) && !is_head(line, before))
            .count();
        let lost = u32::try_from(lost).unwrap_or(u32::MAX);
        Self { cut: has(stderr, &CUT), lost, waiting: has(stderr, &WAITING) }
    }

    /// Whether there are complaints of zeros, which may stand behind the end.
    pub(crate) fn tell_of_zeros(stderr: &str) -> bool {
        ZEROS.iter().any(|words| stderr.contains(words))
    }

    /// The same of a file that has nothing but zeros from this byte on, which are no part of it where a whole piece ends there.
    pub(crate) fn read_before_zeros(stderr: &str, zeros_from: u64) -> Self {
        let counts = |line: &&str| !is_of_zeros_behind(line, zeros_from);
        Self::read(&stderr.lines().filter(counts).collect::<Vec<_>>().join("\n"))
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

/// Whether a line complains of the zeros behind a whole piece.
fn is_of_zeros_behind(line: &str, zeros_from: u64) -> bool {
    let Some(at) = line.split("0x00 at pos ").nth(1) else {
        // FLV's demuxer found the head of an empty piece; within a piece it tells how long that is. Where a GIF ends its trailer says.
        return ZEROS.iter().any(|words| line.contains(words));
    };
    let at = at.split(' ').next().and_then(|at| at.parse::<u64>().ok());
    at.and_then(|at| at.checked_sub(zeros_from)).is_some_and(|within| within <= ZEROS_OF_A_PIECE_MAX)
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
        let head = "[theora @ 0x1] Header packet passed to frame decoder, skipping\n\
                    Error while decoding stream #0:0: Operation not permitted";
        assert!(!Complaints::read(head).any());
        let (_, refused) = head.split_once('\n').unwrap();
        assert_eq!(Complaints::read(refused).lost, 1, "a picture");
        assert_eq!(Complaints::read(&[head, refused].join("\n")).lost, 1, "and a picture behind it");
        let live = "[matroska,webm @ 0x1] 0x00 at pos 227588 (0x37904) invalid as first byte of an EBML number\n[h264 @ 0x2] odd";
        assert!(Complaints::tell_of_zeros(live));
        for (zeros_from, lost) in [(227_588, 0), (227_580, 0), (227_579, 1), (227_589, 1)] {
            assert_eq!(Complaints::read_before_zeros(live, zeros_from).lost, lost, "{zeros_from}");
        }
        for (line, lost) in
            [("[flv @ 0x1] Packet mismatch 0 11 182845", 0), ("[flv @ 0x1] Packet mismatch 0 1033 128402", 1)]
        {
            assert_eq!(Complaints::read_before_zeros(line, 182_845).lost, lost, "{line}");
        }
        // A stream that nobody asked for.
        assert!(!Complaints::read("[asf @ 0x1] ff asf skip 3191 (unknown stream)").any());
    }
}
