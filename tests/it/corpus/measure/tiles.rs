//! Contact sheets: what their first tile looks like, and until when their last one is shown.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Measured, measure};

/// Looks at the tile that the `WebVTT` names first, as at a still picture; its duration is that of all tiles.
pub fn tiles(set: &Path, folder: &Path) -> Result<Measured, String> {
    let unpacked = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    run(Command::new("tar").arg("-xf").arg(set).arg("-C").arg(unpacked.path()))?;
    let list =
        std::fs::read_to_string(unpacked.path().join("sprite.vtt")).map_err(|error| error.to_string())?;
    let broken = || format!("its list can't be read: {list}");
    let cues = list.split("\n\n").skip(1);
    let first = cues.clone().next().ok_or_else(broken)?;
    let (times, place) = first.trim().split_once('\n').ok_or_else(broken)?;
    if !times.starts_with("00:00:00.000 --> ") {
        return Err(format!("the first tile is shown from {times}"));
    }
    let (sheet, place) = place.split_once("#xywh=").ok_or_else(broken)?;
    let place: Vec<_> = place.trim().split(',').collect();
    let [x, y, width, height] = place[..] else { return Err(broken()) };
    let tile = unpacked.path().join("tile.png");
    let crop = format!("crop={width}:{height}:{x}:{y}:exact=1,format=rgb24");
    let mut cut = Command::new("ffmpeg");
    cut.args(["-v", "error", "-nostdin", "-i"])
        .arg(unpacked.path().join(sheet))
        .args(["-vf", &crop])
        .arg(&tile);
    run(&mut cut)?;
    let mut measured = measure(&tile, unpacked.path())?;
    let until = cues.last().and_then(|cue| cue.trim().lines().next()?.split_once(" --> "));
    let until = until.or_else(|| times.split_once(" --> ")).and_then(|(_, until)| seconds(until));
    if let Some(video) = &mut measured.video {
        video.duration = until.ok_or_else(broken)?;
    }
    Ok(measured)
}

/// Looks at the largest size of a ladder, with its sound, as at one file. How long its last picture is held the playlist says alone:
/// ffmpeg takes no length of a sample out of a fragment. Whether the playlist is right is the checker's of `hls.rs`.
pub fn ladder(set: &Path, folder: &Path) -> Result<Measured, String> {
    let unpacked = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    run(Command::new("tar").arg("-xf").arg(set).arg("-C").arg(unpacked.path()))?;
    let side = |name: &str| name.strip_prefix('v')?.strip_suffix(".mp4")?.parse::<u32>().ok();
    let entries = std::fs::read_dir(unpacked.path()).map_err(|error| error.to_string())?;
    let names: Vec<_> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let largest = names.iter().max_by_key(|name| side(name)).filter(|name| side(name).is_some());
    let largest = largest.ok_or_else(|| format!("there are no pictures in it: {names:?}"))?;
    let joined = unpacked.path().join("joined.mp4");
    let mut join = Command::new("ffmpeg");
    join.args(["-v", "error", "-nostdin", "-i"]).arg(unpacked.path().join(largest));
    if names.iter().any(|name| name == "audio.mp4") {
        join.arg("-i").arg(unpacked.path().join("audio.mp4"));
    }
    run(join.args(["-c", "copy"]).arg(&joined))?;
    let mut measured = measure(&joined, unpacked.path())?;
    let playlist = unpacked.path().join(largest).with_extension("m3u8");
    let playlist = std::fs::read_to_string(playlist).map_err(|error| error.to_string())?;
    let lengths = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok());
    if let Some(video) = &mut measured.video {
        video.duration = video.duration.max(lengths.sum());
    }
    Ok(measured)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// `hh:mm:ss.mmm`.
fn seconds(time: &str) -> Option<f64> {
    time.split(':').try_fold(0.0, |all, part| Some(all * 60.0 + part.parse::<f64>().ok()?))
}
