//! The set of files of an HLS ladder: put together, and looked at, whoever made it.
//!
//! All that playlists say follows from the track files. So they are not read but written once more, and have to be the same.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::error::TranscodeError;
use super::ffmpeg::Ffmpeg;
use super::sets::{bad, name};
use super::verify::Verifier;
use crate::content::{AudioInfo, MediaInfo, VideoInfo};
use crate::media::fragments::{self, TrackFile, TrackKind};
use crate::media::ladder::{Ladder, Step};
use crate::media::last_sample::lengthened;
use crate::media::playlists::{self, Rendition, SOUND};
use crate::store::files::{Entry, Index};

/// By how much the cuts of two sizes may differ: their clocks are the same, and their rounding.
const CUT_ERROR_S: f64 = 0.002;

impl Ffmpeg<'_> {
    /// Writes the playlists for what ffmpeg has made, and makes the result of all of it.
    pub(super) fn pack_ladder(
        &self,
        ladder: &Ladder,
        has_sound: bool,
        segment_s: u8,
    ) -> Result<(), TranscodeError> {
        let mut tracks = Vec::new();
        for name in ladder.steps.iter().map(Step::name) {
            let track = self.track(&name)?.map_err(|what| bad(format!("{name}.mp4: {what}")))?;
            tracks.push((name, track));
        }
        if has_sound {
            // Of some sound tracks nothing can be decoded.
            tracks.extend(self.track(SOUND)?.ok().map(|track| (SOUND.to_owned(), track)));
        }
        self.pack_tracks(&tracks, segment_s)
    }

    /// What is in a track file that ffmpeg has made, or what is wrong with it.
    fn track(&self, name: &str) -> Result<Result<TrackFile, &'static str>, TranscodeError> {
        let file = File::open(self.output().with_file_name(format!("{name}.mp4")))?;
        let bytes = file.metadata()?.len();
        let max = self.output_bytes_max();
        if bytes >= max {
            return Err(TranscodeError::OutputTooLarge { max });
        }
        Ok(fragments::read(bytes, |buffer, at| file.read_exact_at(buffer, at))?)
    }

    /// Makes the set anew with a last picture that is held until `end`, in all sizes.
    pub(super) fn hold_ladder(&self, set: &Path, end: Duration, segment_s: u8) -> Result<(), TranscodeError> {
        let index = Index::read(&File::open(set)?).map_err(|error| bad(error.to_string()))?;
        let names = index.entries().iter().filter_map(|entry| entry.name.as_str().strip_suffix(".mp4"));
        let mut tracks = Vec::new();
        for name in names {
            let mut track = self.track(name)?.map_err(|what| bad(format!("{name}.mp4: {what}")))?;
            if matches!(track.kind, TrackKind::Pictures { .. }) {
                hold(&self.output().with_file_name(format!("{name}.mp4")), &track, end)?;
                track = self.track(name)?.map_err(|what| bad(format!("{name}.mp4, held: {what}")))?;
            }
            tracks.push((name.to_owned(), track));
        }
        self.pack_tracks(&tracks, segment_s)
    }

    fn pack_tracks(&self, tracks: &[(String, TrackFile)], segment_s: u8) -> Result<(), TranscodeError> {
        let mut files = Vec::new();
        for (file, text) in texts(tracks, segment_s) {
            let path = self.output().with_file_name(&file);
            std::fs::write(&path, text)?;
            files.push((name(&file)?, path));
        }
        for (track, _) in tracks {
            let file = format!("{track}.mp4");
            files.push((name(&file)?, self.output().with_file_name(&file)));
        }
        self.pack(&files)
    }
}

/// Has the last picture of a track last until `end`.
fn hold(path: &Path, track: &TrackFile, end: Duration) -> Result<(), TranscodeError> {
    let Some(last) = track.fragments.last() else { return Ok(()) };
    let until = (end.as_secs_f64() * track.timescale as f64).round() as u64;
    let more = until.saturating_sub(last.start + last.ticks);
    if more == 0 {
        return Ok(());
    }
    let file = File::options().read(true).write(true).open(path)?;
    let mut fragment = vec![0; usize::try_from(last.bytes).map_err(std::io::Error::other)?];
    file.read_exact_at(&mut fragment, last.at)?;
    let head_bytes = u32::from_be_bytes([fragment[0], fragment[1], fragment[2], fragment[3]]) as usize;
    let longer = fragment.get(..head_bytes).and_then(|head| lengthened(head, more));
    let longer = longer.ok_or_else(|| bad("its last picture can't be held".to_owned()))?;
    file.write_all_at(&longer, last.at)?;
    file.write_all_at(&fragment[head_bytes..], last.at + longer.len() as u64)?;
    Ok(())
}

/// The playlists of these tracks, with their names.
fn texts(tracks: &[(String, TrackFile)], segment_s: u8) -> Vec<(String, String)> {
    let rendition = |(name, track)| Rendition { name: String::clone(name), track };
    let all = tracks.iter().map(|(name, track)| rendition((name, track)));
    let (pictures, sound): (Vec<_>, Vec<_>) =
        all.partition(|rendition| matches!(rendition.track.kind, TrackKind::Pictures { .. }));
    playlists::write(&pictures, sound.first(), segment_s)
}

impl Verifier<'_> {
    /// How long the first picture of a ladder is shown.
    pub(super) fn first_picture_lasts(set: &File) -> Result<Duration, TranscodeError> {
        let index = Index::read(set).map_err(|error| bad(error.to_string()))?;
        let first = index.entries().iter().find(|entry| entry.name.as_str().strip_suffix(".mp4").is_some());
        let first = first.ok_or_else(|| bad("it has no track file".to_owned()))?;
        let within = |buffer: &mut [u8], at: u64| set.read_exact_at(buffer, first.offset + at);
        let track = fragments::read(first.bytes, within)?.map_err(|what| bad(what.to_owned()))?;
        Ok(track.first_lasts())
    }

    /// Track files whose pictures are cut at the same times, with the playlists that follow from them, and nothing else.
    pub(super) fn look_at_ladder(
        set: &File,
        index: &Index,
        segment_s: u8,
    ) -> Result<MediaInfo, TranscodeError> {
        let mut tracks = Vec::new();
        for entry in index.entries() {
            let Some(name) = entry.name.as_str().strip_suffix(".mp4") else { continue };
            let within = |buffer: &mut [u8], at: u64| set.read_exact_at(buffer, entry.offset + at);
            let track = fragments::read(entry.bytes, within)?;
            tracks.push((name.to_owned(), track.map_err(|what| bad(format!("{}: {what}", entry.name)))?));
        }
        let info = described(&tracks).map_err(|what| bad(what.to_owned()))?;
        let written = texts(&tracks, segment_s);
        let expected = written.iter().map(|(name, _)| name.clone());
        let expected: Vec<_> = expected.chain(tracks.iter().map(|(name, _)| format!("{name}.mp4"))).collect();
        let found: Vec<_> = index.entries().iter().map(|entry| entry.name.to_string()).collect();
        if found != expected {
            return Err(bad(format!("it has the files {}, and not {}", found.join(" "), expected.join(" "))));
        }
        for (entry, (name, text)) in index.entries().iter().zip(&written) {
            if !is_text(set, entry, text)? {
                return Err(bad(format!("{name} says other things than its track files")));
            }
        }
        Ok(info)
    }
}

fn is_text(set: &File, entry: &Entry, text: &str) -> std::io::Result<bool> {
    Ok(entry.bytes == text.len() as u64 && entry.read(set)? == text.as_bytes())
}

/// What is in these tracks, if they are sizes of one film, the largest first, and at most one sound behind them.
fn described(tracks: &[(String, TrackFile)]) -> Result<MediaInfo, &'static str> {
    let (mut video, mut audio): (Option<VideoInfo>, Option<AudioInfo>) = (None, None);
    let mut last_side = u32::MAX;
    for (name, track) in tracks {
        let duration = Some(track.duration());
        match track.kind {
            TrackKind::Pictures { width, height } => {
                let side = width.min(height);
                if audio.is_some() || *name != format!("v{side}") || side >= last_side {
                    return Err("its pictures are not in order of their sizes");
                }
                last_side = side;
                if !is_cut_alike(&tracks[0].1, track) {
                    return Err("its sizes are not cut at the same times");
                }
                video.get_or_insert_with(|| VideoInfo {
                    codec: "h264".to_owned(),
                    width,
                    height,
                    frames: track.samples(),
                    duration,
                    ..VideoInfo::default()
                });
            }
            TrackKind::Sound { channels } => {
                if name != SOUND || video.is_none() || audio.is_some() {
                    return Err("it has more than one sound, or none but that");
                }
                audio =
                    Some(AudioInfo { codec: "aac".to_owned(), channels, duration, ..AudioInfo::default() });
            }
        }
    }
    let duration = tracks.iter().map(|(_, track)| track.duration()).max();
    let streams = tracks.len() as u32;
    match video {
        None => Err("it has no pictures"),
        video => Ok(MediaInfo {
            container: "tar".to_owned(),
            duration,
            video,
            audio,
            streams,
            ..MediaInfo::default()
        }),
    }
}

fn is_cut_alike(one: &TrackFile, other: &TrackFile) -> bool {
    let seconds = |track: &TrackFile, ticks: u64| ticks as f64 / track.timescale as f64;
    one.fragments.len() == other.fragments.len()
        && one.fragments.iter().zip(&other.fragments).all(|(a, b)| {
            let apart = |of: fn(&fragments::Fragment) -> u64| {
                (seconds(one, of(a)) - seconds(other, of(b))).abs() > CUT_ERROR_S
            };
            a.samples == b.samples && !apart(|cut| cut.start) && !apart(|cut| cut.ticks)
        })
}
