//! The corpus: every kind of input through the profiles, and the results measured from the outside.
//!
//! As a test, each input goes through the profiles that it names, one of each path through the code that it can show a fault of: the default
//! one where it names none. `STARLING_CORPUS=all` (`make corpus`) runs the whole matrix, `STARLING_CORPUS=name,name` those inputs in all profiles, `STARLING_CORPUS_PROFILES=name,name` no other profiles,
//! `STARLING_CORPUS_INPUTS=FILE` the inputs of another file, and `STARLING_CORPUS_KEEP=FOLDER` keeps inputs and results. The table of all verdicts is left in `target/tmp/corpus.md`.

mod browser;
mod compare;
mod inputs;
mod measure;
mod table;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use self::inputs::Input;
pub use self::inputs::{PATCHES, pictures};
use self::table::Row;
use self::verdict::{Kind, Maker};
use crate::support::{Answer, Http, Node, NodeOptions};

/// Uploads at once: a transcode and a measurement keep a core busy each.
const AT_ONCE: usize = 3;

/// A profile of the node.
struct Profile {
    name: String,
    kind: Kind,
    extension: &'static str,
    maker: Maker,
    is_default: bool,
}

async fn profiles(http: &Http) -> Vec<Arc<Profile>> {
    let json = http.json("/profiles").await;
    let only = std::env::var("STARLING_CORPUS_PROFILES").unwrap_or_default();
    let all = json["profiles"].as_array().unwrap().iter();
    let asked =
        |profile: &&serde_json::Value| only.is_empty() || only.split(',').any(|name| profile["name"] == name);
    all.filter(asked)
        .map(|profile| {
            let media_type = profile["media_type"].as_str().unwrap();
            let name = profile["name"].as_str().unwrap().to_owned();
            Arc::new(Profile {
                kind: Kind::of(profile["kind"].as_str().unwrap_or_default(), media_type),
                extension: verdict::extension(media_type),
                maker: if name == "paper" { Maker::Exact } else { Maker::Own },
                is_default: json["default"] == name.as_str(),
                name,
            })
        })
        .collect()
}

/// The inputs that were asked for, and whether all profiles were.
fn chosen() -> (Vec<Arc<Input>>, bool) {
    let only = std::env::var("STARLING_CORPUS").unwrap_or_default();
    let all = inputs::all().into_iter().map(Arc::new);
    if only.is_empty() || only == "all" {
        return (all.collect(), !only.is_empty() || std::env::var_os("STARLING_CORPUS_INPUTS").is_some());
    }
    let only: Vec<_> = only.split(',').collect();
    (all.filter(|input| only.contains(&input.name.as_str())).collect(), true)
}

/// Which profiles an input goes through: see the module.
fn through(input: &Input, profiles: &[Arc<Profile>], all: bool) -> Vec<Arc<Profile>> {
    let named = |profile: &Arc<Profile>| match &input.tests {
        _ if all => true,
        None => profile.is_default,
        Some(names) => names.iter().any(|name| *name == profile.name || name == "all"),
    };
    profiles.iter().filter(|profile| named(profile)).cloned().collect()
}

/// Whether each input names profiles that there are, and each profile is named by some inputs.
fn assert_named(inputs: &[Arc<Input>], profiles: &[Arc<Profile>]) {
    for input in inputs {
        for name in input.tests.iter().flatten() {
            let there = name == "all" || profiles.iter().any(|profile| profile.name == *name);
            assert!(there, "{} names the profile {name}, which there is none of", input.name);
        }
    }
    for profile in profiles {
        let takes =
            |input: &&Arc<Input>| through(input, profiles, false).iter().any(|one| one.name == profile.name);
        let inputs = inputs.iter().filter(takes).count();
        assert!(inputs >= 2, "{inputs} inputs go through {}: name it in inputs.toml", profile.name);
    }
}

/// Where inputs and results lie; they are deleted in the end, unless they are to be kept.
struct Folder(PathBuf, #[expect(dead_code, reason = "deletes it")] Option<tempfile::TempDir>);

impl Folder {
    fn new() -> Self {
        if let Some(kept) = std::env::var_os("STARLING_CORPUS_KEEP") {
            std::fs::create_dir_all(&kept).unwrap();
            return Self(kept.into(), None);
        }
        let folder = tempfile::tempdir().unwrap();
        Self(folder.path().to_owned(), Some(folder))
    }
}

/// How long one row may take. The whole matrix is made beside other work, and nothing waits for it.
fn deadline_ms(all: bool) -> u64 {
    if all { 3_000_000 } else { 250_000 }
}

async fn send(http: &Http, (profile, name): (&str, &str), deadline_ms: u64, video: Bytes) -> Answer {
    let headers = [("x-filename", name), ("x-deadline-ms", &deadline_ms.to_string())];
    http.upload_with(&format!("/upload?profile={profile}"), &headers, video).await
}

async fn run(
    http: &Http,
    (input, file): (&Arc<Input>, &Path),
    profile: &Arc<Profile>,
    deadline_ms: u64,
    folder: &Path,
) -> Row {
    let began = Instant::now();
    let video = Bytes::from(std::fs::read(file).unwrap());
    let answer = send(http, (&profile.name, &input.name), deadline_ms, video).await;
    // SVT-AV1 takes no smaller pictures, and says so.
    let too_small = profile.name == "av1" && input.size.is_some_and(|[width, height]| width.min(height) < 64);
    let want = if too_small { 422 } else { profile.kind.status(input) };
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
        let (input, profile, folder) = (Arc::clone(input), Arc::clone(profile), folder.to_owned());
        tokio::task::spawn_blocking(move || judge(&input, &profile, &answer, &folder)).await.unwrap()
    };
    let row = Row { input: input.name.clone(), column: profile.name.clone(), verdict };
    println!("{row} ({:.1} s)", began.elapsed().as_secs_f64());
    row
}

fn judge(input: &Input, profile: &Profile, answer: &Answer, folder: &Path) -> Result<String, String> {
    let path = folder.join(format!("{}-{}.{}", input.name, profile.name, profile.extension));
    std::fs::write(&path, &answer.body).unwrap();
    let measured = match profile.kind {
        Kind::Tiles => measure::tiles(&path, folder),
        Kind::Ladder => measure::ladder(&path, folder),
        _ => measure::measure(&path, folder),
    };
    let mut faults = match measured {
        Ok(measured) => verdict::faults(input, profile.maker, profile.kind, profile.extension, &measured),
        Err(fault) => vec![fault],
    };
    let told = !answer.header("x-input-damage").is_empty();
    if told && !input.damage {
        faults.push(format!("X-Input-Damage of a healthy file: {}", answer.header("x-input-damage")));
    }
    // What is picked out of a film may all be there.
    if input.damage && !told && matches!(profile.kind, Kind::Video | Kind::Audio | Kind::Ladder) {
        faults.push("damage is not told of".into());
    }
    if std::env::var_os("STARLING_CORPUS_KEEP").is_none() {
        std::fs::remove_file(&path).unwrap();
    }
    if faults.is_empty() { Ok("right".into()) } else { Err(faults.join("; ")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_input_is_right_in_every_profile() {
    let folder = Folder::new();
    let (inputs, all) = chosen();
    let files = tokio::task::block_in_place(|| inputs::make(&inputs, &folder.0));
    let node = Node::start(NodeOptions::new("corpus", "z").arg("--deadline-max=1h"));
    let profiles = profiles(&node.http).await;
    if !all && std::env::var_os("STARLING_CORPUS_PROFILES").is_none() {
        assert_named(&inputs, &profiles);
    }
    let jobs: Vec<_> = inputs
        .iter()
        .zip(&files)
        .flat_map(|(input, file)| {
            let through = through(input, &profiles, all).into_iter();
            through.map(move |profile| (Arc::clone(input), file, profile))
        })
        .collect();
    let rows: Vec<Row> = stream::iter(jobs)
        .map(|(input, file, profile)| {
            let (http, folder) = (node.http.clone(), &folder.0);
            async move { run(&http, (&input, file), &profile, deadline_ms(all), folder).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let columns: Vec<_> = profiles.iter().map(|profile| profile.name.as_str()).collect();
    table::keep("corpus.md", &rows, &columns);
    let wrong: Vec<_> = rows.iter().filter_map(Row::wrong).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
