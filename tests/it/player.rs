//! A ladder in a browser: hls.js plays it in Chromium, from a node and from elsewhere.

use bytes::Bytes;
use serde_json::{Value, json};
use starling::config::KeyFile;

use crate::corpus::{PATCHES, pictures};
use crate::sets::unpacked;
use crate::support::{Chromium, FileServer, Node, NodeOptions, fetched, made_by_ffmpeg, skipped};

/// Farthest that a colour may be, in each of red, green and blue: Chromium itself shows limited range up to 8 too dark.
const TOLERANCE: u64 = 12;
/// The pitch of the film's sound.
const HZ: f64 = 440.0;
const PAGE: &str = "<!doctype html><meta charset=utf-8><body></body><script src=/hls.js></script><script src=/player.js></script>";
const PLAYER: &str = include_str!("../player/player.js");

/// hls.js, where `scripts/deps.sh` has put it.
fn hls_js() -> Option<String> {
    fetched("player/node_modules/hls.js/dist/hls.min.js").map(|file| std::fs::read_to_string(file).unwrap())
}

/// What these tests take; none where it is missing.
fn library() -> Option<String> {
    let library = hls_js();
    if library.is_none() {
        skipped("hls.js is not there: CI=true scripts/deps.sh test fetches it (npm)");
    } else if !Chromium::is_installed() {
        skipped("chromium is not installed");
        return None;
    }
    library
}

/// A film of known colours, and the sizes of its ladder, the smallest first.
struct Film {
    seconds: f64,
    sizes: &'static [(u64, u64)],
}

/// So long that a player has the time to change its mind.
const LONG: Film = Film { seconds: 30.0, sizes: &[(640, 360), (854, 480), (1280, 720)] };
/// Of four segments.
const SHORT: Film = Film { seconds: 19.0, sizes: &[(640, 360), (852, 480)] };

impl Film {
    /// The video, with so much noise between the colours that each size has a bit rate of its own.
    fn make(&self) -> Bytes {
        let folder = tempfile::tempdir().unwrap();
        let (width, height) = self.sizes[self.sizes.len() - 1];
        // The middle of the picture, beside the places that are looked at.
        let (noise_width, noise_height) = (width / 4 * 2, height / 10 * 2);
        let (x, y) = ((width - noise_width) / 4 * 2, (height - noise_height) / 4 * 2);
        let graph = format!(
            "{},split[a][b];[b]crop={noise_width}:{noise_height}:{x}:{y},noise=alls=60:allf=t+u[n];\
             [a][n]overlay={x}:{y}:format=gbrp,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
            pictures((width as u32, height as u32), "10", &self.seconds.to_string(), false)
        );
        let sound = format!("sine=frequency={HZ}:duration={}", self.seconds);
        let arguments = [
            &["-f", "lavfi", "-i", &graph, "-f", "lavfi", "-i", &sound][..],
            &["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-c:a", "aac"],
            &["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"],
            &["-metadata:s:a:0", "language=ger"],
        ];
        made_by_ffmpeg(&folder.path().join("film.mp4"), arguments.concat())
    }
}

fn sizes(of: &Value) -> Vec<(u64, u64)> {
    let side = |level: &Value, name: &str| level[name].as_u64().unwrap();
    of.as_array().unwrap().iter().map(|level| (side(level, "width"), side(level, "height"))).collect()
}

/// What is wrong with a picture that a browser drew of the film in this size.
fn look(seen: &Value, size: (u64, u64)) -> Result<(), String> {
    let mut far = 0;
    for (shown, patch) in seen["colours"].as_array().unwrap().iter().zip(PATCHES) {
        for (value, want) in shown.as_array().unwrap().iter().zip(patch) {
            far = far.max(value.as_u64().unwrap().abs_diff(want.into()));
        }
    }
    let got = (seen["width"].as_u64().unwrap(), seen["height"].as_u64().unwrap());
    if got == size && far <= TOLERANCE { Ok(()) } else { Err(format!("{seen} for {size:?}, {far} off")) }
}

/// The page's player, with what its methods come to.
struct Player(Chromium);

impl Player {
    /// Puts a new player in place of the last one.
    fn load(&mut self, url: &str, config: &Value) -> Result<Value, String> {
        self.0.run(&format!(
            "window.one?.hls.destroy(); window.one = new Watched({url:?}, {config}); one.described()"
        ))
    }

    fn ask(&mut self, call: &str) -> Result<Value, String> {
        self.0.run(&format!("one.{call}"))
    }
}

/// Plays all of a film as fast as can be; what is wrong with it, if anything is.
fn play_all(player: &mut Player, film: &Film, url: &str, level: usize) -> Result<(), String> {
    // Nothing is tried again: here a part that can't be loaded never can.
    let once = json!({"default": {"maxTimeToFirstByteMs": 20_000, "maxLoadTimeMs": 20_000, "timeoutRetry": null, "errorRetry": null}});
    let described = player.load(url, &json!({"startLevel": level, "fragLoadPolicy": once}))?;
    let said = described["seconds"].as_f64().unwrap();
    player.ask(&format!("hls.loadLevel = {level}"))?;
    let ended = player.ask("ended(8)")?;
    let (at, duration) = (ended["at"].as_f64().unwrap(), ended["duration"].as_f64().unwrap());
    let near = |a: f64, b: f64| (a - b).abs() < 0.15;
    if !near(said, film.seconds) || !near(at, said) || !near(duration, said) {
        return Err(format!("{said} s by its playlist, and it ended at {ended}"));
    }
    look(&player.ask("drawn(one.video)")?, film.sizes[level])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ladder_plays_in_a_browser_from_a_nodes_own_urls() {
    let Some(library) = library() else { return };
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let made = node.http.upload_with("/upload?profile=hls", &[], LONG.make()).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let origin = format!("http://{}", node.http_address);
    let url = format!("{origin}{}/master.m3u8", made.header("content-location"));
    tokio::task::block_in_place(|| {
        // A page of the node's own origin, into which the player is put.
        let mut player = Player(Chromium::open(&format!("{origin}/health")));
        player.0.run(&format!("{library};{PLAYER};0")).unwrap();
        // It begins in the largest size, by what it thinks of the line.
        let eager = json!({"startLevel": 2, "abrEwmaDefaultEstimate": 50_000_000, "maxBufferLength": 8, "maxMaxBufferLength": 8});
        let described = player.load(&url, &eager).unwrap();
        assert_eq!(
            (sizes(&described["levels"]), sizes(&described["key_frames"])),
            (LONG.sizes.to_vec(), {
                let mut largest_first = LONG.sizes.to_vec();
                largest_first.reverse();
                largest_first
            })
        );
        assert_eq!(described["sound"][0]["lang"], "de", "{described}");
        let rates: Vec<_> = described["levels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|level| level["bitrate"].as_f64().unwrap())
            .collect();
        assert!(rates.windows(2).all(|pair| pair[1] > 1.3 * pair[0]), "{rates:?}");
        for (level, how) in [
            (0, "currentLevel"),
            (1, "currentLevel"),
            (2, "currentLevel"),
            (1, "nextLevel"),
            (0, "nextLevel"),
            (2, "nextLevel"),
        ] {
            let seen = player
                .ask(&format!("to({level}, '{how}')"))
                .unwrap_or_else(|error| panic!("{how} {level}: {error}"));
            look(&seen, LONG.sizes[level]).unwrap();
        }
        let heard = player.ask("heard()").unwrap();
        assert!((heard["hz"].as_f64().unwrap() - HZ).abs() < 15.0, "{heard}");
        for (seen, size) in player.ask("keyFrames(13)").unwrap().as_array().unwrap().iter().zip(LONG.sizes) {
            look(seen, *size).unwrap();
        }
        // By itself: from the largest size down on a line that becomes slow, and from the smallest one up on a fast one.
        player.load(&url, &eager).unwrap();
        player.ask("play()").unwrap();
        player
            .ask("until('the largest', () => one.switched.at(-1) === 2 && one.video.videoHeight === 720)")
            .unwrap();
        player.0.throttle(rates[0] / 8.0 * 1.6);
        player
            .ask("until('a smaller one', () => one.switched.at(-1) < 2 && one.video.videoHeight < 720, 120)")
            .unwrap();
        player.0.throttle(-1.0);
        player
            .load(&url, &json!({"startLevel": 0, "abrEwmaDefaultEstimate": 100_000, "maxBufferLength": 8}))
            .unwrap();
        player.ask("play()").unwrap();
        player.ask("until('the smallest', () => one.switched[0] === 0)").unwrap();
        player
            .ask("until('a larger one', () => one.switched.at(-1) > 0 && one.video.videoHeight > 360, 120)")
            .unwrap();
        for level in 0..LONG.sizes.len() {
            play_all(&mut player, &LONG, &url, level).unwrap_or_else(|error| panic!("{level}: {error}"));
        }
    });
}

/// A page of another site, and a token in the path that the names in a playlist are relative to.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_ladder_plays_on_a_page_of_another_site() {
    let Some(library) = library() else { return };
    let site = FileServer::start();
    site.put("/", "text/html", PAGE);
    site.put("/hls.js", "text/javascript", library);
    site.put("/player.js", "text/javascript", PLAYER);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    KeyFile::create(&key).unwrap();
    let options = NodeOptions::new("node1", "FRA")
        .arg("--private-results")
        .arg(format!("--key-file={}", key.display()))
        .arg(format!("--allow-origin={}", site.origin));
    let node = Node::start(options);
    let made = node.http.upload_with("/upload?profile=hls", &[], SHORT.make()).await;
    let (path, token) = made.header("content-location").split_once("?token=").unwrap();
    let url = format!("http://{}{path};token={token}/master.m3u8", node.http_address);
    tokio::task::block_in_place(|| {
        let mut player = Player(Chromium::open(&format!("{}/", site.origin)));
        play_all(&mut player, &SHORT, &url, 1).unwrap();
        let strangers = url.replacen(token, &"0".repeat(token.len()), 1);
        assert!(play_all(&mut player, &SHORT, &strangers, 1).unwrap_err().contains("manifestLoadError"));
    });
}

/// What the other tests rely on: a ladder that is wrong does not play.
#[tokio::test(flavor = "multi_thread")]
async fn a_ladder_with_a_fault_does_not_pass() {
    let Some(library) = library() else { return };
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let made = node.http.upload_with("/upload?profile=hls", &[], SHORT.make()).await;
    let site = FileServer::start();
    site.put("/", "text/html", PAGE);
    site.put("/hls.js", "text/javascript", library);
    site.put("/player.js", "text/javascript", PLAYER);
    let files = unpacked(&made.body);
    let text = |name: &str| {
        let (_, bytes) = files.iter().find(|(file, _)| file == name).unwrap();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let playlist = text("v480.m3u8");
    // A number behind a word in the line of the third segment.
    let third = |word: &str| {
        let (at, _) = playlist.match_indices(word).nth(2).unwrap();
        let rest = &playlist[at + word.len()..];
        (at + word.len(), rest.split([',', '@', '\n']).next().unwrap())
    };
    let with = |(at, old): (usize, &str), new: String| {
        format!("{}{new}{}", &playlist[..at], &playlist[at + old.len()..])
    };
    let bytes = third("#EXT-X-BYTERANGE:");
    let cut = with(bytes, (bytes.1.parse::<u64>().unwrap() * 2 / 3).to_string());
    let long = with(third("#EXTINF:"), "9.000000".to_owned());
    let other_codec = text("master.m3u8").replace("avc1.", "av99.");
    tokio::task::block_in_place(|| {
        let mut player = Player(Chromium::open(&format!("{}/", site.origin)));
        let mut play = |fault: &str, changed: &[(&str, &str)]| {
            for (name, bytes) in &files {
                let kind = if name.ends_with("m3u8") { "application/vnd.apple.mpegurl" } else { "video/mp4" };
                let changed = changed.iter().find(|(file, _)| file == name);
                site.put(
                    &format!("/{fault}/{name}"),
                    kind,
                    changed.map_or(&bytes[..], |(_, text)| text.as_bytes()),
                );
            }
            play_all(&mut player, &SHORT, &format!("{}/{fault}/master.m3u8", site.origin), 1)
        };
        play("none", &[]).unwrap();
        for (fault, changed) in [
            ("cut", ("v480.m3u8", &cut)),
            ("long", ("v480.m3u8", &long)),
            ("codec", ("master.m3u8", &other_codec)),
        ] {
            let told = play(fault, &[(changed.0, changed.1.as_str())]).expect_err(fault);
            eprintln!("{fault}: {told}");
        }
        for (name, _) in &files {
            if name == "audio.mp4" {
                let told = play("deaf", &[(name, "no sound")]).expect_err("deaf");
                eprintln!("deaf: {told}");
            }
        }
    });
}
