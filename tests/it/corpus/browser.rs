//! What a browser shows: plays results in headless Chromium and reads the colours that it draws.

use std::sync::Arc;

use bytes::Bytes;

use super::inputs::{self, PATCHES};
use super::{deadline_ms, send};
use crate::support::{Chromium, FileServer, Node, NodeOptions, skipped};

/// Farthest that a colour may be, in each of red, green and blue.
const TOLERANCE: u8 = 6;
/// Inputs that Chromium is shown results of.
const SHOWN: [&str; 8] = [
    "h264-709.mp4",
    "h264-601.mp4",
    "untagged-hd.mp4",
    "full-range.mp4",
    "vp8-full.webm",
    "rgb-qtrle.mov",
    "mjpeg.avi",
    "anim.apng",
];

/// Goes to a fifth of a video's first second, and gives the median colours around the quarters' centres: always of one picture, and of
/// many points of it, since what an encoder makes of a plane is a little other from picture to picture and from point to point.
const PAGE: &str = r#"<!doctype html><video id="v" muted playsinline preload="auto"></video><script>
const v = document.getElementById('v');
const SIDE = 16;
function show(index) {
  return new Promise((resolve) => {
    v.onerror = () => resolve('error ' + v.error.message);
    v.onloadeddata = () => {
      if (v.videoWidth) v.currentTime = Math.min(0.2, v.duration / 2); else resolve('error: no pictures');
    };
    v.onseeked = () => {
      const c = document.createElement('canvas');
      c.width = v.videoWidth; c.height = v.videoHeight;
      const x = c.getContext('2d');
      x.drawImage(v, 0, 0);
      const at = (a, b) => {
        const points = x.getImageData(a * c.width - SIDE / 2 | 0, b * c.height - SIDE / 2 | 0, SIDE, SIDE).data;
        const median = (part) => points.filter((_, i) => i % 4 === part).sort()[SIDE * SIDE / 2];
        return [0, 1, 2].map(median).join(',');
      };
      resolve([at(.25, .25), at(.75, .25), at(.25, .75), at(.75, .75)].join(' '));
    };
    v.src = '/video/' + index;
  });
}
</script>"#;

/// The colours that Chromium draws of each video, or what it says of it.
fn colours(videos: &[(&str, Vec<u8>)]) -> Vec<Result<[[u8; 3]; 4], String>> {
    let site = FileServer::start();
    site.put("/", "text/html", PAGE);
    for (index, (media_type, bytes)) in videos.iter().enumerate() {
        site.put(&format!("/video/{index}"), media_type, bytes.clone());
    }
    let mut browser = Chromium::open(&format!("{}/", site.origin));
    let shown = (0..videos.len()).map(|index| browser.run(&format!("show({index})")));
    shown.map(|shown| parse(shown?.as_str().unwrap())).collect()
}

fn parse(told: &str) -> Result<[[u8; 3]; 4], String> {
    let mut patches = [[0; 3]; 4];
    let words: Vec<_> = told.split(' ').collect();
    if words.len() != patches.len() || told.starts_with("error") {
        return Err(told.to_owned());
    }
    for (patch, word) in patches.iter_mut().zip(words) {
        for (value, text) in patch.iter_mut().zip(word.split(',')) {
            *value = text.parse().map_err(|_| told.to_owned())?;
        }
    }
    Ok(patches)
}

/// The farthest of all colours.
fn distance(shown: &[[u8; 3]; 4], want: &[[u8; 3]; 4]) -> u8 {
    shown.iter().flatten().zip(want.iter().flatten()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Colours with the error that Chromium makes where it shows `plainest` for the patches.
fn shifted(colours: &[[u8; 3]; 4], plainest: &[[u8; 3]; 4]) -> [[u8; 3]; 4] {
    let mut shifted = *colours;
    let errors = plainest.iter().flatten().zip(PATCHES.iter().flatten());
    for (value, (shown, patch)) in shifted.iter_mut().flatten().zip(errors) {
        *value = (i16::from(*value) + i16::from(*shown) - i16::from(*patch)).clamp(0, 255) as u8;
    }
    shifted
}

/// What decoders of our own say is what people see. Chromium itself shows pictures of limited range up to 8 levels too dark in blue:
/// a result may also look as its source does there, but for what Chromium makes of the plainest source, which is of limited range.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_colours_that_the_inputs_had() {
    if !Chromium::is_installed() {
        skipped("chromium is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let all = inputs::all().into_iter().filter(|input| SHOWN.contains(&input.name.as_str()));
    let inputs: Vec<_> = all.map(Arc::new).collect();
    assert_eq!(inputs.len(), SHOWN.len());
    let files = tokio::task::block_in_place(|| inputs::make(&inputs, folder.path()));
    let node = Node::start(NodeOptions::new("browser", "z"));
    let (mut told, mut videos) = (Vec::new(), Vec::new());
    for (input, file) in inputs.iter().zip(files) {
        let source = std::fs::read(file).unwrap();
        for (profile, media_type) in [("360p", "video/mp4"), ("webm", "video/webm")] {
            let answer =
                send(&node.http, (profile, &input.name), deadline_ms(false), Bytes::from(source.clone()))
                    .await;
            assert_eq!(answer.status, 200, "{} {profile}: {answer:?}", input.name);
            videos.push((media_type, answer.body.to_vec()));
            told.push(profile);
        }
        videos.push((if input.name.ends_with("webm") { "video/webm" } else { "video/mp4" }, source));
    }
    let shown = tokio::task::block_in_place(|| colours(&videos));
    let plainest = inputs.iter().position(|input| input.name == SHOWN[0]).unwrap();
    let plainest = shown[3 * plainest + 2].clone().expect("Chromium plays H.264");
    for (input, shown) in inputs.iter().zip(shown.chunks(3)) {
        let [results @ .., source] = shown else { unreachable!("there are three of each") };
        for (profile, result) in told.iter().zip(results) {
            let result = result.as_ref().unwrap_or_else(|error| panic!("{} {profile}: {error}", input.name));
            let looks = source.as_ref().unwrap_or(&PATCHES);
            let near = distance(result, &PATCHES) <= TOLERANCE
                || distance(result, &shifted(looks, &plainest)) <= TOLERANCE;
            assert!(
                near,
                "{} {profile}: {result:?} for {PATCHES:?}, of the source {source:?}, of the plainest {plainest:?}",
                input.name
            );
        }
    }
}
