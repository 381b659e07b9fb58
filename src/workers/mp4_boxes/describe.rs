//! What the index of an MP4 that was made here says of it (ISO/IEC 14496-12), read in this process: an ffprobe costs 60 ms of CPU
//! before it has looked at anything, most of it to link two hundred libraries.
//!
//! Only what is plain and whole is described: one sample description a track, codecs whose names are known here, every sample
//! inside of the file. Of anything else ffprobe has the word, and of what a stranger has sent: that index may lie, about the
//! size of the pictures for one, and a node that believes it learns that it is fast.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::catch_unwind;
use std::time::Duration;

use mp4parse::{AudioCodecSpecific, CodecType, MediaContext, SampleEntry, Track, TrackType};

use super::{TopBox, top_boxes};
use crate::content::{AudioInfo, MediaInfo, VideoInfo};

/// ffprobe's name of the container.
const CONTAINER: &str = "mov,mp4,m4a,3gp,3g2,mj2";
/// A longer index, in bytes, is not read here: hours of film have a few megabytes.
const INDEX_BYTES_MAX: u64 = 16 << 20;
/// A track whose samples play longer or shorter than its heads and its edit list say, by more than this, is not plain. Rounding is
/// less, and so are the first samples of AAC, which are not played.
const EDIT_MAX: Duration = Duration::from_millis(100);

/// What is in this file, where it is a plain MP4 and whole.
pub(in crate::workers) fn look(file: &File) -> io::Result<Option<MediaInfo>> {
    let Some(boxes) = top_boxes(file)? else { return Ok(None) };
    let the_only = |kind| {
        let mut of_it = boxes.iter().filter(|found| found.kind == kind);
        of_it.next().filter(|_| of_it.next().is_none())
    };
    let (Some(moov), Some(mdat)) = (the_only(*b"moov"), the_only(*b"mdat")) else { return Ok(None) };
    if moov.bytes > INDEX_BYTES_MAX {
        return Ok(None);
    }
    let mut index = vec![0; moov.bytes as usize];
    file.read_exact_at(&mut index, moov.at)?;
    Ok(describe(&index, mdat))
}

/// What this index, a `moov` with its head, says of a file with this `mdat`.
pub(crate) fn describe(moov: &[u8], mdat: &TopBox) -> Option<MediaInfo> {
    // The parser is a browser's, and made for hostile files. Should one make it panic, ffprobe is there.
    let parsed = catch_unwind(|| mp4parse::read_mp4(&mut &*moov));
    let context = parsed.ok()?.ok()?;
    if context.mvex.is_some() || !context.psshs.is_empty() {
        return None;
    }
    if !context.tracks.iter().all(|track| samples_are_inside(track, mdat) == Some(true)) {
        return None;
    }
    info(&context)
}

fn info(context: &MediaContext) -> Option<MediaInfo> {
    let mut info = MediaInfo {
        container: CONTAINER.into(),
        streams: u32::try_from(context.tracks.len()).ok()?,
        ..MediaInfo::default()
    };
    let movie_timescale = context.timescale?.0;
    for track in &context.tracks {
        let duration = duration(track, movie_timescale)?;
        info.duration = info.duration.max(Some(duration));
        match track.track_type {
            TrackType::Video if info.video.is_none() => info.video = Some(video(track, duration)?),
            TrackType::Audio if info.audio.is_none() => info.audio = Some(audio(track, duration)?),
            TrackType::Video | TrackType::Audio | TrackType::Metadata => {}
            TrackType::AuxiliaryVideo | TrackType::Picture | TrackType::Unknown => return None,
        }
    }
    (info.video.is_some() || info.audio.is_some()).then_some(info)
}

fn video(track: &Track, duration: Duration) -> Option<VideoInfo> {
    let SampleEntry::Video(entry) = description(track)? else { return None };
    let codec = match entry.codec_type {
        CodecType::H264 => "h264",
        CodecType::VP9 => "vp9",
        CodecType::AV1 => "av1",
        _ => return None,
    };
    let frames = sizes(track)?.len() as u64;
    if entry.width == 0 || entry.height == 0 || frames == 0 {
        return None;
    }
    Some(VideoInfo {
        codec: codec.into(),
        width: entry.width.into(),
        height: entry.height.into(),
        fps: frames as f64 / duration.as_secs_f64(),
        frames,
        duration: Some(duration),
        ..VideoInfo::default()
    })
}

fn audio(track: &Track, duration: Duration) -> Option<AudioInfo> {
    let SampleEntry::Audio(entry) = description(track)? else { return None };
    let codec = match entry.codec_type {
        CodecType::AAC => "aac",
        CodecType::MP3 => "mp3",
        CodecType::Opus => "opus",
        _ => return None,
    };
    // The description's own count is often a default.
    let channels = match &entry.codec_specific {
        AudioCodecSpecific::ES_Descriptor(esds) => esds.audio_channel_count.map(u32::from),
        _ => None,
    };
    let channels = channels.unwrap_or(entry.channelcount);
    Some(AudioInfo { codec: codec.into(), channels, duration: Some(duration), ..AudioInfo::default() })
}

/// The only description of a track's samples.
fn description(track: &Track) -> Option<&SampleEntry> {
    match track.stsd.as_ref()?.descriptions.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

/// How long a track plays; `None` where its samples, its head and its edit list disagree.
fn duration(track: &Track, movie_timescale: u64) -> Option<Duration> {
    let runs = track.stts.as_ref()?.samples.iter();
    let ticks = runs.map(|run| u64::from(run.sample_count) * u64::from(run.sample_delta));
    let timescale = track.timescale?.0;
    let played = time(ticks.fold(0, u64::saturating_add), timescale)?;
    let said = time(track.duration?.0, timescale)?;
    let edited = match &track.edited_duration {
        // 0 where it was not known yet, as in a live recording.
        Some(ticks) if ticks.0 > 0 => time(ticks.0, movie_timescale)?,
        _ => said,
    };
    let late =
        track.empty_duration.as_ref().map_or(Some(Duration::ZERO), |ticks| time(ticks.0, movie_timescale))?;
    let plain = played.abs_diff(said) <= EDIT_MAX && played.abs_diff(edited) <= EDIT_MAX && late <= EDIT_MAX;
    (plain && !edited.is_zero()).then_some(edited)
}

fn time(ticks: u64, timescale: u64) -> Option<Duration> {
    Duration::try_from_secs_f64(ticks as f64 / timescale as f64).ok()
}

/// The samples' sizes in bytes, where each has its own.
fn sizes(track: &Track) -> Option<&[u32]> {
    let sizes = track.stsz.as_ref()?;
    (sizes.sample_size == 0).then_some(sizes.sample_sizes.as_slice())
}

/// Whether the index gives each sample a time, a size and a place, and all of them lie in this box.
fn samples_are_inside(track: &Track, mdat: &TopBox) -> Option<bool> {
    let mut sizes = sizes(track)?.iter();
    let timed = track.stts.as_ref()?.samples.iter().map(|run| u64::from(run.sample_count));
    if timed.fold(0, u64::saturating_add) != sizes.len() as u64 {
        return None;
    }
    let runs = track.stsc.as_ref()?.samples.as_slice();
    let mut later = runs.iter().peekable();
    let mut samples_a_chunk = 0;
    for (number, &at) in (1..).zip(track.stco.as_ref()?.offsets.iter()) {
        if let Some(run) = later.next_if(|run| run.first_chunk == number) {
            samples_a_chunk = run.samples_per_chunk as usize;
        }
        if samples_a_chunk == 0 || samples_a_chunk > sizes.len() {
            return Some(false);
        }
        let bytes: u64 = sizes.by_ref().take(samples_a_chunk).map(|&size| u64::from(size)).sum();
        let end = at.checked_add(bytes)?;
        if at < mdat.at || end > mdat.at + mdat.bytes {
            return Some(false);
        }
    }
    Some(sizes.len() == 0 && later.peek().is_none())
}
