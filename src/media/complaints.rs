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

/// What a tool has said so far. Each line is looked at as it comes and then forgotten, so that a complaint counts however much is said
/// after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The line that has begun.
    line: Vec<u8>,
    /// Whether the line before was of the heads of a second film.
    after_head: bool,
    cut: bool,
    lost: u32,
    waiting: bool,
    /// Complaints that may be of zeros behind the end, by the byte that they name, where they name one.
    zeros: Vec<Option<u64>>,
}

/// So much of a line is looked at: ffmpeg's are shorter.
const LINE_BYTES_MAX: usize = 4096;
/// So many complaints of zeros are told apart. Behind the end there is one.
const ZEROS_MAX: usize = 256;

impl Said {
    /// All that a tool has said.
    #[cfg(test)]
    pub(crate) fn of(stderr: &str) -> Self {
        let mut said = Self::default();
        said.hear(stderr.as_bytes());
        said.end();
        said
    }

    /// It says more.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let left = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(left)]);
            if part.ends_with(b"\n") {
                self.end();
            }
        }
    }

    /// It says no more on this line.
    pub(crate) fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.look(String::from_utf8_lossy(&line).trim_end());
    }

    fn look(&mut self, line: &str) {
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        self.cut |= has(&CUT);
        self.waiting |= has(&WAITING);
        let is_head =
            std::mem::replace(&mut self.after_head, line.contains(HEAD)) && line.ends_with(HEAD_REFUSED);
        if !has(&LOST) || is_head {
            return;
        }
        if has(&ZEROS) && self.zeros.len() < ZEROS_MAX {
            let at = line.split("0x00 at pos ").nth(1).and_then(|at| at.split(' ').next());
            self.zeros.push(at.and_then(|at| at.parse().ok()));
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Whether there are complaints of zeros, which may stand behind the end.
    pub(crate) fn tells_of_zeros(&self) -> bool {
        !self.zeros.is_empty()
    }

    /// What was complained of. From the byte `zeros_from` on the file has nothing but zeros, which are no part of it where a whole piece
    /// ends there.
    pub(crate) fn complaints(&self, zeros_from: Option<u64>) -> Complaints {
        let counts = |at: &&Option<u64>| !zeros_from.is_some_and(|from| is_behind(**at, from));
        let zeros = u32::try_from(self.zeros.iter().filter(counts).count()).unwrap_or(u32::MAX);
        Complaints { cut: self.cut, lost: self.lost.saturating_add(zeros), waiting: self.waiting }
    }

    /// What one tool said, and then another.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.end();
        self.zeros.extend(other.zeros);
        Self {
            cut: self.cut || other.cut,
            lost: self.lost.saturating_add(other.lost),
            waiting: self.waiting || other.waiting,
            after_head: other.after_head,
            line: other.line,
            zeros: self.zeros,
        }
    }
}

impl Complaints {
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

/// Whether a complaint is of the zeros behind a whole piece: FLV's demuxer, and GIF's, name no byte. The one found the head of an empty
/// piece (within a piece it tells how long that is), and where a GIF ends its trailer says.
fn is_behind(at: Option<u64>, zeros_from: u64) -> bool {
    at.is_none_or(|at| at.checked_sub(zeros_from).is_some_and(|within| within <= ZEROS_OF_A_PIECE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stderr: &str) -> Complaints {
        Said::of(stderr).complaints(None)
    }

    #[test]
    fn what_is_lost_is_told_from_what_is_only_odd() {
        let said = "[mov @ 0x1] stream 1, offset 0x737f2: partial file\n[h264 @ 0x2] Invalid NAL unit size (2547 > 2077).\n\
                    Error while decoding stream #0:0: Invalid data found when processing input";
        assert_eq!(read(said), Complaints { cut: true, lost: 2, waiting: false });
        let begun_in_the_middle = "[h264 @ 0x5] non-existing PPS 0 referenced\n[h264 @ 0x5] no frame!";
        let begun = read(begun_in_the_middle);
        assert!(!begun.any() && begun.explain_less());
        assert!(!read("").explain_less());
        for hole in [
            "[matroska,webm @ 0x1] 0x00 at pos 80308 (0x139b4) invalid as first byte of an EBML number",
            "[flv @ 0x1] Packet mismatch 0 842 74389",
            "[asf @ 0x1] ff asf bad header 0  at:200135",
            "[gif @ 0x1] invalid block label",
        ] {
            assert_eq!(read(hole).lost, 1, "{hole}");
        }
        let head = "[theora @ 0x1] Header packet passed to frame decoder, skipping\n\
                    Error while decoding stream #0:0: Operation not permitted";
        assert!(!read(head).any());
        let (_, refused) = head.split_once('\n').unwrap();
        assert_eq!(read(refused).lost, 1, "a picture");
        assert_eq!(read(&[head, refused].join("\n")).lost, 1, "and a picture behind it");
        let live = "[matroska,webm @ 0x1] 0x00 at pos 227588 (0x37904) invalid as first byte of an EBML number\n[h264 @ 0x2] odd";
        assert!(Said::of(live).tells_of_zeros());
        for (zeros_from, lost) in [(227_588, 0), (227_580, 0), (227_579, 1), (227_589, 1)] {
            assert_eq!(Said::of(live).complaints(Some(zeros_from)).lost, lost, "{zeros_from}");
        }
        for (line, lost) in
            [("[flv @ 0x1] Packet mismatch 0 11 182845", 0), ("[flv @ 0x1] Packet mismatch 0 1033 128402", 1)]
        {
            assert_eq!(Said::of(line).complaints(Some(182_845)).lost, lost, "{line}");
        }
        // A stream that nobody asked for.
        assert!(!read("[asf @ 0x1] ff asf skip 3191 (unknown stream)").any());
    }
    #[test]
    fn a_complaint_counts_however_much_is_said_after_it() {
        let mut said = Said::default();
        // A line may come in pieces, and end with the tool.
        said.hear(b"[h264 @ 0x2] Invalid NAL unit");
        said.hear(b" size (2547 > 2077).\n[mov @ 0x1] stream 1, offset 0x737f2: partial file\n");
        for _ in 0..10_000 {
            said.hear(
                b"[null @ 0x3] Application provided invalid, non monotonically increasing dts to muxer\n",
            );
        }
        said.hear(b"[h264 @ 0x2] no frame!");
        said.end();
        assert_eq!(said.complaints(None), Complaints { cut: true, lost: 1, waiting: true });
        let both = said.and(Said::of("CRC mismatch"));
        assert_eq!(both.complaints(None), Complaints { cut: true, lost: 2, waiting: true });
        // A line without an end takes no more memory than a line may.
        let mut endless = Said::default();
        (0..1_000).for_each(|_| endless.hear(&[b'x'; 1_000]));
        assert_eq!(endless.line.len(), LINE_BYTES_MAX);
        // Of more zeros than one file has behind its end all count.
        let line = "[gif @ 0x1] invalid block label\n";
        assert_eq!(Said::of(&line.repeat(1_000)).complaints(None).lost, 1_000);
    }
}
