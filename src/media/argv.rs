use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::hardware::HardwareEncoder;
use super::packet_times::Times;
use super::{Plan, Sound, Video};
use crate::content::MediaLimits;
use crate::profile::{AudioCodec, Container, Effort, Profile, Recipe, VideoCodec};

/// ffmpeg's demuxers of real containers, the only ones it may use. Without this list a DASH, HLS or ffconcat text file
/// that is named .mp4 reads other files of the node.
pub const DEMUXERS: &str =
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mp3,aac,flac,wav,w64,gif,apng,mxf,dv";

/// The demuxers for what ffmpeg itself has written here: a poster and a GIF, too.
pub(crate) const OWN_DEMUXERS: &str = "mov,matroska,webm,ogg,image2,jpeg_pipe,gif";

/// Where a file is read from that another process decodes first. No file of a node has this name: all have an absolute path.
pub(crate) const PIPE: &str = "pipe:0";

/// Seconds between two pictures that need no other before them.
const KEY_FRAME_EVERY_S: u32 = 2;
/// What a decoder allocates beside the pixels of a picture: it aligns both sides.
const ALIGNMENT_PIXELS: u64 = 128;

/// What a command line needs besides the plan.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The file to read, or `pipe:0`.
    pub input: &'a Path,
    /// The file to write.
    pub output: &'a Path,
    /// Threads for decoder and encoder.
    pub threads: u16,
    /// Bounds to hand to ffmpeg.
    pub limits: &'a MediaLimits,
    /// The encoder in hardware to use for the pictures; `None`: software.
    pub hardware: Option<HardwareEncoder>,
}

impl Plan {
    /// ffmpeg's arguments, without the program's name.
    pub fn argv(&self, profile: &Profile, run: &Run<'_>) -> Vec<OsString> {
        self.argv_from(profile, run, None)
    }

    /// The same for one place of the input: from the picture on that needs no other and is shown at this time, in seconds, or before.
    pub(crate) fn argv_from(&self, profile: &Profile, run: &Run<'_>, from_s: Option<f64>) -> Vec<OsString> {
        let mut args = Args::default();
        args.flags(&["-nostdin", "-hide_banner", "-nostats"]).opt("-v", "error").opt("-progress", "pipe:1");
        args.opts(run.hardware.iter().flat_map(|encoder| encoder.device_options()));
        // The first position is global; the demuxer's lists must stand before the input they are for.
        args.opt("-max_alloc", run.limits.alloc_bytes_max).opt("-filter_threads", 1);
        if let Some(still) = &self.still {
            if still.key_frames_only {
                args.opt("-skip_frame", "nokey");
            }
            if let Some(within) = still.within_s {
                args.opt("-t", format!("{within:.3}"));
            }
        }
        if let Some(from) = from_s {
            args.flags(&["-noaccurate_seek"]).opt("-ss", format!("{from:.6}"));
        }
        guard_input(&mut args, DEMUXERS, run.limits);
        args.opt("-threads", if self.one_decodes { 1 } else { run.threads });
        if let Some((stream, decoder)) = self.decoder {
            args.opt(&format!("-c:{stream}"), decoder);
        }
        if run.input == Path::new(PIPE) {
            args.opt("-i", PIPE);
        } else {
            args.path("-i", run.input);
        }
        if let Some(ladder) = &self.ladder {
            ladder.outputs(&mut args, self, run);
            return args.0;
        }
        if let Some(video) = &self.video {
            args.opt("-map", format!("0:{}", video.stream)).opt("-vf", chain(video, run.hardware));
        }
        if let Some(sound) = &self.sound {
            args.opt("-map", format!("0:{}", sound.stream)).opt("-af", sound.filters.join(","));
        }
        // Where a phone's video was taken is nobody's business but its owner's; subtitles and data are not asked for.
        args.flags(&["-sn", "-dn"]).opt("-map_metadata", -1).opt("-map_chapters", -1);
        self.encode(&mut args, profile, run);
        args.opt("-t", format!("{:.3}", run.limits.duration_max.as_secs_f64()));
        args.opt("-fs", run.limits.output_bytes_max);
        args.path("-y", run.output);
        args.0
    }

    fn encode(&self, args: &mut Args, profile: &Profile, run: &Run<'_>) {
        match &profile.recipe {
            Recipe::Video { container, codec, effort, crf, bounded, audio, .. } => {
                if let Some(video) = &self.video {
                    match run.hardware {
                        Some(encoder) => {
                            let kbps_max = bounded.then(|| rate_max_kbps(video));
                            args.opt("-c:v", encoder).opts(encoder.options(*crf, kbps_max));
                            timing(args, video, *container);
                        }
                        None => encode_video(args, video, (*container, *codec, *effort, *crf), run.threads),
                    }
                    if *bounded {
                        bound(args, video, run.hardware.is_none().then_some(*codec));
                    }
                }
                if let Some(sound) = &self.sound {
                    encode_sound(args, sound, audio.codec);
                }
                match container {
                    Container::Mp4 => {
                        if let Some(video) = &self.video {
                            last_picture(args, video);
                        }
                        args.opt("-movflags", "+faststart").opt("-f", "mp4")
                    }
                    Container::Webm => args.opt("-f", "webm"),
                };
            }
            Recipe::Audio { audio } => {
                if let Some(sound) = &self.sound {
                    encode_sound(args, sound, audio.codec);
                }
                match audio.codec {
                    AudioCodec::Aac => args.opt("-movflags", "+faststart").opt("-f", "ipod"),
                    AudioCodec::Opus => args.opt("-f", "ogg"),
                };
            }
            Recipe::Poster { quality, .. } if self.preview.is_none() => {
                args.opt("-frames:v", 1).opt("-c:v", "mjpeg").opt("-q:v", quality).opt("-f", "mjpeg");
            }
            Recipe::Poster { .. } | Recipe::Sprite { .. } | Recipe::Gif { .. } => {
                if let Some(preview) = &self.preview {
                    preview.keep(args, self.from_start);
                }
            }
            // Its outputs were written already.
            Recipe::Hls { .. } => {}
        }
    }
}

/// The options that keep a hostile file from reaching beyond itself. ffprobe takes the same.
pub(super) fn guard_input(args: &mut Args, demuxers: &str, limits: &MediaLimits) {
    // The limit is of the picture; ffmpeg's own is of what it allocates for one.
    let side = limits.picture_pixels_max.isqrt() + ALIGNMENT_PIXELS;
    let pixels = limits.picture_pixels_max + 2 * ALIGNMENT_PIXELS * side;
    args.opt("-protocol_whitelist", "file,pipe").opt("-format_whitelist", demuxers);
    args.opt("-max_pixels", pixels).opt("-max_streams", limits.streams_max);
}

pub(super) fn encode_video(
    args: &mut Args,
    video: &Video,
    (container, codec, effort, crf): (Container, VideoCodec, Effort, u8),
    threads: u16,
) {
    args.opt("-c:v", codec.encoder());
    if let Effort::Preset(preset) = effort {
        args.opt("-preset", preset.as_str());
    }
    args.opt("-crf", crf);
    match (codec, effort) {
        (VideoCodec::Vp9, Effort::Speed(speed)) => {
            args.opt("-b:v", 0).opt("-deadline", "good").opt("-cpu-used", speed).opt("-row-mt", 1);
        }
        (VideoCodec::Av1, Effort::Speed(speed)) => {
            args.opt("-preset", speed).opt("-svtav1-params", format!("lp={threads}"));
        }
        (VideoCodec::Hevc, _) => {
            // Apple's players want the parameter sets in the index alone. Without the pool's bound it would take all cores.
            args.opt("-tag:v", "hvc1").opt("-profile:v", "main").opt("-forced-idr", 1);
            args.opt("-x265-params", format!("log-level=error:open-gop=0:pools={threads}:frame-threads=1"));
        }
        (VideoCodec::H264 | VideoCodec::Vp9 | VideoCodec::Av1, _) => {}
    }
    // What every player can show: most can't play 4:4:4 or ten bits.
    args.opt("-pix_fmt", "yuv420p").opt("-threads", threads);
    timing(args, video, container);
}

/// What pictures go through, into the memory of the encoder at last.
fn chain(video: &Video, hardware: Option<HardwareEncoder>) -> String {
    let last = hardware.map(|encoder| encoder.last_filter().to_owned());
    video.filters.iter().cloned().chain(last).collect::<Vec<_>>().join(",")
}

/// When pictures are shown, as their encoder counts it.
fn timing(args: &mut Args, video: &Video, container: Container) {
    let rate = &video.rate;
    let ratio = |ratio: crate::content::Ratio| format!("{}/{}", ratio.over(), ratio.under());
    args.opt("-fps_mode:v", "vfr").opt("-r:v", ratio(rate.nominal));
    // Of the pictures alone: an encoder of sound needs ticks of its own.
    let tick = match container {
        // The file's own: a filter of packets is told times in the encoder's ticks until the file has begun, which waits for the
        // first sound, and in the file's from then on.
        Container::Mp4 => format!("1:{}", mp4_ticks_per_s(video)),
        Container::Webm => ratio(rate.tick).replace('/', ":"),
    };
    args.opt("-enc_time_base:v", tick);
}

/// An MP4 counts at least so many ticks a second; ffmpeg doubles those of an encoder until they are as many.
const MP4_TICKS_PER_S_MIN: u32 = 10_000;

/// What an MP4 is told of its pictures.
fn last_picture(args: &mut Args, video: &Video) {
    let Times { dts, duration } = Times::of(video);
    args.opt("-bsf:v", format!("setts=pts=PTS:dts='{dts}':duration='{duration}'"));
    args.opt("-video_track_timescale", mp4_ticks_per_s(video));
}

/// What encoder and file count in, so that both count in the same.
pub(super) fn mp4_ticks_per_s(video: &Video) -> u32 {
    let mut ticks_per_s = video.rate.tick.under();
    while ticks_per_s < MP4_TICKS_PER_S_MIN {
        ticks_per_s *= 2;
    }
    ticks_per_s
}

/// What streaming needs: no second of it is much more than a line carries, and it can be begun and cut every two seconds. An encoder
/// in hardware (`codec`: none) has its bound among its own options.
pub(super) fn bound(args: &mut Args, video: &Video, codec: Option<VideoCodec>) {
    let kbps = rate_max_kbps(video);
    if codec == Some(VideoCodec::H264) {
        args.opt("-profile:v", "high");
    }
    if matches!(codec, Some(VideoCodec::H264 | VideoCodec::Hevc | VideoCodec::Av1)) {
        // The level follows from size, rate and these; the encoder writes the lowest that fits. Better codecs seldom need as much.
        args.opt("-maxrate", format!("{kbps}k")).opt("-bufsize", format!("{}k", 2 * kbps));
    }
    let frames = (video.rate.peak() * f64::from(KEY_FRAME_EVERY_S)).ceil() as u64;
    if codec == Some(VideoCodec::Av1) {
        // SVT-AV1 makes none where it is told to, but by their number.
        args.opt("-g", frames);
        return;
    }
    // At the first picture of every two seconds, by its time, in every size alike; none of them where there is no picture.
    let every = KEY_FRAME_EVERY_S;
    args.opt(
        "-force_key_frames",
        format!(
            "expr:if(isnan(prev_forced_t),1,gt(floor(t/{every}+0.001),floor(prev_forced_t/{every}+0.001)))"
        ),
    );
    // Frames between two of them at the most, and one: only what is not forced in time is caught by this.
    args.opt("-g", frames + 1);
}

/// The most that a second of these pictures may have, in thousands of bits: as `PeerTube`'s and `HandBrake`'s presets, fewer bits a
/// pixel for more pixels.
fn rate_max_kbps(video: &Video) -> u64 {
    let (width, height) = video.size;
    let pixels = f64::from(width) * f64::from(height);
    let bits_per_pixel = match width.min(height) {
        0..=240 => 0.19,
        241..=360 => 0.17,
        361..=480 => 0.15,
        481..=720 => 0.125,
        721..=1080 => 0.105,
        _ => 0.085,
    };
    (pixels * bits_per_pixel * video.rate.peak().max(24.0) / 1000.0).ceil().max(100.0) as u64
}

pub(super) fn encode_sound(args: &mut Args, sound: &Sound, codec: AudioCodec) {
    args.opt("-c:a", codec.encoder()).opt("-b:a", format!("{}k", sound.kbps));
    if let Some(language) = &sound.language {
        args.opt("-metadata:s:a:0", format!("language={language}"));
    }
}

const PROBE_ENTRIES: &str = "format=format_name,start_time,duration,nb_streams:stream=index,codec_type,codec_name,width,height,\
     sample_aspect_ratio,pix_fmt,color_range,color_space,color_transfer,color_primaries,field_order,avg_frame_rate,\
     r_frame_rate,nb_frames,duration,channels,channel_layout,sample_rate:stream_disposition=default,comment,attached_pic,\
     visual_impaired,timed_thumbnails:stream_tags=language,title,DURATION,alpha_mode:stream_side_data=side_data_type,rotation,dv_profile,\
     dv_bl_signal_compatibility_id";

/// ffprobe's arguments for one file, without the program's name. `demuxers`: the only ones it may use.
pub(crate) fn probe_argv(input: &Path, demuxers: &str, limits: &MediaLimits) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-hide_banner"]).opt("-v", "error").opt("-max_alloc", limits.alloc_bytes_max);
    guard_input(&mut args, demuxers, limits);
    args.opt("-probesize", 5_000_000).opt("-analyzeduration", 5_000_000).opt("-of", "json=compact=1");
    args.opt("-show_entries", PROBE_ENTRIES).path("-i", input);
    args.0
}

/// ffprobe's arguments for the times of all packets of a file, one a line: stream, time, duration.
pub(crate) fn packets_argv(input: &Path, limits: &MediaLimits) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-hide_banner"]).opt("-v", "error").opt("-max_alloc", limits.alloc_bytes_max);
    guard_input(&mut args, DEMUXERS, limits);
    args.opt("-of", "csv=p=0")
        .opt("-show_entries", "packet=stream_index,pts_time,duration_time")
        .path("-i", input);
    args.0
}

/// ffprobe's arguments for decoding what lies in these intervals of a result (`-read_intervals`), a line with its kind for each picture
/// and piece of sound.
pub(crate) fn samples_argv(input: &Path, intervals: &str, limits: &MediaLimits) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-hide_banner"]).opt("-v", "error").opt("-max_alloc", limits.alloc_bytes_max);
    guard_input(&mut args, OWN_DEMUXERS, limits);
    args.opt("-of", "csv=p=0")
        .opt("-read_intervals", intervals)
        .opt("-show_entries", "frame=media_type")
        .path("-i", input);
    args.0
}

/// ffmpeg's arguments for a copy of its own result, `tick` a tick of it in seconds, whose last picture is held until `end`.
pub(crate) fn held_argv(
    profile: &Profile,
    input: &Path,
    output: &Path,
    end: Duration,
    limits: &MediaLimits,
) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-nostdin", "-hide_banner", "-nostats"]).opt("-v", "error");
    guard_input(&mut args, OWN_DEMUXERS, limits);
    args.path("-i", input).opt("-map", 0).opt("-c", "copy");
    let end = end.as_secs_f64();
    let Times { dts, duration } = Times::held_until(end);
    args.opt("-bsf:v", format!("setts=pts=PTS:dts='{dts}':duration='{duration}'"));
    match profile.extension() {
        "webm" => args.opt("-f", "webm"),
        _ => args.opt("-movflags", "+faststart").opt("-f", "mp4"),
    };
    args.opt("-fs", limits.output_bytes_max).path("-y", output);
    args.0
}

#[derive(Default)]
pub(super) struct Args(pub(super) Vec<OsString>);

impl Args {
    pub(super) fn into_inner(self) -> Vec<OsString> {
        self.0
    }

    pub(super) fn flags(&mut self, flags: &[&str]) -> &mut Self {
        self.0.extend(flags.iter().map(OsString::from));
        self
    }

    pub(super) fn opts(&mut self, options: impl IntoIterator<Item = (&'static str, String)>) -> &mut Self {
        for (name, value) in options {
            self.opt(name, value);
        }
        self
    }

    pub(super) fn opt(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.to_string().into());
        self
    }

    /// A path with `file:` in front: then neither a leading `-` nor a `name:` in it can mean anything else.
    pub(super) fn path(&mut self, name: &str, path: &Path) -> &mut Self {
        let mut value = OsString::from("file:");
        value.push(path);
        self.0.push(name.into());
        self.0.push(value);
        self
    }
}
