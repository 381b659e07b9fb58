//! An HLS ladder (CMAF): the same pictures in several sizes, all decoded once, each a fragmented MP4 of its own; and the sound in
//! another one. The playlists are written from what comes out (`playlists`).

use super::argv::{Args, Run, bound, encode_sound, encode_video, mp4_ticks_per_s};
use super::packet_times::Times;
use super::picture::{Surface, picture_filters};
use super::plan::{Plan, Video};
use super::playlists::SOUND;
use super::{Features, Rate};
use crate::content::VideoInfo;
use crate::profile::{AudioCodec, Container, Effort, Preset, Rung, Scale, VideoCodec};

/// A fragment at each picture that needs no other; the index in front, without any edit: what CMAF asks for. The sound's are
/// so short that the cuts of its segments lie near the pictures'.
const PICTURE_FLAGS: &str = "+cmaf+frag_keyframe+delay_moov+skip_sidx+skip_trailer";
const SOUND_FLAGS: &str = "+cmaf+delay_moov+skip_sidx+skip_trailer";
const SOUND_FRAGMENT_US: u32 = 500_000;
/// Samples a second of a ladder's sound.
const SOUND_HZ: u32 = 48_000;
/// What an AAC encoder puts before its first sample. Without an edit that much of the beginning is left out, so that the rest is
/// heard when it was recorded.
const AAC_PRIMING_SAMPLES: u32 = 1024;

/// What to make of the pictures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ladder {
    preset: Preset,
    /// The largest first.
    pub(crate) steps: Vec<Step>,
}

/// One size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    crf: u8,
    video: Video,
}

impl Step {
    /// What its files are called, without the ending.
    pub(crate) fn name(&self) -> String {
        let (width, height) = self.video.size;
        format!("v{}", width.min(height))
    }
}

impl Ladder {
    /// The sizes of a ladder that fit to this stream. The first one goes through all filters, the others are scaled down from it.
    pub(super) fn plan(
        video: &VideoInfo,
        rungs: &[Rung],
        (preset, fps_max): (Preset, u16),
        features: &Features,
    ) -> Self {
        let rate = Rate::of(video, fps_max.into());
        let steps = Rung::steps(rungs, video);
        let steps = steps.into_iter().enumerate().map(|(number, (rung, size))| {
            let filters = if number == 0 {
                let scale = Scale::ShortSide(size.0.min(size.1) as u16);
                let mut filters: Vec<_> = rate.filter().into_iter().collect();
                filters.extend(picture_filters(video, scale, Surface::Video, features));
                filters
            } else {
                vec![format!("scale={}:{}", size.0, size.1), "setsar=1".to_owned()]
            };
            Step { crf: rung.crf, video: Video { stream: video.index, filters, rate: rate.clone(), size } }
        });
        Self { preset, steps: steps.collect() }
    }

    fn graph(&self) -> String {
        let Some((first, others)) = self.steps.split_first() else { return String::new() };
        let (stream, chain) = (first.video.stream, first.video.filters.join(","));
        if others.is_empty() {
            return format!("[0:{stream}]{chain}[o0]");
        }
        let ways: Vec<_> = (1..=others.len()).map(|number| format!("[i{number}]")).collect();
        let whole = format!("[0:{stream}]{chain},split={}[o0]{}", self.steps.len(), ways.concat());
        let scaled = (1..)
            .zip(others)
            .map(|(number, step)| format!("[i{number}]{}[o{number}]", step.video.filters.join(",")));
        std::iter::once(whole).chain(scaled).collect::<Vec<_>>().join(";")
    }

    /// What stands behind the input.
    pub(super) fn outputs(&self, args: &mut Args, plan: &Plan, run: &Run<'_>) {
        args.opt("-filter_complex", self.graph());
        for (number, step) in self.steps.iter().enumerate() {
            args.opt("-map", format!("[o{number}]"));
            args.flags(&["-sn", "-dn"]).opt("-map_metadata", -1).opt("-map_chapters", -1);
            let video = &step.video;
            let how = (Container::Mp4, VideoCodec::H264, Effort::Preset(self.preset), step.crf);
            encode_video(args, video, how, run.threads);
            bound(args, video, Some(VideoCodec::H264));
            // A new scene begins a fragment of its own in one size and not in another; so none does.
            args.opt("-sc_threshold", 0);
            // The first picture is shown from the beginning on, as in the file with the sound.
            let Times { dts, duration } = Times::of(video);
            let times = format!("pts='if(eq(N,0),0,PTS)':dts='({dts})-if(eq(N,0),STARTPTS,0)'");
            args.opt("-bsf:v", format!("setts={times}:duration='{duration}'"));
            args.opt("-video_track_timescale", mp4_ticks_per_s(video));
            args.opt("-movflags", PICTURE_FLAGS);
            end(args, run, &step.name());
        }
        if let Some(sound) = &plan.sound {
            let mut filters = sound.filters.clone();
            // What an encoder needs to get going is the shorter the more samples there are a second: 93 ms of 11 kHz, 21 of these.
            filters.push(format!("aresample={SOUND_HZ}"));
            filters.push(format!("atrim=start_sample={AAC_PRIMING_SAMPLES},asetpts=PTS-STARTPTS"));
            args.opt("-map", format!("0:{}", sound.stream)).opt("-af", filters.join(","));
            args.flags(&["-sn", "-dn"]).opt("-map_metadata", -1).opt("-map_chapters", -1);
            encode_sound(args, sound, AudioCodec::Aac);
            args.opt("-frag_duration", SOUND_FRAGMENT_US).opt("-movflags", SOUND_FLAGS);
            end(args, run, SOUND);
        }
    }
}

fn end(args: &mut Args, run: &Run<'_>, name: &str) {
    args.opt("-f", "mp4").opt("-t", format!("{:.3}", run.limits.duration_max.as_secs_f64()));
    args.opt("-fs", run.limits.output_bytes_max);
    args.path("-y", &run.output.with_file_name(format!("{name}.mp4")));
}
