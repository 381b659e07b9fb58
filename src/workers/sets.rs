//! What has to be true of a set of files before it is answered or kept, whoever made it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::cancel::Cancel;
use super::error::TranscodeError;
use super::verify::Verifier;
use crate::content::{MediaInfo, VideoInfo};
use crate::media::OWN_DEMUXERS;
use crate::media::preview::Sheets;
use crate::profile::{Profile, Recipe};
use crate::store::Scratch;
use crate::store::files::{Entry, FileName, Index};

/// A longer list of tiles is none that a node makes.
const VTT_BYTES_MAX: u64 = 256 << 10;
/// How much of a set is copied at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// A name that is known to be one.
pub(super) fn name(text: &str) -> Result<FileName, TranscodeError> {
    text.parse().map_err(|error| TranscodeError::Io(io::Error::other(format!("{text}: {error}"))))
}

/// What the sheet of this number is called; the first is number 1.
pub(super) fn sheet_name(sheet: u32) -> Result<FileName, TranscodeError> {
    name(&format!("sprite-{sheet}.jpg"))
}

/// The `WebVTT` file that says which tile shows what time: from its own to the next one's.
pub(super) fn sprite_vtt(sheets: &Sheets, tiles: u32, end: Duration) -> String {
    let at = |tile: u32| Duration::from_millis(u64::from(tile) * u64::from(sheets.every_ms));
    let cue = |tile: u32| {
        let until = if tile + 1 == tiles { end } else { at(tile + 1) };
        let (sheet, (x, y)) = sheets.place(tile);
        let (width, height) = sheets.tile;
        let (from, until) = (time(at(tile)), time(until));
        format!("\n{from} --> {until}\nsprite-{sheet}.jpg#xywh={x},{y},{width},{height}\n")
    };
    std::iter::once("WEBVTT\n".to_owned()).chain((0..tiles).map(cue)).collect()
}

/// `hh:mm:ss.mmm`.
fn time(at: Duration) -> String {
    let ms = at.as_millis();
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

fn read_time(text: &str) -> Option<Duration> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, rest) = rest.split_once(':')?;
    let (seconds, ms) = rest.split_once('.')?;
    let number = |text: &str, digits: usize| {
        (text.len() >= digits && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u64>().ok())?
    };
    let (hours, minutes, seconds, ms) =
        (number(hours, 2)?, number(minutes, 2)?, number(seconds, 2)?, number(ms, 3)?);
    (minutes < 60 && seconds < 60 && ms < 1000)
        .then(|| Duration::from_millis(((hours * 60 + minutes) * 60 + seconds) * 1000 + ms))
}

/// A tile, as the list of them has it.
#[derive(Debug, PartialEq, Eq)]
struct Cue<'a> {
    from: Duration,
    until: Duration,
    sheet: &'a str,
    /// Left, upper, width, height.
    place: [u32; 4],
}

/// The tiles in a list; none where it is not of the one form that nodes write.
fn read_vtt(text: &str) -> Option<Vec<Cue<'_>>> {
    text.strip_prefix("WEBVTT\n\n")?.trim_end_matches('\n').split("\n\n").map(read_cue).collect()
}

fn read_cue(block: &str) -> Option<Cue<'_>> {
    let (times, picture) = block.split_once('\n')?;
    let (from, until) = times.split_once(" --> ")?;
    let (sheet, place) = picture.split_once("#xywh=")?;
    let place: Vec<u32> = place.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    Some(Cue { from: read_time(from)?, until: read_time(until)?, sheet, place: place.try_into().ok()? })
}

impl Verifier<'_> {
    /// What is in a set, if it is one of this profile.
    pub(super) fn look_at_set(
        &self,
        profile: &Profile,
        file: &File,
        cancel: &Cancel,
    ) -> Result<MediaInfo, TranscodeError> {
        let index = Index::read(file).map_err(|error| match error {
            crate::store::files::FilesError::Io(error) => TranscodeError::Io(error),
            error => bad(format!("it is no set of files: {error}")),
        })?;
        match &profile.recipe {
            Recipe::Hls { segment_s, .. } => Self::look_at_ladder(file, &index, *segment_s),
            _ => self.look_at_sprite(file, &index, cancel),
        }
    }

    /// Sheets of tiles: their list refers to nothing but tiles on these sheets, one after the other without a gap.
    fn look_at_sprite(
        &self,
        file: &File,
        index: &Index,
        cancel: &Cancel,
    ) -> Result<MediaInfo, TranscodeError> {
        let (list, sheets) = match index.entries() {
            [list, sheets @ ..] if list.name.as_str() == "sprite.vtt" && !sheets.is_empty() => (list, sheets),
            _ => return Err(bad("it has no sprite.vtt in front and sheets behind it".to_owned())),
        };
        if list.bytes > VTT_BYTES_MAX {
            return Err(bad("its list of tiles is too long".to_owned()));
        }
        let text = list.read(file)?;
        let cues = std::str::from_utf8(&text).ok().and_then(read_vtt).filter(|cues| !cues.is_empty());
        let cues = cues.ok_or_else(|| bad("its list of tiles can't be read".to_owned()))?;
        let [_, _, width, height] = cues[0].place;
        let mut sizes = Vec::new();
        for (number, sheet) in sheets.iter().enumerate() {
            if sheet.name != sheet_name(number as u32 + 1)? {
                return Err(bad(format!("it has a file {} that belongs to no sprite", sheet.name)));
            }
            sizes.push(self.picture_size(file, sheet, cancel)?);
        }
        check_cues(&cues, sheets, &sizes).map_err(|reason| bad(reason.to_owned()))?;
        let duration = cues.last().map(|cue| cue.until);
        let video = VideoInfo {
            codec: "mjpeg".to_owned(),
            width,
            height,
            frames: cues.len() as u64,
            duration,
            ..VideoInfo::default()
        };
        let streams = sheets.len() as u32;
        Ok(MediaInfo {
            container: "tar".to_owned(),
            duration,
            video: Some(video),
            streams,
            ..MediaInfo::default()
        })
    }

    /// Width and height of a JPEG in a set.
    fn picture_size(&self, set: &File, entry: &Entry, cancel: &Cancel) -> Result<(u32, u32), TranscodeError> {
        let picture = self.copied(set, entry)?;
        let info =
            self.prober.probe_blocking(&picture, OWN_DEMUXERS, cancel).map_err(|error| match error {
                _ if cancel.is_set() => TranscodeError::Cancelled,
                error if error.is_input_fault() => bad(format!("{}: {error}", entry.name)),
                error => TranscodeError::Unverified(error),
            })?;
        match info.video {
            Some(video) if video.codec == "mjpeg" => Ok((video.width, video.height)),
            _ => Err(bad(format!("{} is no JPEG", entry.name))),
        }
    }

    /// A file of a set as a file of its own, for tools that read nothing else.
    pub(super) fn copied(&self, set: &File, entry: &Entry) -> Result<Scratch, TranscodeError> {
        let (copy, scratch) = self.dir.scratch_file("result-")?;
        let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(entry.bytes).unwrap_or(usize::MAX))];
        let mut at = 0;
        while at < entry.bytes {
            let part = usize::try_from(entry.bytes - at).unwrap_or(usize::MAX).min(buffer.len());
            set.read_exact_at(&mut buffer[..part], entry.offset + at)?;
            self.dir.with_room(entry.bytes, || copy.write_all_at(&buffer[..part], at))?;
            at += part as u64;
        }
        Ok(scratch)
    }
}

pub(super) fn bad(reason: String) -> TranscodeError {
    TranscodeError::BadOutput { reason }
}

/// Whether tiles follow each other from the beginning on, each on a sheet of its set.
fn check_cues(cues: &[Cue<'_>], sheets: &[Entry], sizes: &[(u32, u32)]) -> Result<(), &'static str> {
    let mut expected = Duration::ZERO;
    let [_, _, width, height] = cues.first().map_or([0; 4], |cue| cue.place);
    for cue in cues {
        if cue.from != expected || cue.until <= cue.from {
            return Err("the times of its tiles have gaps or overlap");
        }
        expected = cue.until;
        let sheet = sheets.iter().position(|sheet| sheet.name.as_str() == cue.sheet);
        let Some(size) = sheet.and_then(|sheet| sizes.get(sheet)) else {
            return Err("its list of tiles names a file that is not in it");
        };
        let [x, y, w, h] = cue.place;
        if (w, h) != (width, height) || w == 0 || h == 0 {
            return Err("its tiles are of different sizes");
        }
        if x.checked_add(w).is_none_or(|right| right > size.0)
            || y.checked_add(h).is_none_or(|low| low > size.1)
        {
            return Err("a tile lies outside its sheet");
        }
    }
    if sheets.iter().any(|sheet| cues.iter().all(|cue| cue.sheet != sheet.name.as_str())) {
        return Err("there is a sheet without a tile");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEETS: Sheets = Sheets { every_ms: 500, columns: 10, rows: 10, tile: (160, 90), quality: 4 };

    fn entries(count: u32) -> Vec<Entry> {
        (1..=count).map(|n| Entry { name: sheet_name(n).unwrap(), offset: 0, bytes: 1 }).collect()
    }

    #[test]
    fn the_list_of_tiles_reads_as_players_expect_it() {
        let text = sprite_vtt(&SHEETS, 3, Duration::from_millis(1_240));
        assert_eq!(
            text,
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nsprite-1.jpg#xywh=0,0,160,90\n\n\
             00:00:00.500 --> 00:00:01.000\nsprite-1.jpg#xywh=160,0,160,90\n\n\
             00:00:01.000 --> 00:00:01.240\nsprite-1.jpg#xywh=320,0,160,90\n"
        );
        let long = sprite_vtt(&SHEETS, 7_300, Duration::from_secs(3_650));
        assert!(
            long.ends_with("\n01:00:49.500 --> 01:00:50.000\nsprite-73.jpg#xywh=1440,810,160,90\n"),
            "{long}"
        );
        for (text, tiles, sheets) in [(text, 3, 1), (long, 7_300, 73)] {
            let cues = read_vtt(&text).unwrap();
            assert_eq!(cues.len(), tiles);
            assert_eq!(check_cues(&cues, &entries(sheets), &vec![(1600, 900); sheets as usize]), Ok(()));
        }
    }

    #[test]
    fn a_list_of_tiles_refers_to_nothing_but_tiles_of_its_set() {
        let good = sprite_vtt(&SHEETS, 101, Duration::from_secs(51));
        let checked = |text: &str, sizes: &[(u32, u32)]| {
            let cues = read_vtt(text)?;
            Some(check_cues(&cues, &entries(sizes.len() as u32), sizes))
        };
        let sizes = [(1600, 900), (1600, 900)];
        assert_eq!(checked(&good, &sizes), Some(Ok(())));
        for (from, to) in [
            ("sprite-2.jpg", "sprite-3.jpg"),
            ("sprite-2.jpg", "../secret.jpg"),
            ("sprite-2.jpg", "https://example.invalid/a.jpg"),
            ("sprite-2.jpg", "sprite-1.jpg"),
            ("#xywh=160,0,", "#xywh=1441,0,"),
            ("#xywh=160,0,", "#xywh=4294967295,0,"),
            ("#xywh=1440,810,", "#xywh=1440,811,"),
            ("#xywh=160,0,160,90", "#xywh=160,0,159,90"),
            ("00:00:01.000 --> 00:00:01.500", "00:00:01.001 --> 00:00:01.500"),
            ("00:00:01.000 --> 00:00:01.500", "00:00:01.000 --> 00:00:01.400"),
            ("00:00:50.000 --> 00:00:51.000", "00:00:50.000 --> 00:00:50.000"),
            ("00:00:00.000 --> 00:00:00.500", "00:00:00.100 --> 00:00:00.500"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(matches!(checked(&good.replacen(from, to, 1), &sizes), Some(Err(_))), "{to}");
        }
        for (from, to) in [
            ("WEBVTT\n", "WEBVTT - a title\n"),
            (" --> ", " -> "),
            ("00:00:00.500", "0.5"),
            ("00:00:00.500", "00:61:00.500"),
            ("#xywh=0,0,160,90", ""),
            ("#xywh=0,0,160,90", "#xywh=0,0,160"),
            ("#xywh=0,0,160,90", "#xywh=-1,0,160,90"),
        ] {
            assert_eq!(checked(&good.replacen(from, to, 1), &sizes), None, "{to}");
        }
        assert!(matches!(checked(&good, &[(1600, 899), (1600, 900)]), Some(Err(_))));
        assert!(matches!(checked(&good, &[(1600, 900), (1600, 900), (1600, 900)]), Some(Err(_))));
        assert_eq!(checked("WEBVTT\n\n", &sizes), None);
    }
}
