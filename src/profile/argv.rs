use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;

use super::{Audio, AudioCodec, Container, Preset, Profile, Recipe, Scale, VideoCodec};
use crate::content::{MediaInfo, MediaLimits};

/// ffmpeg's demuxers of real containers, the only ones it may use. Without this list a DASH, HLS or ffconcat text file
/// that is named .mp4 reads other files of the node.
pub const DEMUXERS: &str = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mp3,aac,flac,wav";

/// The demuxers for what ffmpeg itself has written here: a poster too.
pub(crate) const OWN_DEMUXERS: &str = "mov,matroska,webm,ogg,image2,jpeg_pipe";

/// What a command line needs besides the recipe.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The file to read.
    pub input: &'a Path,
    /// The file to write.
    pub output: &'a Path,
    /// What the probe found in the input.
    pub info: &'a MediaInfo,
    /// Threads for decoder and encoder.
    pub threads: u16,
    /// Bounds to hand to ffmpeg.
    pub limits: &'a MediaLimits,
    /// Whether a poster is the first picture there is.
    pub from_start: bool,
}

impl Profile {
    /// ffmpeg's arguments, without the program's name.
    pub fn argv(&self, run: &Run<'_>) -> Vec<OsString> {
        let mut args = Args::default();
        args.flags(&["-nostdin", "-hide_banner", "-nostats"]).opt("-v", "error").opt("-progress", "pipe:1");
        // The first position is global; the demuxer's lists must stand before the input they are for.
        args.opt("-max_alloc", run.limits.alloc_bytes_max).opt("-filter_threads", 1);
        if let Some(at) = self.seek_seconds(run.info).filter(|_| !run.from_start) {
            args.opt("-ss", format!("{at:.3}"));
        }
        guard_input(&mut args, DEMUXERS, run.limits);
        args.opt("-threads", run.threads).path("-i", run.input);
        match self.recipe {
            Recipe::Video { container, codec, scale, preset, crf, audio } => {
                args.opt("-map", "0:V:0").opt("-map", "0:a:0?").opt("-vf", scale.filter());
                video(&mut args, codec, preset, crf, run);
                sound(&mut args, audio);
                match container {
                    Container::Mp4 => args.opt("-movflags", "+faststart").opt("-f", "mp4"),
                    Container::Webm => args.opt("-f", "webm"),
                };
            }
            Recipe::Audio { audio } => {
                args.opt("-map", "0:a:0");
                sound(&mut args, audio);
                match audio.codec {
                    AudioCodec::Aac => args.opt("-movflags", "+faststart").opt("-f", "ipod"),
                    AudioCodec::Opus => args.opt("-f", "ogg"),
                };
            }
            Recipe::Poster { scale, quality } => {
                args.opt("-map", "0:V:0").opt("-vf", scale.filter()).opt("-frames:v", 1);
                // mjpeg wants full-range samples, whatever the input has.
                args.opt("-c:v", "mjpeg").opt("-pix_fmt", "yuvj420p").opt("-q:v", quality).opt("-f", "mjpeg");
            }
        }
        // Where a phone's video was taken is nobody's business but its owner's; subtitles and data are not asked for.
        args.flags(&["-sn", "-dn"]).opt("-map_metadata", -1).opt("-map_chapters", -1);
        args.opt("-t", format!("{:.3}", run.limits.duration_max.as_secs_f64()));
        args.opt("-fs", run.limits.output_bytes_max);
        args.path("-y", run.output);
        args.0
    }

    /// Where a poster is taken: a tenth into the film, past the black of the first frames, 10 s at most.
    fn seek_seconds(&self, info: &MediaInfo) -> Option<f64> {
        match (&self.recipe, info.picture_duration()) {
            (Recipe::Poster { .. }, Some(duration)) => Some((duration.as_secs_f64() / 10.0).min(10.0)),
            _ => None,
        }
    }
}

/// The options that keep a hostile file from reaching beyond itself. ffprobe takes the same.
fn guard_input(args: &mut Args, demuxers: &str, limits: &MediaLimits) {
    args.opt("-protocol_whitelist", "file,pipe").opt("-format_whitelist", demuxers);
    args.opt("-max_pixels", limits.picture_pixels_max).opt("-max_streams", limits.streams_max);
}

fn video(args: &mut Args, codec: VideoCodec, preset: Preset, crf: u8, run: &Run<'_>) {
    match codec {
        VideoCodec::H264 => args.opt("-c:v", "libx264").opt("-preset", preset.x264()).opt("-crf", crf),
        VideoCodec::Vp9 => args
            .opt("-c:v", "libvpx-vp9")
            .opt("-crf", crf)
            .opt("-b:v", 0)
            .opt("-deadline", "good")
            .opt("-cpu-used", 5)
            .opt("-row-mt", 1),
    };
    // What every player can show: most can't play 4:4:4 or ten bits.
    args.opt("-pix_fmt", "yuv420p").opt("-threads", run.threads);
    args.opt("-fpsmax", run.limits.fps_max);
}

fn sound(args: &mut Args, audio: Audio) {
    match audio.codec {
        AudioCodec::Aac => args.opt("-c:a", "aac"),
        // libopus refuses odd channel layouts of 5.1 sources; stereo is what it is for here.
        AudioCodec::Opus => args.opt("-c:a", "libopus").opt("-ac", 2),
    };
    args.opt("-b:a", format!("{}k", audio.kbps));
}

impl Scale {
    fn filter(self) -> String {
        match self {
            Self::Exact(width, height) => format!("scale={width}:{height}"),
            // In ffmpeg's own expressions, since only it knows the size after rotation. -2: keep the aspect, even.
            Self::ShortSide(side) => {
                let even = |edge: &str| format!("max(2,trunc(min({edge},{side})/2)*2)");
                format!("scale=w='if(gte(iw,ih),-2,{})':h='if(gte(iw,ih),{},-2)'", even("iw"), even("ih"))
            }
        }
    }
}

impl Preset {
    const fn x264(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
        }
    }
}

/// ffprobe's arguments for one file, without the program's name. `demuxers`: the only ones it may use.
pub(crate) fn probe_argv(input: &Path, demuxers: &str, limits: &MediaLimits) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-hide_banner"]).opt("-v", "error").opt("-max_alloc", limits.alloc_bytes_max);
    guard_input(&mut args, demuxers, limits);
    args.opt("-probesize", 5_000_000).opt("-analyzeduration", 5_000_000).opt("-of", "json=compact=1");
    args.opt("-show_entries", PROBE_ENTRIES).path("-i", input);
    args.0
}

const PROBE_ENTRIES: &str = "format=format_name,duration,nb_streams:stream=codec_type,codec_name,width,height,\
     avg_frame_rate,r_frame_rate,nb_frames,duration,channels:stream_disposition=attached_pic";

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flags(&mut self, flags: &[&str]) -> &mut Self {
        self.0.extend(flags.iter().map(OsString::from));
        self
    }

    fn opt(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.to_string().into());
        self
    }

    /// A path with `file:` in front: then neither a leading `-` nor a `name:` in it can mean anything else.
    fn path(&mut self, name: &str, path: &Path) -> &mut Self {
        let mut value = OsString::from("file:");
        value.push(path);
        self.0.push(name.into());
        self.0.push(value);
        self
    }
}
