//! The container of an animated WebP (RFC 9649): where its frames lie, and for how long each is shown.

use std::io::{self, BufRead, Read, Seek};

/// Browsers show a frame that lasts no longer than this for [`SHOWN_MIN_MS`], since it was made for decoders that could not be so fast.
const HASTY_MAX_MS: u32 = 10;
const SHOWN_MIN_MS: u32 = 100;
/// Bytes in front of a chunk: its name and its length.
const CHUNK_HEAD_BYTES: u64 = 8;
/// Bytes of a frame before its picture.
const FRAME_HEAD_BYTES: u64 = 16;
const ANIMATED: u8 = 0x02;

/// One frame, and where its picture is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// For how long it is shown.
    pub(super) ms: u32,
    /// Its transparent parts show what was there before.
    pub(super) blends: bool,
    /// Its place is emptied after it.
    pub(super) goes: bool,
    /// Bytes of its picture, which the reader stands before.
    pub(super) bytes: u64,
}

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnimated {
    /// One picture.
    #[error("it is one picture")]
    Still,
    #[error("{0}")]
    Broken(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frame after frame; nothing of them is kept.
pub(super) struct Container<R> {
    reader: R,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Where it is in the file, and where that ends by its own word and in truth.
    at: u64,
    end: u64,
    length: u64,
}

impl<R: BufRead + Seek> Container<R> {
    /// Reads as far as the first frame. `length`: of the file.
    pub(super) fn open(mut reader: R, length: u64) -> Result<Self, NotAnimated> {
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => NotAnimated::Broken("it ends before its first picture"),
            _ => NotAnimated::Io(error),
        };
        let mut head = [0; 30];
        reader.read_exact(&mut head).map_err(broken)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..4] != b"RIFF" || &head[8..12] != b"WEBP" {
            return Err(NotAnimated::Broken("it is no WebP"));
        }
        if &head[12..16] != b"VP8X" || head[20] & ANIMATED == 0 {
            return Err(NotAnimated::Still);
        }
        let extended_end = 20 + even(number(16));
        let end = CHUNK_HEAD_BYTES + u64::from(number(4));
        let (width, height) = (1 + three(&head[24..]), 1 + three(&head[27..]));
        let mut container = Self { reader, width, height, at: 30, end, length };
        if extended_end < container.at {
            return Err(NotAnimated::Broken("its header is too short"));
        }
        container.skip_to(extended_end)?;
        Ok(container)
    }

    /// The next frame that is all there; `None` at the end. Whatever was not read of the one before is passed over.
    pub(super) fn next(&mut self, read_of_last: u64) -> io::Result<Option<Frame>> {
        self.at += read_of_last;
        loop {
            let Some((name, bytes)) = self.chunk()? else { return Ok(None) };
            let next = self.at + even(bytes);
            if &name != b"ANMF" || u64::from(bytes) < FRAME_HEAD_BYTES {
                self.skip_to(next)?;
                continue;
            }
            let mut head = [0; FRAME_HEAD_BYTES as usize];
            self.reader.read_exact(&mut head)?;
            self.at += FRAME_HEAD_BYTES;
            let ms = three(&head[12..]);
            return Ok(Some(Frame {
                x: 2 * three(&head[0..]),
                y: 2 * three(&head[3..]),
                width: 1 + three(&head[6..]),
                height: 1 + three(&head[9..]),
                ms: if ms <= HASTY_MAX_MS { SHOWN_MIN_MS } else { ms },
                blends: head[15] & 0x02 == 0,
                goes: head[15] & 0x01 != 0,
                bytes: even(bytes) - FRAME_HEAD_BYTES,
            }));
        }
    }

    /// Passes over a frame's picture.
    pub(super) fn skip(&mut self, frame: &Frame) -> io::Result<()> {
        self.skip_to(self.at + frame.bytes)
    }

    /// The picture of the frame that came last, which [`Self::next`] is to be told of.
    pub(super) fn read(&mut self, frame: &Frame) -> io::Result<Vec<u8>> {
        let mut picture = Vec::new();
        (&mut self.reader).take(frame.bytes).read_to_end(&mut picture)?;
        Ok(picture)
    }

    /// Whether the file ends before it says that it does.
    pub(super) const fn is_cut(&self) -> bool {
        self.length < self.end
    }

    /// The head of the next chunk that is all there.
    fn chunk(&mut self) -> io::Result<Option<([u8; 4], u32)>> {
        let end = self.end.min(self.length);
        if self.at + CHUNK_HEAD_BYTES > end {
            return Ok(None);
        }
        let mut head = [0; CHUNK_HEAD_BYTES as usize];
        self.reader.read_exact(&mut head)?;
        self.at += CHUNK_HEAD_BYTES;
        let bytes = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        // The padding behind the last one may be left out.
        if self.at + u64::from(bytes) > end {
            return Ok(None);
        }
        Ok(Some(([head[0], head[1], head[2], head[3]], bytes)))
    }

    fn skip_to(&mut self, at: u64) -> io::Result<()> {
        self.reader.seek_relative((at - self.at).cast_signed())?;
        self.at = at;
        Ok(())
    }
}

/// The parts of a frame's picture, by their names.
pub(super) fn parts(mut picture: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = picture.split_at_checked(CHUNK_HEAD_BYTES as usize)?;
        let bytes = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let part = rest.get(..bytes as usize)?;
        picture = rest.get(even(bytes) as usize..).unwrap_or_default();
        Some(([head[0], head[1], head[2], head[3]], part))
    })
}

fn even(bytes: u32) -> u64 {
    u64::from(bytes) + u64::from(bytes & 1)
}

fn three(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}
