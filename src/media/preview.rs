//! Pictures out of a whole film that are put together: contact sheets, and moving previews.
//!
//! It takes two runs of ffmpeg. The first reads the file, picks pictures by their times and leaves them, small and without loss, in a
//! file of its own; the second puts those together. In one run, pictures that change their size in the middle would not come out:
//! ffmpeg then makes all filters anew, and forgets what they have gathered.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::Features;
use super::argv::{Args, OWN_DEMUXERS, guard_input};
use super::picture::{Surface, picture_filters};
use super::plan::Video;
use crate::content::{MediaInfo, MediaLimits, VideoInfo};
use crate::profile::{Recipe, Scale};

/// Distances of tiles, in milliseconds: the first one with which a film has no more than [`TILES_MAX`].
const EVERY_MS: [u32; 9] = [500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000];
const TILES_MAX: u64 = 200;
/// In the first run so many pictures are picked for each tile: what is lost where pictures change their size is less than a tile.
const PICKS_PER_TILE: u32 = 4;
/// Tiles beside each other and below each other on one sheet, at most: what players' tools usually make.
const SIDE_TILES_MAX: u32 = 10;

/// A moving preview shows a shorter film whole, and of a longer one so many places for so long each.
pub(crate) const GIF_TIME_MAX: Duration = Duration::from_secs(6);
const GIF_PLACES: u32 = 6;
const GIF_PLACE_S: f64 = 1.0;
/// A longer film is not read whole for it, where its index leads to the places.
const GIF_READ_WHOLE_MAX: Duration = Duration::from_secs(30);

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
    fn of(length: Duration, tile: (u32, u32), quality: u8) -> Self {
        let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let longest = EVERY_MS[EVERY_MS.len() - 1];
        let few = |every: &u32| ms.div_ceil(u64::from(*every)) <= TILES_MAX;
        let every_ms = EVERY_MS.into_iter().find(few).unwrap_or(longest);
        let tiles =
            ms.div_ceil(u64::from(every_ms)).clamp(1, u64::from(SIDE_TILES_MAX * SIDE_TILES_MAX)) as u32;
        let columns = tiles.min(SIDE_TILES_MAX);
        Self { every_ms, columns, rows: tiles.div_ceil(columns), tile, quality }
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
            let pick = format!("fps={}/{}:round=up", 1000 * PICKS_PER_TILE, sheets.every_ms);
            (*tile, Surface::Jpeg, Kind::Sheets(sheets), vec![pick])
        }
        Recipe::Gif { scale, fps } => {
            let mut picks = vec![format!("fps={fps}:round=up")];
            if !from_start && info.has_index() && length > GIF_READ_WHOLE_MAX {
                // Until then the picture before is shown, and the last one for as long as it takes.
                picks = vec![format!("fps={fps}:round=up:start_time=0,tpad=stop_mode=clone:stop={fps}")];
                places = begins(length, *fps);
            } else {
                picks.extend(selected(length));
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

/// When the places of a longer film begin: at the times at which pictures are picked of a film that is read from its begin.
fn begins(length: Duration, fps: u16) -> Vec<f64> {
    let part = length.as_secs_f64() / f64::from(GIF_PLACES);
    let begin = |place: u32| (f64::from(place) + 0.5) * part - GIF_PLACE_S / 2.0;
    (0..GIF_PLACES).map(|place| (begin(place) * f64::from(fps)).ceil() / f64::from(fps)).collect()
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

/// How the first run keeps what it has picked.
pub(super) fn keep(args: &mut Args, pictures: Option<u32>) {
    if let Some(pictures) = pictures {
        args.opt("-frames:v", pictures);
    }
    args.opt("-c:v", "ffv1").opt("-fps_mode:v", "passthrough").opt("-f", "matroska");
}

impl Preview {
    /// Pictures that the first run picks in one place.
    pub(super) fn pictures_of_a_place(&self) -> Option<u32> {
        match self.kind {
            Kind::Moving { fps } if !self.places.is_empty() => Some((f64::from(fps) * GIF_PLACE_S) as u32),
            Kind::Moving { .. } | Kind::Sheets(_) => None,
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
        for picked in picked {
            guard_input(&mut args, OWN_DEMUXERS, limits);
            args.opt("-threads", 1).path("-i", picked.as_ref());
        }
        let joined = if picked.len() == 1 {
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
        }
        args.path("-y", output);
        args.0
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
            assert!(tiles(f64::from(seconds)) <= TILES_MAX as u32, "{seconds}");
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
    fn a_longer_film_is_shown_at_six_places() {
        assert_eq!(selected(Duration::from_secs(6)), Vec::<String>::new());
        let filters = selected(Duration::from_secs(60));
        assert_eq!(filters[0], "select='gte(mod(t,10.000000),4.500000)*lt(mod(t,10.000000),5.500000)'");
        assert_eq!(begins(Duration::from_secs(60), 10), [4.5, 14.5, 24.5, 34.5, 44.5, 54.5]);
        // The times between them that are picked of both are the same: tenths of a second.
        assert_eq!(begins(Duration::from_secs_f64(60.2), 10), [4.6, 14.6, 24.6, 34.7, 44.7, 54.7]);
        assert_eq!(filters[1], "setpts='round((floor(T/10.000000)*1.0+mod(T,10.000000)-4.500000)/TB)'");
    }
}
