//! The second run for contact sheets and moving previews, and the set that comes of it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::error::TranscodeError;
use super::ffmpeg::Ffmpeg;
use super::lengths;
use super::progress::{Ear, Progress};
use super::sets;
use crate::content::MediaInfo;
use crate::media::preview::{Kind, Preview, Sheets};
use crate::media::{Complaints, Packets, Plan, Run};
use crate::store::files::{FileName, pack};

/// What ffmpeg calls the sheets while they are made, by their number.
const SHEETS: &str = "sheet-%d.jpg";

impl Ffmpeg<'_> {
    /// What is known of the input; how long its pictures play is found out where a preview needs it and the file does not say.
    pub(super) fn measured(&self) -> Result<MediaInfo, TranscodeError> {
        let mut info = self.job.info.clone();
        let unknown = info.picture_duration().is_none_or(|duration| duration.is_zero());
        if self.job.profile.is_preview() && unknown {
            let length = self.length_by_packets()?;
            // Of the pictures alone: that the file does not say it is a fact, too.
            if let Some(video) = &mut info.video {
                video.duration = length;
            }
        }
        Ok(info)
    }

    /// How long the pictures of the input really play.
    fn length_by_packets(&self) -> Result<Option<Duration>, TranscodeError> {
        Ok(lengths::pictures_end(&self.job.info, &self.packets()?))
    }

    fn packets(&self) -> Result<Packets, TranscodeError> {
        let packets = self.bench.prober.packets((*self.job.input).as_ref(), self.cancel);
        packets.map_err(|error| {
            if self.cancel.is_set() { TranscodeError::Cancelled } else { TranscodeError::Unverified(error) }
        })
    }

    /// The plan of a moving preview with the last picture held until the end, where ffmpeg does not see by itself that it is.
    fn plan_for_held(&self, plan: &Plan) -> Result<Option<Plan>, TranscodeError> {
        Ok(lengths::silently_held(&self.job.info, &self.packets()?).and_then(|end| plan.held_until(end)))
    }

    /// The same where so little was picked that the preview would be shorter than its film.
    pub(super) fn plan_for_missing(
        &self,
        plan: &Plan,
        picked: Option<Progress>,
    ) -> Result<Option<Plan>, TranscodeError> {
        let picked = picked.map_or(0, |progress| progress.frames);
        let lacks = plan.preview.as_ref().is_some_and(|preview| preview.lacks(picked));
        if lacks { self.plan_for_held(plan) } else { Ok(None) }
    }

    /// Reads the places of a preview one after the other, and puts together what it has picked there.
    pub(super) fn pick_places(
        &mut self,
        (plan, preview): (&Plan, &Preview),
        info: &MediaInfo,
        run: &Run<'_>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Complaints, TranscodeError> {
        let (mut picked, mut complaints) = (Vec::new(), Complaints::default());
        let count = preview.places.len() as f64;
        let length = preview.length.div_f64(count);
        let mut held = None;
        for (number, from_s) in preview.places.iter().enumerate() {
            if preview.has_enough(number, picked.len()) {
                break;
            }
            let output = run.output.with_file_name(preview.file_of_a_place(number));
            let mut of_all = |progress: Progress| {
                let fraction = progress.fraction.map(|fraction| (number as f64 + fraction) / count);
                on_progress(Progress { fraction, ..progress });
            };
            let run = Run { output: &output, ..*run };
            let mut place =
                self.pick_place(held.as_ref().unwrap_or(plan), &run, (*from_s, length), &mut of_all)?;
            if place.0 == 0 && preview.is_moving() && held.is_none() {
                held = self.plan_for_held(plan)?;
                if let Some(held) = &held {
                    place = self.pick_place(held, &run, (*from_s, length), &mut of_all)?;
                }
            }
            complaints = complaints.and(place.1);
            // Behind the end of what there is, nothing is picked.
            if place.0 > 0 {
                let missing = if preview.is_of_single_tiles() { picked.len()..number } else { 0..0 };
                for place in missing {
                    // Where nothing can be read the picture before is shown, or the first one that there is.
                    let same = output.with_file_name(preview.file_of_a_place(place));
                    std::fs::copy(picked.last().unwrap_or(&output), &same)?;
                    picked.push(same);
                }
                picked.push(output);
            }
        }
        if picked.is_empty() {
            return Err(TranscodeError::NoPicture);
        }
        self.put_together(preview, info, &picked)?;
        Ok(complaints)
    }

    /// How many pictures were picked at a place, in seconds from the begin, and what was complained of.
    fn pick_place(
        &mut self,
        plan: &Plan,
        run: &Run<'_>,
        (from_s, length): (f64, Duration),
        on_progress: impl FnMut(Progress),
    ) -> Result<(u64, Complaints), TranscodeError> {
        let mut ear = Ear::new(Some(length), on_progress).within(&self.job.info);
        let argv = plan.argv_from(&self.job.profile, run, Some(from_s));
        let ended = self.run(argv, run.input, &mut ear);
        if let Some(what) = ear.beyond() {
            return Err(TranscodeError::LargerThanSaid { what });
        }
        let complaints = self.complaints(&ended?.said)?;
        Ok((ear.reported().map_or(0, |progress| progress.frames), complaints))
    }

    /// Puts together what the first run, or each of them, has picked.
    pub(super) fn put_together<P: AsRef<Path>>(
        &mut self,
        preview: &Preview,
        info: &MediaInfo,
        picked: &[P],
    ) -> Result<(), TranscodeError> {
        let first = picked.first().map_or(self.output, AsRef::as_ref);
        let limits = self.bench.limits.clone();
        let mut ear = Ear::new(Some(preview.length), |_| {});
        match &preview.kind {
            Kind::Moving { .. } | Kind::Still { .. } => {
                let argv = preview.argv(picked, self.output, &limits);
                self.run(argv, first, &mut ear).map(drop)
            }
            Kind::Sheets(sheets) => {
                let argv = preview.argv(picked, &self.output.with_file_name(SHEETS), &limits);
                self.run(argv, first, &mut ear)?;
                let tiles = ear.reported().map_or(0, |progress| progress.frames);
                let tiles = u32::try_from(tiles).unwrap_or(u32::MAX);
                if tiles == 0 {
                    return Err(TranscodeError::NoPicture);
                }
                self.pack_sheets(sheets, tiles, self.end_of(sheets, tiles, info)?)
            }
        }
    }

    /// Until when the last tile is shown: the end of the film. A last picture that is held lasts longer than its tile.
    fn end_of(&self, sheets: &Sheets, tiles: u32, info: &MediaInfo) -> Result<Duration, TranscodeError> {
        let tile = Duration::from_millis(sheets.every_ms.into());
        let (begins, covered) = (tile * (tiles - 1), tile * tiles);
        let says = info.picture_duration().unwrap_or(covered);
        let end = if says <= covered {
            says
        } else {
            // It says more than there was a picture for: held, or lost.
            self.length_by_packets()?.map_or(covered, |there| there.clamp(covered, says))
        };
        Ok(if end > begins { end } else { covered })
    }

    fn pack_sheets(&self, sheets: &Sheets, tiles: u32, end: Duration) -> Result<(), TranscodeError> {
        let bad = |reason: String| TranscodeError::BadOutput { reason };
        let vtt = self.output.with_file_name("sprite.vtt");
        std::fs::write(&vtt, sets::sprite_vtt(sheets, tiles, end))?;
        let mut files = vec![(sets::name("sprite.vtt")?, vtt)];
        for sheet in 1..=tiles.div_ceil(sheets.per_sheet()) {
            let made = self.output.with_file_name(SHEETS.replace("%d", &sheet.to_string()));
            if !made.exists() {
                return Err(bad(format!("ffmpeg has not made sheet {sheet}")));
            }
            files.push((sets::sheet_name(sheet)?, made));
        }
        self.pack(&files)
    }

    /// Makes the result of files that ffmpeg has made; the first is the one that a person opens.
    pub(super) fn pack<P: AsRef<Path>>(&self, files: &[(FileName, P)]) -> Result<(), TranscodeError> {
        let bytes =
            files.iter().filter_map(|(_, path)| path.as_ref().metadata().ok()).map(|meta| meta.len()).sum();
        self.bench.dir.with_room(bytes, || pack(files, &File::create(self.output)?))?;
        Ok(())
    }
}
