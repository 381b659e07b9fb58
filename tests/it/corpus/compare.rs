//! The same inputs through other converters, measured with the same measures: where they are right, ours has to be.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::inputs::{self, Input, Picture};
use super::table::{self, Row};
use super::verdict::{self, Kind, Maker};
use super::{AT_ONCE, Folder, chosen, measure};

/// What other converters are called, and how. `IN` and `OUT` stand for the files.
const CONVERTERS: [(&str, &[&str]); 3] = [
    ("ffmpeg", &["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", "IN", "OUT"]),
    (
        "ffmpeg, the paper's call",
        &[
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-y",
            "-i",
            "IN",
            "-vf",
            "scale=640:360",
            "-c:v",
            "libx264",
            "-preset",
            "fast",
            "-crf",
            "28",
            "-movflags",
            "+faststart",
            "-c:a",
            "aac",
            "OUT",
        ],
    ),
    ("HandBrake Fast 1080p30", &["HandBrakeCLI", "--preset", "Fast 1080p30", "-i", "IN", "-o", "OUT"]),
];

fn convert(input: &Input, file: &Path, at: usize, folder: &Path) -> Row {
    let (name, call) = CONVERTERS[at];
    let output = folder.join(format!("{}-{at}.mp4", input.name));
    let words = call.iter().map(|word| match *word {
        "IN" => file.as_os_str(),
        "OUT" => output.as_os_str(),
        word => word.as_ref(),
    });
    let words: Vec<_> = words.collect();
    let run = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().expect("it runs");
    let made = output.metadata().is_ok_and(|found| found.len() > 0);
    let wanted = Kind::Video.status(input) == 200;
    let verdict = match (wanted, made && run.status.success()) {
        (false, false) => Ok("refused".to_owned()),
        (false, true) => Ok("made".to_owned()),
        (true, false) => Err("refused".to_owned()),
        (true, true) => {
            let extension = "mp4";
            let faults = measure::measure(&output, folder).map_or_else(
                |fault| vec![fault],
                |measured| verdict::faults(input, Maker::Other, Kind::Video, extension, &measured),
            );
            if faults.is_empty() { Ok("right".to_owned()) } else { Err(faults.join("; ")) }
        }
    };
    if made && std::env::var_os("STARLING_CORPUS_KEEP").is_none() {
        std::fs::remove_file(&output).unwrap();
    }
    Row { input: input.name.clone(), column: name.to_owned(), verdict }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a comparison, and no test of what is here: make corpus COMPARE=1"]
async fn other_converters() {
    let folder = Folder::new();
    let (inputs, _) = chosen();
    let files = tokio::task::block_in_place(|| inputs::make(&inputs, &folder.0));
    let moving = inputs.into_iter().zip(files).filter(|(input, _)| input.picture == Picture::Moving);
    let jobs: Vec<_> = moving
        .flat_map(|(input, file)| (0..CONVERTERS.len()).map(move |at| (Arc::clone(&input), file.clone(), at)))
        .collect();
    let rows: Vec<Row> =
        stream::iter(jobs)
            .map(|(input, file, at)| {
                let folder = folder.0.clone();
                async move {
                    tokio::task::spawn_blocking(move || convert(&input, &file, at, &folder)).await.unwrap()
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
    table::keep("corpus-others.md", &rows, &CONVERTERS.map(|(name, _)| name));
}
