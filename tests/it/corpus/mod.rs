//! The corpus: every kind of input through every profile, and the results measured from the outside.
//!
//! `STARLING_CORPUS=name,name` runs those inputs alone. The table of all verdicts is left in
//! `target/corpus/table.md`.

mod browser;
mod inputs;
mod measure;
mod verdict;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use self::inputs::{Input, PATCHES};
use self::verdict::Kind;
use crate::support::{Answer, Http, Node, NodeOptions, skipped};

/// Uploads at once: a transcode and a measurement keep a core busy each.
const AT_ONCE: usize = 3;

/// A profile of the node, of those that make one file.
struct Profile {
    name: String,
    kind: Kind,
    extension: &'static str,
}

/// What came of one input in one profile.
struct Row {
    input: String,
    profile: String,
    verdict: Result<String, String>,
}

async fn profiles(http: &Http) -> Vec<Arc<Profile>> {
    let json = http.json("/profiles").await;
    let all = json["profiles"].as_array().unwrap().iter();
    all.filter_map(|profile| {
        let media_type = profile["media_type"].as_str()?;
        let kind = Kind::of(media_type)?;
        let extension = match media_type {
            "video/webm" => "webm",
            "image/jpeg" => "jpg",
            "image/gif" => "gif",
            "audio/mp4" => "m4a",
            _ => "mp4",
        };
        Some(Arc::new(Profile { name: profile["name"].as_str()?.to_owned(), kind, extension }))
    })
    .collect()
}

fn chosen() -> Vec<Arc<Input>> {
    let only = std::env::var("STARLING_CORPUS").unwrap_or_default();
    let only: Vec<_> = only.split(',').filter(|name| !name.is_empty()).collect();
    let all = inputs::all().into_iter();
    all.filter(|input| only.is_empty() || only.contains(&input.name.as_str())).map(Arc::new).collect()
}

async fn send(http: &Http, profile: &str, name: &str, video: Bytes) -> Answer {
    let headers = [("x-filename", name), ("x-deadline-ms", "250000")];
    http.upload_with(&format!("/upload?profile={profile}"), &headers, video).await
}

async fn run(http: &Http, input: &Arc<Input>, video: Bytes, profile: &Arc<Profile>, folder: &Path) -> Row {
    let answer = send(http, &profile.name, &input.name, video).await;
    let want = profile.kind.status(input);
    let verdict = if answer.status.as_u16() != want {
        let told = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
        Err(format!("{} for {want}: {told}", answer.status.as_u16()))
    } else if want != 200 {
        // A refusal is in words.
        match answer.json()["detail"].as_str() {
            Some(detail) if !detail.is_empty() => Ok(want.to_string()),
            _ => Err("a refusal without a reason".into()),
        }
    } else {
        let (input, profile) = (Arc::clone(input), Arc::clone(profile));
        let path = folder.join(format!("{}-{}.{}", input.name, profile.name, profile.extension));
        tokio::task::spawn_blocking(move || judge(&input, &profile, &answer, &path)).await.unwrap()
    };
    Row { input: input.name.clone(), profile: profile.name.clone(), verdict }
}

fn judge(input: &Input, profile: &Profile, answer: &Answer, path: &Path) -> Result<String, String> {
    std::fs::write(path, &answer.body).unwrap();
    let mut faults = verdict::faults(input, &profile.name, profile.kind, &measure::measure(path));
    let told = !answer.header("x-input-damage").is_empty();
    if told && !input.damage {
        faults.push(format!("X-Input-Damage of a healthy file: {}", answer.header("x-input-damage")));
    }
    if input.damage && !told && profile.kind != Kind::Still {
        faults.push("damage is not told of".into());
    }
    if faults.is_empty() { Ok("right".into()) } else { Err(faults.join("; ")) }
}

fn table(rows: &[Row], profiles: &[Arc<Profile>]) -> String {
    let mut by_input: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for row in rows {
        let verdict = match &row.verdict {
            Ok(right) => right,
            Err(fault) => fault,
        };
        by_input.entry(&row.input).or_default().insert(&row.profile, verdict);
    }
    let mut text = String::from("| input |");
    for profile in profiles {
        write!(text, " {} |", profile.name).unwrap();
    }
    write!(text, "\n|---|{}\n", "---|".repeat(profiles.len())).unwrap();
    for (input, verdicts) in by_input {
        write!(text, "| {input} |").unwrap();
        for profile in profiles {
            write!(text, " {} |", verdicts.get(profile.name.as_str()).unwrap_or(&"")).unwrap();
        }
        text.push('\n');
    }
    text
}

fn made(inputs: &[Arc<Input>], folder: &Path) -> Vec<PathBuf> {
    let halves: Vec<_> = inputs.chunks(inputs.len().div_ceil(2).max(1)).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = halves
            .into_iter()
            .map(|half| scope.spawn(|| half.iter().map(|input| input.make(folder)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn node() -> Node {
    Node::start(NodeOptions::new("corpus", "z"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "finds what is still wrong with some kinds of media: cargo nextest run --run-ignored all corpus"]
async fn every_input_is_right_in_every_profile() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = chosen();
    let files = tokio::task::block_in_place(|| made(&inputs, folder.path()));
    let node = node();
    let profiles = profiles(&node.http).await;
    let pairs: Vec<_> = inputs
        .iter()
        .zip(files)
        .flat_map(|(input, file)| {
            let video = Bytes::from(std::fs::read(file).unwrap());
            profiles.iter().map(move |profile| (Arc::clone(input), video.clone(), Arc::clone(profile)))
        })
        .collect();
    let rows: Vec<Row> = stream::iter(pairs)
        .map(|(input, video, profile)| {
            let (http, folder) = (node.http.clone(), folder.path());
            async move { run(&http, &input, video, &profile, folder).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus.md");
    std::fs::write(&kept, table(&rows, &profiles)).unwrap();
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(format!("{} {}: {}", row.input, row.profile, row.verdict.as_ref().err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// What decoders of our own say is what people see.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "full-range sources are off by up to 9 of 255 in Chromium: cargo nextest run --run-ignored all corpus"]
async fn a_browser_shows_the_colours_that_the_inputs_had() {
    if std::process::Command::new("chromium").arg("--version").output().is_err() {
        skipped("chromium is not installed");
        return;
    }
    let names = [
        "h264-709.mp4",
        "h264-601.mp4",
        "untagged-hd.mp4",
        "full-range.mp4",
        "vp8-full.webm",
        "rgb-qtrle.mov",
        "mjpeg.avi",
    ];
    let folder = tempfile::tempdir().unwrap();
    let inputs: Vec<_> =
        inputs::all().into_iter().filter(|input| names.contains(&input.name.as_str())).collect();
    let node = node();
    let mut videos = Vec::new();
    let mut told = Vec::new();
    for input in &inputs {
        let file = tokio::task::block_in_place(|| input.make(folder.path()));
        let video = Bytes::from(std::fs::read(file).unwrap());
        for (profile, media_type) in [("360p", "video/mp4"), ("webm", "video/webm")] {
            let answer = send(&node.http, profile, &input.name, video.clone()).await;
            assert_eq!(answer.status, 200, "{} {profile}: {answer:?}", input.name);
            videos.push((media_type, answer.body.to_vec()));
            told.push(format!("{} {profile}", input.name));
        }
    }
    let shown = tokio::task::block_in_place(|| browser::colours(&videos));
    for (what, shown) in told.iter().zip(shown) {
        let shown = shown.unwrap_or_else(|error| panic!("{what}: {error}"));
        for (got, want) in shown.iter().zip(PATCHES) {
            let far = got.iter().zip(want).map(|(got, want)| got.abs_diff(want)).max().unwrap();
            assert!(far <= 6, "{what}: {got:?} for {want:?}");
        }
    }
}
