//! Pictures out of a whole film that are put together: contact sheets, and moving previews.
//!
//! It takes two runs of ffmpeg. The first reads the file, or each place of it that is shown, picks pictures by their times and leaves
//! them, small and without loss, in a file of its own; the second puts those together. In one run, pictures that change their size in the
//! middle would not come out: ffmpeg then makes all filters anew, and forgets what they have gathered.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::Features;
use super::argv::{Args, OWN_DEMUXERS, guard_input};
use super::picture::{Surface, picture_filters};
use super::places::{self, GIF_PLACE_S, GIF_PLACES, STILL_PLACES};
use super::plan::{Plan, Video};
use crate::content::{MediaInfo, MediaLimits, VideoInfo};
use crate::profile::{Recipe, Scale};

/// Distances of tiles, in milliseconds: the first one with which a film has no more than [`TILES_MAX`].
const EVERY_MS: [u32; 9] = [500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000];
const TILES_MAX: u32 = 200;
/// In the first run so many pictures are picked for each tile: what is lost where pictures change their size is less than a tile.
const PICKS_PER_TILE: u32 = 4;
/// Tiles beside each other and below each other on one sheet, at most: what players' tools usually make.
const SIDE_TILES_MAX: u32 = 10;

/// A moving preview shows a shorter film whole, and of a longer one some places.
pub(crate) const GIF_TIME_MAX: Duration = Duration::from_secs(6);
/// A last picture that is held for less, in seconds, is none that a preview misses.
const HELD_MIN_S: f64 = 0.3;
/// What the picture of each tile is called where each is a file of its own: all together, and one of them.
const TILES: &str = "picked-%d.pgmyuv";

/// What the second run puts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    pub(crate) kind: Kind,
    /// What the pictures go through at its end.
    surface: Vec<String>,
    /// Length of what is read, for its progress.
    pub(crate) length: Duration,
    /// Where in the film the first run picks pictures, in seconds: each place is a run of its own, that reads no more than it needs.
    /// None: one run reads all of it.
    pub(crate) places: Vec<f64>,
}

/// Of which kind it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Tiles on sheets.
    Sheets(Sheets),
    /// A GIF of so many pictures a second.
    Moving { fps: u32 },
    /// The most telling one of some pictures.
    Still { quality: u8 },
}

/// How tiles stand on sheets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sheets {
    /// From one tile to the next.
    pub(crate) every_ms: u32,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// Width and height of a tile.
    pub(crate) tile: (u32, u32),
    pub(crate) quality: u8,
}

impl Sheets {
    pub(super) fn of(length: Duration, tile: (u32, u32), quality: u8) -> Self {
        let longest = EVERY_MS[EVERY_MS.len() - 1];
        let every_ms = EVERY_MS.into_iter().find(|every| tiles(length, *every) <= TILES_MAX);
        let every_ms = every_ms.unwrap_or(longest);
        let tiles = tiles(length, every_ms).min(SIDE_TILES_MAX * SIDE_TILES_MAX);
        let columns = tiles.min(SIDE_TILES_MAX);
        Self { every_ms, columns, rows: tiles.div_ceil(columns), tile, quality }
    }

    /// Tiles of a film of this length.
    pub(super) fn tiles(&self, length: Duration) -> u32 {
        tiles(length, self.every_ms)
    }

    /// Tiles on one sheet.
    pub(crate) const fn per_sheet(&self) -> u32 {
        self.columns * self.rows
    }

    /// Number of its sheet, from 1 on, and the left upper corner of a tile on it.
    pub(crate) const fn place(&self, tile: u32) -> (u32, (u32, u32)) {
        let on_sheet = tile % self.per_sheet();
        let (x, y) = (on_sheet % self.columns, on_sheet / self.columns);
        (tile / self.per_sheet() + 1, (x * self.tile.0, y * self.tile.1))
    }
}

/// At least one; of the longest film by far still a number.
fn tiles(length: Duration, every_ms: u32) -> u32 {
    let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    u32::try_from(ms.div_ceil(every_ms.into())).unwrap_or(u32::MAX).max(1)
}

/// What the first run picks, and what the second one makes of it. `from_start`: only the first picture that there is.
pub(super) fn plan(
    recipe: &Recipe,
    info: &MediaInfo,
    video: &VideoInfo,
    features: &Features,
    from_start: bool,
) -> Option<(Vec<String>, (u32, u32), Preview)> {
    let length = info.picture_duration().unwrap_or_default();
    let mut places = Vec::new();
    let (width, height) = video.shown_size();
    let (scale, surface, kind, mut picks): (Scale, _, _, Vec<String>) = match recipe {
        Recipe::Sprite { tile, quality } => {
            let sheets = Sheets::of(length, tile.fit(width, height), *quality);
            if !from_start {
                places = places::of_tiles(info, video, length, &sheets);
            }
            let pick = if places.is_empty() {
                format!("fps={}/{}:round=up", 1000 * PICKS_PER_TILE, sheets.every_ms)
            } else {
                // The one that is shown at the begin of the place; it is known when the next one comes.
                "fps=1:round=up:start_time=0".to_owned()
            };
            (*tile, Surface::Jpeg, Kind::Sheets(sheets), vec![pick])
        }
        Recipe::Gif { scale, fps } => {
            let mut picks = vec![format!("fps={fps}:round=up")];
            if !from_start {
                places = places::of_moving(info, length, *fps);
            }
            if places.is_empty() {
                picks.extend(selected(length));
            } else {
                // Until then the picture before is shown, and the last one for as long as it takes.
                picks = vec![format!("fps={fps}:round=up:start_time=0,tpad=stop_mode=clone:stop={fps}")];
            }
            (*scale, Surface::Rgb, Kind::Moving { fps: u32::from(*fps) }, picks)
        }
        Recipe::Video { .. } | Recipe::Audio { .. } | Recipe::Poster { .. } | Recipe::Hls { .. } => {
            return None;
        }
    };
    if from_start {
        picks.clear();
    }
    let mut chain = picture_filters(video, scale, surface, features);
    // The last two are for the surface, and pictures are put together before.
    let surface = chain.split_off(chain.len() - 2);
    picks.extend(chain);
    let length = if matches!(kind, Kind::Moving { .. }) { length.min(GIF_TIME_MAX) } else { length };
    Some((picks, scale.fit(width, height), Preview { kind, surface, length, places }))
}

/// Keeps some places of a longer film, one behind the other.
fn selected(length: Duration) -> Vec<String> {
    if length <= GIF_TIME_MAX {
        return Vec::new();
    }
    let part = length.as_secs_f64() / f64::from(GIF_PLACES);
    let from = (part - GIF_PLACE_S) / 2.0;
    let to = from + GIF_PLACE_S;
    vec![
        format!("select='gte(mod(t,{part:.6}),{from:.6})*lt(mod(t,{part:.6}),{to:.6})'"),
        // Times are cut off to whole ticks, so what falls a little short of one would come too soon.
        format!("setpts='round((floor(T/{part:.6})*{GIF_PLACE_S:.1}+mod(T,{part:.6})-{from:.6})/TB)'"),
    ]
}

impl Preview {
    /// The most telling of the pictures that are picked at these places, by a filter that chooses, and made a JPEG by the others.
    pub(super) fn still(places: Vec<f64>, surface: Vec<String>, quality: u8) -> Self {
        Self { kind: Kind::Still { quality }, surface, length: Duration::ZERO, places }
    }

    /// How the first run keeps what it has picked. `from_start`: of a whole file no more than one picture.
    pub(super) fn keep(&self, args: &mut Args, from_start: bool) {
        if let Some(pictures) = if from_start { Some(1) } else { self.pictures_of_a_place() } {
            args.opt("-frames:v", pictures);
        }
        if self.is_of_single_tiles() {
            args.opt("-c:v", "pgmyuv").opt("-f", "image2").opt("-update", 1);
        } else {
            args.opt("-c:v", "ffv1").opt("-fps_mode:v", "passthrough").opt("-f", "matroska");
        }
    }

    /// Whether the second run reads a file for each tile: some hundred files would be too many inputs.
    pub(crate) const fn is_of_single_tiles(&self) -> bool {
        matches!(self.kind, Kind::Sheets(_)) && !self.places.is_empty()
    }

    /// What the file is called that keeps what was picked at one of the places.
    pub(crate) fn file_of_a_place(&self, place: usize) -> String {
        let place = place.to_string();
        if self.is_of_single_tiles() { TILES.replace("%d", &place) } else { format!("picked-{place}.mkv") }
    }

    /// Whether the places that are left are not needed, after so many that gave so many files.
    pub(crate) const fn has_enough(&self, tried: usize, picked: usize) -> bool {
        matches!(self.kind, Kind::Still { .. }) && tried >= STILL_PLACES && picked > 0
    }

    /// Whether the one run of a moving preview that is read whole has picked fewer pictures than its film is long, by more than what rounding
    /// makes of it.
    pub(crate) fn lacks(&self, picked: u64) -> bool {
        match self.kind {
            Kind::Moving { fps } if self.places.is_empty() => {
                (picked as f64 + f64::from(fps) * HELD_MIN_S) < self.length.as_secs_f64() * f64::from(fps)
            }
            Kind::Moving { .. } | Kind::Sheets(_) | Kind::Still { .. } => false,
        }
    }

    /// Whether it is a moving one.
    pub(crate) const fn is_moving(&self) -> bool {
        matches!(self.kind, Kind::Moving { .. })
    }

    /// Pictures that the first run picks in one place.
    const fn pictures_of_a_place(&self) -> Option<u32> {
        match self.kind {
            _ if self.places.is_empty() => None,
            Kind::Moving { fps } => Some((fps as f64 * GIF_PLACE_S) as u32),
            Kind::Sheets(_) | Kind::Still { .. } => Some(1),
        }
    }

    /// ffmpeg's arguments for the second run: what was picked to `output`, a GIF or a pattern with `%d` of the sheets' names. Its
    /// progress counts the tiles, or the pictures of the GIF.
    pub(crate) fn argv<P: AsRef<Path>>(
        &self,
        picked: &[P],
        output: &Path,
        limits: &MediaLimits,
    ) -> Vec<OsString> {
        let mut args = Args::default();
        args.flags(&["-nostdin", "-hide_banner", "-nostats"]).opt("-v", "error").opt("-progress", "pipe:1");
        args.opt("-max_alloc", limits.alloc_bytes_max).opt("-filter_complex_threads", 1);
        let tiles = picked.first().map(|first| first.as_ref().with_file_name(TILES));
        match (&self.kind, tiles) {
            (Kind::Sheets(sheets), Some(tiles)) if self.is_of_single_tiles() => {
                guard_input(&mut args, OWN_DEMUXERS, limits);
                args.opt("-f", "image2").opt("-framerate", format!("1000/{}", sheets.every_ms));
                args.opt("-start_number", 0).opt("-threads", 1).path("-i", &tiles);
            }
            _ => {
                for picked in picked {
                    guard_input(&mut args, OWN_DEMUXERS, limits);
                    args.opt("-threads", 1).path("-i", picked.as_ref());
                }
            }
        }
        let joined = if picked.len() == 1 || self.is_of_single_tiles() {
            "[0:v]".to_owned()
        } else {
            let all: Vec<_> = (0..picked.len()).map(|place| format!("[{place}:v]")).collect();
            format!("{}concat=n={},", all.concat(), picked.len())
        };
        let surface = self.surface.join(",");
        match &self.kind {
            Kind::Sheets(sheets) => {
                let Sheets { every_ms, columns, rows, quality, .. } = sheets;
                // The first output is the one whose pictures are counted.
                args.opt(
                    "-filter_complex",
                    format!(
                        "{joined}fps=1000/{every_ms}:round=up:start_time=0,split[tiles][n];\
                         [n]tile={columns}x{rows},{surface}[sheets]"
                    ),
                );
                args.opt("-map", "[tiles]").opt("-f", "null").flags(&["-"]);
                args.opt("-map", "[sheets]").opt("-c:v", "mjpeg").opt("-q:v", quality);
                args.opt("-fps_mode:v", "passthrough").opt("-f", "image2").opt("-start_number", 1);
            }
            Kind::Moving { fps } => {
                args.opt(
                    "-filter_complex",
                    format!(
                        "{joined}fps={fps}:round=up:start_time=0,{surface},split[a][b];\
                         [a]palettegen=reserve_transparent=0:stats_mode=full[p];\
                         [b][p]paletteuse=dither=sierra2_4a:diff_mode=rectangle[gif]"
                    ),
                );
                args.opt("-map", "[gif]").opt("-t", format!("{:.3}", GIF_TIME_MAX.as_secs_f64()));
                args.opt("-loop", 0).opt("-c:v", "gif").opt("-f", "gif");
                args.opt("-fs", limits.output_bytes_max);
            }
            Kind::Still { quality } => {
                args.opt("-filter_complex", format!("{joined}{surface}[still]")).opt("-map", "[still]");
                args.opt("-frames:v", 1).opt("-c:v", "mjpeg").opt("-q:v", quality).opt("-f", "mjpeg");
            }
        }
        args.path("-y", output);
        args.0
    }
}

impl Plan {
    /// The same plan of a moving preview, with the last picture of the film shown until `end` of it; none of anything else.
    pub(crate) fn held_until(&self, end: Duration) -> Option<Self> {
        let mut plan = self.clone();
        let (Some(video), Some(Preview { kind: Kind::Moving { fps }, places, .. })) =
            (&mut plan.video, &plan.preview)
        else {
            return None;
        };
        let end = end.as_secs_f64();
        // At a place, times are counted from there.
        let part = if places.is_empty() { format!("end={end:.6}") } else { "start=0".to_owned() };
        let pick = video.filters.first_mut()?;
        // Behind the pictures of a constant rate: of a rate that varies `tpad` would make as many as its clock has ticks.
        *pick = format!("fps={fps}:round=up,tpad=stop_mode=clone:stop_duration={end:.6},trim={part}");
        Some(plan)
    }
}

/// As part of a plan.
pub(super) fn video(stream: u32, filters: Vec<String>, size: (u32, u32), source: &VideoInfo) -> Video {
    Video { stream, filters, rate: super::Rate::of(source, 60), size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheets(seconds: f64) -> Sheets {
        Sheets::of(Duration::from_secs_f64(seconds), (160, 90), 4)
    }

    #[test]
    fn a_film_has_some_hundred_tiles_and_a_short_one_as_many_as_it_has_moments() {
        let tiles = |seconds: f64| (seconds * 1000.0 / f64::from(sheets(seconds).every_ms)).ceil() as u32;
        for (seconds, every_ms, count) in [
            (0.04, 500, 1),
            (5.0, 500, 10),
            (100.0, 500, 200),
            (100.1, 1_000, 101),
            (600.0, 5_000, 120),
            (5_400.0, 30_000, 180),
            (14_400.0, 120_000, 120),
        ] {
            assert_eq!((sheets(seconds).every_ms, tiles(seconds)), (every_ms, count), "{seconds}");
        }
        for seconds in 1..=14_400 {
            assert!(tiles(f64::from(seconds)) <= TILES_MAX, "{seconds}");
        }
        assert_eq!(sheets(1e9).every_ms, 120_000);
        assert_eq!(sheets(0.0).per_sheet(), 1);
    }

    #[test]
    fn tiles_stand_in_rows_on_as_many_sheets_as_they_need() {
        let few = sheets(6.0);
        assert_eq!((few.columns, few.rows), (10, 2));
        assert_eq!(few.place(0), (1, (0, 0)));
        assert_eq!(few.place(11), (1, (160, 90)));
        let many = sheets(100.0);
        assert_eq!((many.columns, many.rows, many.per_sheet()), (10, 10, 100));
        assert_eq!(many.place(99), (1, (9 * 160, 9 * 90)));
        assert_eq!(many.place(100), (2, (0, 0)));
    }

    #[test]
    fn a_preview_that_is_shorter_than_its_film_lacks_pictures() {
        let preview = |places: Vec<f64>| Preview {
            kind: Kind::Moving { fps: 10 },
            surface: Vec::new(),
            length: GIF_TIME_MAX,
            places,
        };
        assert_eq!(
            [20, 56, 57, 60].map(|picked| preview(Vec::new()).lacks(picked)),
            [true, true, false, false]
        );
        // Of places, each is counted by itself.
        assert!(!preview(vec![4.5]).lacks(0));
    }

    #[test]
    fn a_longer_film_is_shown_at_six_places() {
        assert_eq!(selected(Duration::from_secs(6)), Vec::<String>::new());
        let filters = selected(Duration::from_secs(60));
        assert_eq!(filters[0], "select='gte(mod(t,10.000000),4.500000)*lt(mod(t,10.000000),5.500000)'");
        assert_eq!(filters[1], "setpts='round((floor(T/10.000000)*1.0+mod(T,10.000000)-4.500000)/TB)'");
    }
}
