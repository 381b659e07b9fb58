//! The one door for results. Whoever made it (a worker here, a peer that was given the job, a node that holds it), a result is
//! answered and kept only as a [`Verified`], and only this file makes one.
//!
//! What is looked at: that the file is whole and of the profile's container, its index (each picture and sound that it tells of
//! must lie in the file), codecs and size of the pictures, and how it fits to the input: its length, and no sound where the
//! input has none. Of another node's result a little is decoded, at its begin, in its middle and at its end. What can't be seen: whether
//! its pictures are those of the input. Another video of the same length passes.
//! So a member can still lie in that way, and this is what the cluster's key is for: with one, nobody is a member without it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cancel::Cancel;
use super::error::TranscodeError;
use super::lengths::{self, Length, tolerance};
use super::mp4_boxes;
use super::probe::{ProbeError, Prober};
use crate::content::{ContentId, Damage, MediaInfo, MediaLimits};
use crate::media::preview::GIF_TIME_MAX;
use crate::media::{Complaints, OWN_DEMUXERS, Packets};
use crate::profile::{Container, Profile, Recipe};
use crate::store::files::Index;
use crate::store::{DataDir, Scratch};

/// How exactly ffmpeg stops where it is told to: within a picture.
const STOP_ERROR: Duration = Duration::from_secs(1);

/// A result that may be answered and kept.
#[derive(Debug)]
pub struct Verified {
    content: ContentId,
    profile: Arc<Profile>,
    file: Scratch,
    bytes: u64,
    sha256: ContentId,
    info: MediaInfo,
    length: Length,
    damage: Option<Damage>,
}

/// What a result has to be the result of.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// SHA-256 of the input.
    pub content: ContentId,
    /// What was to be made of it.
    pub profile: &'a Arc<Profile>,
    /// The input, and what ffprobe found in it. None where it can't be looked at here, by this node's own fault: then only what
    /// the profile says is held against the result.
    pub input: Option<(&'a Path, &'a MediaInfo)>,
}

impl Wanted<'_> {
    /// The result of it: this file, its size and its digest. For those who have looked at it.
    fn verified(
        self,
        (file, bytes, sha256): (Scratch, u64, ContentId),
        info: MediaInfo,
        length: Length,
        damage: Option<Damage>,
    ) -> Verified {
        let profile = Arc::clone(self.profile);
        Verified { content: self.content, profile, file, bytes, sha256, info, length, damage }
    }
}

/// Why a result that another node delivered is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No honest node delivers that: it would not have passed there.
    #[error("{0}")]
    Wrong(String),
    /// It does not fit to what the input says of itself. The input may be what lies, so it is made here instead.
    #[error("{0}")]
    Doubtful(String),
    /// It could not be looked at, by this node's own fault.
    #[error("it could not be looked at here: {0}")]
    Unseen(String),
}

/// What verifying takes.
pub(super) struct Verifier<'a> {
    pub(super) prober: &'a Prober,
    pub(super) limits: &'a MediaLimits,
    pub(super) dir: &'a DataDir,
}

impl Verifier<'_> {
    /// Lets a result that was made here through, with what was complained of meanwhile. Blocks.
    pub(super) fn own(
        &self,
        wanted: Wanted<'_>,
        complaints: Complaints,
        file: Scratch,
        cancel: &Cancel,
    ) -> Result<Verified, TranscodeError> {
        let info = self.look(wanted, &file, cancel)?;
        if let Some(reason) = wanted.input.and_then(|(_, input)| wanted.profile.fits(input, &info).err()) {
            return Err(TranscodeError::BadOutput { reason: reason.to_owned() });
        }
        let mut length = self.length(wanted, &info, cancel)?;
        if let (Recipe::Hls { .. }, Some(input), true) =
            (&wanted.profile.recipe, wanted.input, complaints.waiting)
        {
            let lasts = Self::first_picture_lasts(&File::open(&*file)?)?;
            let packets = self.packets(input.0, cancel)?;
            length = lengths::worse(length, lengths::begins_late(input.1, lasts, &packets));
        }
        match length {
            // What can't be decoded is told of; what is lost without a word is not to be answered as right.
            Length::Short { expected, got } if !complaints.explain_less() => {
                return Err(TranscodeError::Incomplete { expected, got });
            }
            _ => {}
        }
        let damage = damage(wanted.profile, &info, length, complaints);
        let (sha256, bytes) = digest(&file)?;
        Ok(wanted.verified((file, bytes, sha256), info, length, damage))
    }

    /// Lets a result from another node through, of which its receiver knows digest and length. Blocks.
    pub(super) fn foreign(
        &self,
        wanted: Wanted<'_>,
        (file, bytes, sha256): (Scratch, u64, ContentId),
        told: Option<Damage>,
        cancel: &Cancel,
    ) -> Result<Verified, Unfit> {
        let refused = |error: TranscodeError| match error {
            TranscodeError::BadOutput { reason } => Unfit::Wrong(reason),
            TranscodeError::Incomplete { .. }
            | TranscodeError::TooLong { .. }
            | TranscodeError::OutputTooLarge { .. } => Unfit::Wrong(error.to_string()),
            error => Unfit::Unseen(error.to_string()),
        };
        let info = self.look(wanted, &file, cancel).map_err(refused)?;
        // Where this node can't look at the input, it can't at the result either, and nobody else is to blame for that.
        if wanted.input.is_some() {
            self.plays(wanted.profile, &file, &info, cancel).map_err(refused)?;
        }
        if let Some(doubt) = wanted.input.and_then(|(_, input)| doubt(wanted.profile, input, &info)) {
            return Err(Unfit::Doubtful(doubt));
        }
        let length = self.length(wanted, &info, cancel).map_err(refused)?;
        let seen = match length {
            Length::Whole => None,
            // It made something else of it than is made here, or the input has what can't be decoded.
            Length::Short { expected, got } => return Err(Unfit::Doubtful(shorter(expected, got))),
            Length::Held(expected) => {
                return Err(Unfit::Doubtful(shorter(expected, info.picture_duration().unwrap_or_default())));
            }
            Length::Lost { .. } => damage(wanted.profile, &info, length, Complaints::default()),
        };
        Ok(wanted.verified((file, bytes, sha256), info, length, told.or(seen)))
    }

    /// Is the result there, is it what the profile says, is it all of it?
    fn look(&self, wanted: Wanted<'_>, output: &Path, cancel: &Cancel) -> Result<MediaInfo, TranscodeError> {
        let bad = |reason: String| TranscodeError::BadOutput { reason };
        let profile = wanted.profile;
        let file = File::open(output)?;
        match file.metadata()?.len() {
            0 => return Err(bad("it is empty".to_owned())),
            length if length >= self.limits.output_bytes_max => {
                return Err(TranscodeError::OutputTooLarge { max: self.limits.output_bytes_max });
            }
            _ => {}
        }
        let described = if profile.makes_set() {
            Some(self.look_at_set(profile, &file, cancel)?)
        } else if matches!(profile.extension(), "mp4" | "m4a") {
            // Its index stands first and tells of all of it, so a file that was cut off behind it looks whole to whoever reads
            // only that, ffprobe for one.
            if mp4_boxes::top_boxes(&file)?.is_none() {
                return Err(bad("it is cut off".to_owned()));
            }
            mp4_boxes::look(&file)?
        } else {
            None
        };
        let probed = || {
            self.prober.probe_blocking(output, OWN_DEMUXERS, cancel).map_err(|error| match error {
                _ if cancel.is_set() => TranscodeError::Cancelled,
                error if error.is_input_fault() => bad(error.to_string()),
                error => TranscodeError::Unverified(error),
            })
        };
        let info = described.map_or_else(probed, Ok)?;
        delivers(profile, &info).map_err(|reason| bad(reason.to_owned()))?;
        wanted.input.map_or(Ok(()), |(_, input)| self.fits(input, &info))?;
        Ok(info)
    }

    /// Are there pictures and sound where its index says so?
    fn plays(
        &self,
        profile: &Profile,
        result: &Path,
        info: &MediaInfo,
        cancel: &Cancel,
    ) -> Result<(), TranscodeError> {
        let bad = |what: &str| TranscodeError::BadOutput { reason: format!("it can't be played: {what}") };
        let decoded = |path: &Path, duration: Option<Duration>| {
            let samples =
                self.prober.samples(path, duration, cancel).map_err(|error| unverified(error, cancel))?;
            samples.map_err(|said| bad(&said))
        };
        if profile.makes_set() {
            let set = File::open(result)?;
            for entry in Index::read(&set).map_err(|error| bad(&error.to_string()))?.entries() {
                if [".mp4", ".jpg"].iter().any(|media| entry.name.as_str().ends_with(media)) {
                    let samples = decoded(&self.copied(&set, entry)?, info.duration)?;
                    if samples.pictures + samples.sounds == 0 {
                        return Err(bad(&format!("there is nothing in {}", entry.name)));
                    }
                }
            }
            return Ok(());
        }
        let samples = decoded(result, info.duration)?;
        if info.video.is_some() && samples.pictures == 0 {
            return Err(bad("no picture can be decoded"));
        }
        if info.audio.is_some() && samples.sounds == 0 {
            return Err(bad("no sound can be decoded"));
        }
        Ok(())
    }

    /// How long it is beside its input.
    fn length(
        &self,
        wanted: Wanted<'_>,
        result: &MediaInfo,
        cancel: &Cancel,
    ) -> Result<Length, TranscodeError> {
        let Some(input) = wanted.input else { return Ok(Length::Whole) };
        let compared = lengths::compare(wanted.profile, input, result, self.prober, cancel);
        compared.map_err(|error| unverified(error, cancel))
    }

    fn packets(&self, input: &Path, cancel: &Cancel) -> Result<Packets, TranscodeError> {
        self.prober.packets(input, cancel).map_err(|error| unverified(error, cancel))
    }

    /// Is it of that input, as far as both tell?
    fn fits(&self, input: &MediaInfo, result: &MediaInfo) -> Result<(), TranscodeError> {
        if input.audio.is_none() && result.audio.is_some() {
            let reason = "there is sound in it, and none in the video".to_owned();
            return Err(TranscodeError::BadOutput { reason });
        }
        // Where ffmpeg was told to stop. What says that it is as long may be.
        let (max, says) = (self.limits.duration_max, input.duration.unwrap_or_default());
        if result.duration.is_some_and(|got| got + STOP_ERROR >= max) && says + STOP_ERROR < max {
            return Err(TranscodeError::TooLong { says, max });
        }
        Ok(())
    }
}

fn unverified(error: ProbeError, cancel: &Cancel) -> TranscodeError {
    if cancel.is_set() { TranscodeError::Cancelled } else { TranscodeError::Unverified(error) }
}

/// Whether that is what this profile makes; else what is wrong with it.
fn delivers(profile: &Profile, result: &MediaInfo) -> Result<(), &'static str> {
    let containers: &[&str] = match &profile.recipe {
        Recipe::Video { container: Container::Mp4, .. } => &["mp4"],
        Recipe::Video { container: Container::Webm, .. } => &["webm"],
        Recipe::Audio { .. } if profile.extension() == "ogg" => &["ogg"],
        Recipe::Audio { .. } => &["m4a"],
        Recipe::Poster { .. } => &["jpeg_pipe", "image2"],
        Recipe::Sprite { .. } | Recipe::Hls { .. } => &["tar"],
        Recipe::Gif { .. } => &["gif"],
    };
    if !result.container.split(',').any(|name| containers.contains(&name)) {
        return Err("it is of another container");
    }
    profile.delivers(result)?;
    let (scale, longest) = match &profile.recipe {
        Recipe::Video { scale, .. } | Recipe::Poster { scale, .. } | Recipe::Sprite { tile: scale, .. } => {
            (scale, None)
        }
        Recipe::Gif { scale, .. } => (scale, Some(GIF_TIME_MAX + STOP_ERROR)),
        // Its own look knows its sizes.
        Recipe::Audio { .. } | Recipe::Hls { .. } => return Ok(()),
    };
    if longest.is_some_and(|longest| result.duration.is_none_or(|duration| duration > longest)) {
        return Err("it is longer than a preview");
    }
    match &result.video {
        Some(video) if !scale.allows(video.width, video.height) => Err("its pictures are of another size"),
        _ => Ok(()),
    }
}

/// What speaks against a result of that input, though the input may be what lies: of some kinds of file the length is a guess, and
/// a sound track may turn out to be empty.
fn doubt(profile: &Profile, input: &MediaInfo, result: &MediaInfo) -> Option<String> {
    let moving = match &profile.recipe {
        Recipe::Poster { scale, .. } => {
            // Of a song it is the cover.
            let (from, made) = (input.video.as_ref().or(input.cover.as_ref())?, result.video.as_ref()?);
            let (width, height) = from.shown_size();
            let fits = scale.fit(width, height) == (made.width, made.height);
            return (!fits).then(|| "its picture is of another size".to_owned());
        }
        Recipe::Audio { .. } | Recipe::Sprite { .. } | Recipe::Gif { .. } => false,
        Recipe::Video { .. } | Recipe::Hls { .. } => true,
    };
    if moving && input.audio.is_some() && result.audio.is_none() {
        return Some("there is no sound in it, and there is in the video".to_owned());
    }
    if let Err(reason) = profile.fits(input, result) {
        return Some(reason.to_owned());
    }
    let (says, got) = (input.duration.max(input.picture_duration())?, result.duration?);
    if matches!(profile.recipe, Recipe::Gif { .. }) && got + 2 * tolerance(says) < says.min(GIF_TIME_MAX) {
        return Some(shorter(says.min(GIF_TIME_MAX), got));
    }
    (got > says + 2 * tolerance(says)).then(|| shorter(got, says))
}

fn shorter(long: Duration, short: Duration) -> String {
    format!("of the video and its result one plays for {long:.1?}, and the other for {short:.1?}")
}

/// What of an input was lost, if anything was.
fn damage(profile: &Profile, result: &MediaInfo, length: Length, complaints: Complaints) -> Option<Damage> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (read, expected) = match length {
        Length::Lost { expected, got } | Length::Short { expected, got } => (got, Some(expected)),
        Length::Whole | Length::Held(_)
            if complaints.any() && !matches!(profile.recipe, Recipe::Poster { .. } | Recipe::Gif { .. }) =>
        {
            (result.duration.unwrap_or_default(), None)
        }
        Length::Whole | Length::Held(_) => return None,
    };
    Some(Damage { read_ms: ms(read), expected_ms: expected.map(ms), errors: complaints.lost })
}

fn digest(path: &Path) -> io::Result<(ContentId, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((ContentId(hash.finalize().into()), bytes)),
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

impl Verified {
    /// SHA-256 of what it was made of.
    pub const fn content(&self) -> ContentId {
        self.content
    }

    /// What was made.
    pub const fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Its length.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its SHA-256.
    pub const fn sha256(&self) -> ContentId {
        self.sha256
    }

    /// What is in it.
    pub const fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// What of the input could not be read.
    pub const fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// How long it is beside its input.
    pub(super) const fn length(&self) -> Length {
        self.length
    }

    /// The file; deleted on drop.
    pub(crate) fn into_file(self) -> Scratch {
        self.file
    }

    /// Whatever it is: for tests of what becomes of a result.
    #[cfg(test)]
    pub(crate) fn for_test(content: ContentId, profile: Arc<Profile>, file: Scratch, data: &[u8]) -> Self {
        let (bytes, sha256) = (data.len() as u64, ContentId::of(data));
        let (info, length) = (MediaInfo::default(), Length::Whole);
        Self { content, profile, file, bytes, sha256, info, length, damage: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{AudioInfo, VideoInfo};
    use crate::profile::ProfileSet;

    fn info(seconds: f64, size: (u32, u32), audio: bool) -> MediaInfo {
        let duration = Some(Duration::from_secs_f64(seconds));
        let video = VideoInfo {
            codec: "h264".into(),
            width: size.0,
            height: size.1,
            frames: 25,
            fps: 25.0,
            duration,
            ..VideoInfo::default()
        };
        let audio = audio.then(|| AudioInfo { codec: "aac".into(), channels: 2, ..AudioInfo::default() });
        MediaInfo {
            container: "mov,mp4,m4a,3gp,3g2,mj2".into(),
            duration,
            video: Some(video),
            audio,
            streams: 2,
            ..MediaInfo::default()
        }
    }

    fn profile(name: &str) -> Arc<Profile> {
        ProfileSet::builtin().get(&name.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_result_has_to_be_of_the_profiles_kind() {
        let good = info(5.0, (1280, 720), true);
        assert_eq!(delivers(&profile("720p"), &good), Ok(()));
        for (name, result) in [
            ("720p", MediaInfo { container: "matroska,webm".into(), ..good.clone() }),
            ("720p", info(5.0, (1920, 1080), true)),
            ("720p", MediaInfo { video: None, ..good.clone() }),
            ("webm", good.clone()),
            ("poster", good),
        ] {
            assert!(delivers(&profile(name), &result).is_err(), "{name} {result:?}");
        }
    }

    #[test]
    fn what_the_input_may_be_to_blame_for_is_in_doubt() {
        let (input, side) = (info(5.0, (1920, 1080), true), profile("720p"));
        for good in
            [info(5.0, (1280, 720), true), info(5.04, (1280, 720), true), info(5.4, (1280, 720), true)]
        {
            assert_eq!(doubt(&side, &input, &good), None, "{good:?}");
        }
        for odd in [
            info(9.0, (1280, 720), true),
            info(5.0, (1280, 720), false),
            info(5.0, (64, 36), true),
            info(5.0, (960, 720), true),
        ] {
            assert!(doubt(&side, &input, &odd).is_some(), "{odd:?}");
        }
        // Nothing is known of it, so nothing speaks against it.
        let unknown = MediaInfo { duration: None, video: None, audio: None, ..input };
        assert_eq!(doubt(&side, &unknown, &info(9.0, (1280, 720), true)), None);
    }
}
