//! Animated WebP, which ffmpeg knows no decoder for up to its version 7: a confined process of this same program reads the file and writes
//! the pictures to a pipe that ffmpeg reads from.
//!
//! ```text
//! starling sandbox --webp describe FILE   -> a line of JSON
//! starling sandbox --webp decode FILE     -> uncompressed pictures in Matroska | ffmpeg -i pipe:0 …
//! ```
//!
//! The pictures of the frames are decoded by `image-webp`; the container and the canvas are read and drawn here, so that a frame
//! that is damaged costs no other, and memory is that of one canvas and one frame, however many frames there are.

mod canvas;
mod container;
mod info;
mod matroska;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Seek, Write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use self::canvas::Canvas;
use self::container::{Container, Frame, NotAnimated, parts};
pub(crate) use self::info::read as read_description;

/// What the decoder writes to its stderr when it has come to the end of the file.
pub(super) const DONE: &str = "webp: done";
/// No picture of a frame is longer than this, in bytes.
const PICTURE_BYTES_MAX: u64 = 256 << 20;

/// What a confined process does with a WebP file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WebpAct {
    /// Says what is in it.
    Describe,
    /// Writes its pictures.
    Decode,
}

impl WebpAct {
    /// Its name on the command line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Decode => "decode",
        }
    }
}

/// Why a WebP file can't be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WebpError(#[from] NotAnimated);

impl From<io::Error> for WebpError {
    fn from(error: io::Error) -> Self {
        Self(NotAnimated::Io(error))
    }
}

/// Whether a file is a WebP, animated or not, by its first bytes.
pub(super) fn is_webp(path: &Path) -> io::Result<bool> {
    let mut head = [0; 12];
    match File::open(path)?.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(&head[..4] == b"RIFF" && &head[8..] == b"WEBP"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Does that with a file, to stdout. What is lost of it is said on stderr, in the words that ffmpeg has for such.
pub fn act(act: WebpAct, path: &Path) -> Result<(), WebpError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let reader = BufReader::new(file);
    let out = io::stdout().lock();
    match act {
        WebpAct::Describe => describe(reader, length, out),
        WebpAct::Decode => {
            // Of a panic of the decoder no more is said than of any other frame that is lost.
            std::panic::set_hook(Box::new(|_| {}));
            decode(reader, length, out, &mut io::stderr())
        }
    }
}

pub(crate) fn describe(
    reader: impl io::BufRead + Seek,
    length: u64,
    mut out: impl Write,
) -> Result<(), WebpError> {
    let description = match Container::open(reader, length) {
        Ok(mut container) => info::Description::of(&mut container)?,
        Err(NotAnimated::Still) => info::Description::still(),
        Err(error) => return Err(error.into()),
    };
    serde_json::to_writer(&mut out, &description).map_err(io::Error::from)?;
    Ok(out.flush()?)
}

/// Writes all pictures at their times. Where one can't be decoded, what is there stays for as long as it would have been shown.
pub(crate) fn decode(
    mut reader: impl io::BufRead + Seek,
    length: u64,
    out: impl Write,
    said: &mut impl Write,
) -> Result<(), WebpError> {
    let begin = reader.stream_position()?;
    let whole = info::Description::of(&mut Container::open(&mut reader, length)?)?;
    reader.seek(io::SeekFrom::Start(begin))?;
    let mut container = Container::open(reader, length)?;
    let mut out = BufWriter::new(out);
    matroska::begin(&mut out, (container.width, container.height), whole.ms)?;
    let mut canvas = Canvas::new(container.width, container.height);
    let (mut at, mut read, mut lost) = (0, 0, 0u64);
    while let Some(frame) = container.next(read)? {
        let picture = if frame.bytes <= PICTURE_BYTES_MAX { container.read(&frame)? } else { Vec::new() };
        read = picture.len() as u64;
        canvas.clear();
        if canvas.holds(&frame)
            && let Some((pixels, has_alpha)) = decoded(&frame, &picture)
        {
            canvas.draw(&frame, &pixels, has_alpha);
        } else {
            lost += 1;
            // Enough of them to tell of; the pipe that they go to is read late.
            if lost <= 20 {
                writeln!(said, "Error while decoding stream: a frame of the WebP at {at} ms")?;
            }
        }
        matroska::picture(&mut out, at, frame.ms, canvas.pixels())?;
        at += u64::from(frame.ms);
        if picture.is_empty() {
            container.skip(&frame)?;
        }
    }
    if container.is_cut() {
        writeln!(said, "File ended prematurely")?;
    }
    if lost == whole.frames {
        writeln!(said, "no picture of the WebP can be decoded")?;
        return Err(NotAnimated::Broken("no picture of it can be decoded").into());
    }
    // Before the pipe is closed, so that whoever has seen its end can read this.
    writeln!(said, "{DONE}")?;
    Ok(out.flush()?)
}

/// A frame's pixels, three bytes each, or four where there is alpha; `None` where they can't be decoded.
fn decoded(frame: &Frame, picture: &[u8]) -> Option<(Vec<u8>, bool)> {
    let file = as_file(frame, picture)?;
    // The decoder is made for hostile files. Should one make it panic, that costs one frame.
    catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file)).ok()?;
        if decoder.dimensions() != (frame.width, frame.height) {
            return None;
        }
        let mut pixels = vec![0; decoder.output_buffer_size()?];
        decoder.read_image(&mut pixels).ok()?;
        Some((pixels, decoder.has_alpha()))
    }))
    .ok()?
}

/// A frame's picture as a WebP file of its own.
fn as_file(frame: &Frame, picture: &[u8]) -> Option<Vec<u8>> {
    let (mut alpha, mut pixels) = (None, None);
    for (name, part) in parts(picture) {
        match &name {
            b"ALPH" if pixels.is_none() => alpha = Some(part),
            b"VP8 " | b"VP8L" if pixels.is_none() => pixels = Some((name, part)),
            _ => {}
        }
    }
    let (name, pixels) = pixels?;
    let chunk = |name: &[u8], content: &[u8]| {
        let bytes = (content.len() as u32).to_le_bytes();
        [name, &bytes, content, &[0][..content.len() % 2]].concat()
    };
    let mut content = b"WEBP".to_vec();
    if let Some(alpha) = alpha.filter(|_| &name == b"VP8 ") {
        let side = |side: u32| (side - 1).to_le_bytes();
        let (width, height) = (side(frame.width), side(frame.height));
        content.extend(chunk(b"VP8X", &[&[0x10, 0, 0, 0], &width[..3], &height[..3]].concat()));
        content.extend(chunk(b"ALPH", alpha));
    }
    content.extend(chunk(&name, pixels));
    Some(chunk(b"RIFF", &content))
}
