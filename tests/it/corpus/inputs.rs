//! The inputs: read from `tests/corpus/inputs.toml`, made by ffmpeg.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

/// Patches of the pictures: green and red above, blue and yellow below, in RGB.
pub const PATCHES: [[u8; 3]; 4] = [[30, 180, 40], [200, 30, 30], [40, 60, 200], [200, 200, 60]];

/// One input and what is true of it; `inputs.toml` says what each field means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub name: String,
    file: Option<PathBuf>,
    make: Option<String>,
    first: Option<String>,
    second: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    pub size: Option<[u32; 2]>,
    #[serde(default = "yes")]
    pub patches: bool,
    pub shown: Option<[[u8; 3]; 4]>,
    pub tolerance: Option<u8>,
    #[serde(default = "yes")]
    pub sound: bool,
    #[serde(default)]
    pub picture: Picture,
    #[serde(default)]
    pub beeps: Beeps,
    #[serde(default)]
    pub begins: f64,
    pub hz: Option<f64>,
    pub frames: Option<usize>,
    pub duration: Option<f64>,
    pub duration_min: Option<f64>,
    #[serde(default)]
    pub interlaced: bool,
    pub refuse: Option<u16>,
    #[serde(default)]
    pub tests: Option<Vec<String>>,
    #[serde(default)]
    pub damage: bool,
}

/// What picture an input has.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Picture {
    #[default]
    Moving,
    /// An attached picture: no video.
    Cover,
    None,
}

/// When an input's tones begin.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Beeps {
    /// At each whole second.
    #[default]
    Seconds,
    At(Vec<f64>),
    /// "any": at least one.
    Any(String),
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Corpus {
    input: Vec<Input>,
}

/// All of them; those of another file, where `STARLING_CORPUS_INPUTS` names one.
pub fn all() -> Vec<Input> {
    let path = std::env::var_os("STARLING_CORPUS_INPUTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/inputs.toml"),
        PathBuf::from,
    );
    let corpus: Corpus = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    corpus.input
}

/// Makes the files of these inputs in a folder, on all cores.
pub fn make(inputs: &[Arc<Input>], folder: &Path) -> Vec<PathBuf> {
    let next = AtomicUsize::new(0);
    let made: Vec<OnceLock<PathBuf>> = inputs.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(at) else { return };
            made[at].set(input.make(folder)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    made.into_iter().map(|path| path.into_inner().unwrap()).collect()
}

impl Input {
    /// Makes the file in `folder`.
    pub fn make(&self, folder: &Path) -> PathBuf {
        if let Some(file) = &self.file {
            return file.clone();
        }
        let path = folder.join(&self.name);
        if path.exists() {
            // Made by an earlier run, and kept.
            return path;
        }
        let beside = |what: &str| folder.join(format!("{}.{what}", self.name));
        let first = self.first.as_ref().map(|first| {
            if first == "SUBTITLE" {
                let path = beside("srt");
                fs::write(&path, "1\n00:00:00,000 --> 00:00:01,000\nword\n\n").unwrap();
                return path;
            }
            let path = beside("first");
            ffmpeg(&self.name, first, None, &path);
            path
        });
        let mut bytes = match &self.make {
            None => Vec::new(),
            Some(make) => {
                ffmpeg(&self.name, make, first.as_deref(), &path);
                fs::read(&path).unwrap()
            }
        };
        for step in &self.after {
            let (step, with) = step.split_once(' ').unwrap_or((step, ""));
            match step {
                "cut" => bytes.truncate((bytes.len() as f64 * with.parse::<f64>().unwrap()) as usize),
                "hole" => {
                    let (from, to) = with.split_once(' ').unwrap();
                    let at = |share: &str| (bytes.len() as f64 * share.parse::<f64>().unwrap()) as usize;
                    let hole = at(from)..at(to);
                    bytes[hole].fill(0);
                }
                "drop-front" => drop(bytes.drain(..with.parse::<usize>().unwrap())),
                "append-zeros" => bytes.resize(bytes.len() + with.parse::<usize>().unwrap(), 0),
                "append-noise" => bytes.extend(noise(with.parse().unwrap())),
                "packets-204" => {
                    bytes = bytes.chunks(188).flat_map(|packet| [packet, &[0; 16]].concat()).collect();
                }
                "twice" => bytes.extend_from_within(..),
                "then-second" => {
                    let path = beside("second");
                    ffmpeg(&self.name, self.second.as_deref().unwrap(), None, &path);
                    bytes.extend(fs::read(path).unwrap());
                }
                "replace" => replace(&mut bytes, with),
                "bytes" => bytes = unhex(with).into_iter().chain([0; 2000]).collect(),
                "text" => bytes = with.as_bytes().to_vec(),
                other => panic!("{}: no such step: {other}", self.name),
            }
        }
        fs::write(&path, bytes).unwrap();
        path
    }

    /// When the tones begin in a sound of this length, in seconds; `None` where at least one is all that is known.
    pub fn beeps_within(&self, duration: f64) -> Option<Vec<f64>> {
        match &self.beeps {
            // A tone at the very end is cut short, and no tone.
            Beeps::Seconds => {
                Some((0..100).map(f64::from).take_while(|second| second + 0.09 < duration).collect())
            }
            Beeps::At(times) => Some(times.clone()),
            Beeps::Any(word) => {
                assert_eq!(word, "any", "{}", self.name);
                None
            }
        }
    }
}

fn replace(bytes: &mut [u8], words: &str) {
    let (from, to) = words.split_once(' ').unwrap();
    assert_eq!(from.len(), to.len());
    let mut at = 0;
    let mut count = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        bytes[at + found..][..to.len()].copy_from_slice(to.as_bytes());
        at += found + from.len();
        count += 1;
    }
    assert!(count > 0, "there is no {from}");
}

/// The same noise each time.
fn noise(count: usize) -> impl Iterator<Item = u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(count)
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn ffmpeg(name: &str, words: &str, first: Option<&Path>, output: &Path) {
    let args = words.split_whitespace().flat_map(|word| expand(word, first));
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .arg(output)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A word of a `make` line as ffmpeg's arguments.
fn expand(word: &str, first: Option<&Path>) -> Vec<String> {
    let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let yuv = |matrix: &str, tag: &str, range: &str| {
        let chain = format!("scale=out_color_matrix={matrix}:out_range={range},format=yuv420p");
        let tags = ["-colorspace", "-color_primaries", "-color_trc"];
        let mut all = vec!["-vf".to_owned(), chain];
        all.extend(tags.into_iter().flat_map(|option| [option.to_owned(), tag.to_owned()]));
        all.extend(["-color_range".to_owned(), range.to_owned()]);
        all
    };
    let call = |name: &str| {
        let inner = word.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    if let Some(args) = call("PIC").or_else(|| call("BALL")) {
        let (width, height) = args[0].split_once('x').unwrap();
        let size = (width.parse().unwrap(), height.parse().unwrap());
        return own(&["-f", "lavfi", "-i", &pictures(size, &args[1], &args[2], word.starts_with("BALL"))]);
    }
    if let Some(args) = call("BEEP") {
        let tone = format!("0.5*sin(2*PI*{}*t)*lt(mod(t\\,1)\\,0.1)", args[1]);
        return own(&["-f", "lavfi", "-i", &format!("aevalsrc=exprs={tone}|{tone}:d={}:s=48000", args[0])]);
    }
    if let Some(args) = call("MAPS") {
        let count: usize = args[1].parse().unwrap();
        return ["-map".to_owned(), args[0].clone()].into_iter().cycle().take(2 * count).collect();
    }
    match word {
        "YUV709" => yuv("bt709", "bt709", "tv"),
        "YUV601" => yuv("bt601", "smpte170m", "tv"),
        "FULL709" => yuv("bt709", "bt709", "pc"),
        "FIRST" => own(&["-i", first.unwrap().to_str().unwrap()]),
        other => own(&[other]),
    }
}

/// The filter graph that makes the patches; with a white bar that crosses the lower half, if it `moves`.
pub fn pictures((width, height): (u32, u32), rate: &str, seconds: &str, moves: bool) -> String {
    let (half_width, half_height) = (width / 2, height / 2);
    let patch = |[red, green, blue]: [u8; 3], name: char| {
        format!(
            "color=c=0x{red:02X}{green:02X}{blue:02X}:s={half_width}x{half_height}:r={rate}:d={seconds},\
             format=gbrp[{name}];"
        )
    };
    let mut graph: String = PATCHES.into_iter().zip('a'..).map(|(rgb, name)| patch(rgb, name)).collect();
    graph.push_str("[a][b]hstack[x];[c][d]hstack[y];[x][y]vstack");
    if moves {
        let bar = (width / 40).max(4) / 2 * 2;
        write!(
            graph,
            "[p];color=c=white:s={bar}x{half_height}:r={rate}:d={seconds},format=gbrp[q];\
             [p][q]overlay=x='mod(t*{width}/2,{width})':y={half_height}:format=gbrp"
        )
        .unwrap();
    }
    graph
}
