//! Videos to upload: made by ffmpeg, or the real ones where they are at hand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::{BufMut, Bytes, BytesMut};

/// A clip to be made.
#[derive(Clone, Copy)]
pub struct Clip {
    pub size: &'static str,
    pub seconds: f64,
    pub audio: bool,
    /// Makes the content different from that of another clip of the same kind.
    pub tag: u32,
    /// The container, by the file's extension.
    pub container: &'static str,
}

impl Default for Clip {
    fn default() -> Self {
        Self { size: "320x240", seconds: 1.0, audio: true, tag: 0, container: "mp4" }
    }
}

impl Clip {
    /// One that takes a core a few seconds to transcode.
    pub fn long(tag: u32) -> Self {
        Self { size: "1280x720", seconds: 15.0, audio: false, tag, ..Self::default() }
    }

    /// Makes it; one of a kind is encoded once, and kept with the build for all tests.
    pub fn make(self) -> Bytes {
        let Self { size, seconds, audio, tag, container } = self;
        let is_tagged_behind = matches!(container, "mp4" | "mov");
        let name = if is_tagged_behind {
            format!("{size}-{seconds}s-{audio}.{container}")
        } else {
            format!("{size}-{seconds}s-{audio}-{tag}.{container}")
        };
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips").join(name);
        let bytes = std::fs::read(&kept).unwrap_or_else(|_| self.encode(&kept));
        if is_tagged_behind { unlike(&bytes, tag) } else { bytes.into() }
    }

    /// Encodes it into this file, which is there as a whole or not at all.
    fn encode(self, kept: &Path) -> Vec<u8> {
        let Self { size, seconds, audio, tag, container } = self;
        let folder = kept.parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        let file = tempfile::Builder::new().suffix(&format!(".{container}")).tempfile_in(folder).unwrap();
        let picture = format!("-f lavfi -i testsrc2=size={size}:rate=25:duration={seconds}");
        let sound = format!(" -f lavfi -i sine=frequency=440:duration={seconds} -c:a aac");
        let how = format!(" -c:v libx264 -preset ultrafast -metadata comment=clip-{tag}");
        let arguments = [picture.as_str(), if audio { &sound } else { "" }, &how].concat();
        let bytes = made_by_ffmpeg(file.path(), arguments.split(' '));
        file.persist(kept).unwrap();
        bytes.into()
    }
}

/// What ffmpeg makes with these arguments: the file, whose name says its container, and the bytes in it.
pub fn made_by_ffmpeg<A: AsRef<OsStr>>(file: &Path, arguments: impl IntoIterator<Item = A>) -> Bytes {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(file);
    let status = ffmpeg.stdin(Stdio::null()).status().expect("ffmpeg runs");
    assert!(status.success(), "{ffmpeg:?}");
    std::fs::read(file).unwrap().into()
}

/// The same video as another content: players pass over the box at its end.
pub fn unlike(mp4: &[u8], number: u32) -> Bytes {
    let mut bytes = BytesMut::from(mp4);
    bytes.put_slice(b"\0\0\0\x0cfree");
    bytes.put_u32(number);
    bytes.freeze()
}

/// The first seconds of a real clip: its packets, none of them encoded anew.
pub fn first_seconds(clip: &Path, seconds: f64) -> Bytes {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    let seconds = seconds.to_string();
    let cut = ["-map", "0", "-c", "copy", "-t", &seconds].map(OsStr::new);
    made_by_ffmpeg(file.path(), [OsStr::new("-i"), clip.as_os_str()].into_iter().chain(cut))
}

/// The real clips, where they are: beside the project, or where `STARLING_TEST_VIDEOS` says.
pub fn real_clips() -> Vec<PathBuf> {
    let dir = std::env::var_os("STARLING_TEST_VIDEOS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/videos"), PathBuf::from);
    let mut clips: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mp4"))
        .collect();
    clips.sort();
    clips
}

/// What ffprobe says of a video: (codec, width, height) of its first video stream.
pub fn probe_video(bytes: &[u8]) -> (String, u32, u32) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    // Decodes all of it: a result that is cut off in the middle does not pass.
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-nostdin", "-i"])
        .arg(file.path())
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(decoded.status.success(), "not playable: {}", String::from_utf8_lossy(&decoded.stderr));
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name,width,height"])
        .args(["-of", "csv=p=0"])
        .arg(file.path())
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut fields = text.trim().split(',');
    let mut next = || fields.next().unwrap_or_default().to_owned();
    (next(), next().parse().unwrap(), next().parse().unwrap())
}
