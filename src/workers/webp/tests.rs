use std::io::Cursor;

use image_webp::{ColorType, WebPEncoder};
use proptest::prelude::*;

use super::*;

const RED: [u8; 4] = [200, 30, 30, 255];
const BLUE: [u8; 4] = [40, 60, 200, 255];
const NOTHING: [u8; 4] = [0, 0, 0, 0];
const HALF_BLACK: [u8; 4] = [0, 0, 0, 128];
const GOES: u8 = 1;
const REPLACES: u8 = 2;

/// A frame of one colour: place and size in pixels, milliseconds, flags.
type Of<'a> = ([u8; 4], [u32; 4], u32, u8);

fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
    [name, &(content.len() as u32).to_le_bytes(), content, &[0][..content.len() % 2]].concat()
}

fn three(number: u32) -> Vec<u8> {
    number.to_le_bytes()[..3].to_vec()
}

fn frame((color, [x, y, width, height], ms, flags): Of<'_>) -> Vec<u8> {
    let pixels = color.repeat((width * height) as usize);
    let mut still = Vec::new();
    WebPEncoder::new(&mut still).encode(&pixels, width, height, ColorType::Rgba8).unwrap();
    let head =
        [three(x / 2), three(y / 2), three(width - 1), three(height - 1), three(ms), vec![flags]].concat();
    chunk(b"ANMF", &[&head[..], &still[12..]].concat())
}

fn animation(width: u32, height: u32, frames: &[Of<'_>]) -> Vec<u8> {
    let head = [vec![0x12, 0, 0, 0], three(width - 1), three(height - 1)].concat();
    let mut content = [&b"WEBP"[..], &chunk(b"VP8X", &head), &chunk(b"ANIM", &[0; 6])].concat();
    content.extend(frames.iter().flat_map(|of| frame(*of)));
    content.extend(chunk(b"XMP ", b"odd"));
    chunk(b"RIFF", &content)
}

fn described(bytes: &[u8]) -> info::Description {
    let mut out = Vec::new();
    describe(Cursor::new(bytes), bytes.len() as u64, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// Time, length and pixels of each picture, and what was said.
fn pictures(bytes: &[u8]) -> (Vec<(u64, u32, Vec<u8>)>, String) {
    let (mut out, mut said) = (Vec::new(), Vec::new());
    decode(Cursor::new(bytes), bytes.len() as u64, &mut out, &mut said).unwrap();
    let mut pictures = Vec::new();
    while let Some(at) = memchr::memmem::find(&out, &[0x1f, 0x43, 0xb6, 0x75]) {
        // The cluster's head, its time, the group's head, the duration, the block's head.
        let cluster = &out[at + 12..];
        let number = |at: usize| u64::from_be_bytes(cluster[at..at + 8].try_into().unwrap());
        let (time, ms) = (number(9), u32::from_be_bytes(cluster[35..39].try_into().unwrap()));
        let bytes = (number(40) & !(1 << 56)) as usize - 4;
        pictures.push((time, ms, cluster[52..52 + bytes].to_vec()));
        out.drain(..at + 12 + 52 + bytes);
    }
    (pictures, String::from_utf8(said).unwrap())
}

#[test]
fn frames_are_shown_for_as_long_as_they_say() {
    let all = [0, 0, 4, 2];
    let file =
        animation(4, 2, &[(RED, all, 40, 0), (BLUE, all, 70, 0), (RED, all, 0, 0), (BLUE, all, 11, 0)]);
    let said = described(&file);
    // One that is made for the fastest decoder there is lasts as long as browsers show it.
    assert_eq!((said.frames, said.ms, said.each_ms), (4, 40 + 70 + 100 + 11, None));
    assert_eq!((said.width, said.height), (4, 2));
    let (pictures, words) = pictures(&file);
    let times: Vec<_> = pictures.iter().map(|(at, ms, _)| (*at, *ms)).collect();
    assert_eq!(times, [(0, 40), (40, 70), (110, 100), (210, 11)]);
    assert_eq!(pictures[0].2, RED[..3].repeat(8));
    assert_eq!(pictures[3].2, BLUE[..3].repeat(8));
    assert_eq!(words, format!("{DONE}\n"));
    let even = described(&animation(4, 2, &[(RED, all, 40, 0), (BLUE, all, 40, 0)]));
    let info = info::read(&serde_json::to_vec(&even).unwrap()).unwrap().unwrap();
    assert_eq!(info.video.unwrap().constant_rate, crate::content::Ratio::new(25, 1));
}

#[test]
fn frames_are_drawn_on_what_is_left_of_those_before() {
    let all = [0, 0, 4, 2];
    let (left, right) = ([0, 0, 2, 2], [2, 0, 2, 2]);
    let file = animation(
        4,
        2,
        &[
            (RED, all, 100, 0),
            // Through nothing, what was there is seen; in its place, the page.
            (NOTHING, left, 100, 0),
            (NOTHING, left, 100, REPLACES),
            (BLUE, right, 100, GOES),
            (HALF_BLACK, left, 100, 0),
        ],
    );
    let white = [255, 255, 255];
    let halves = |left: &[u8], right: &[u8]| [left, left, right, right].concat().repeat(2);
    let (pictures, _) = pictures(&file);
    let got: Vec<_> = pictures.into_iter().map(|(_, _, pixels)| pixels).collect();
    assert_eq!(
        got,
        [
            halves(&RED[..3], &RED[..3]),
            halves(&RED[..3], &RED[..3]),
            halves(&white, &RED[..3]),
            halves(&white, &BLUE[..3]),
            halves(&[127; 3], &white),
        ]
    );
}

#[test]
fn a_frame_that_is_lost_costs_no_other() {
    let all = [0, 0, 4, 2];
    let file = animation(4, 2, &[(RED, all, 40, 0), (BLUE, all, 40, 0), (RED, all, 40, 0)]);
    let mut broken = file.clone();
    let second = memchr::memmem::find_iter(&file, b"ANMF").nth(1).unwrap();
    broken[second + 32] ^= 0xff;
    let (found, words) = pictures(&broken);
    assert_eq!((found.len(), &found[1].2), (3, &found[0].2));
    assert!(words.starts_with("Error while decoding stream") && words.ends_with("webp: done\n"), "{words}");
    // A frame outside of the canvas, and a file that is cut off.
    let (found, words) = pictures(&animation(4, 2, &[(RED, all, 40, 0), (BLUE, [2, 0, 4, 2], 40, 0)]));
    assert!(found.len() == 2 && words.starts_with("Error while decoding stream"), "{words}");
    let third = memchr::memmem::find_iter(&file, b"ANMF").nth(2).unwrap();
    let (found, words) = pictures(&file[..third + 20]);
    assert_eq!((found.len(), words.as_str()), (2, "File ended prematurely\nwebp: done\n"));
    assert!(crate::media::Said::of(&words).complaints(None).cut);
}

#[test]
fn what_has_no_moving_pictures_is_told() {
    let mut still = Vec::new();
    WebPEncoder::new(&mut still).encode(&RED.repeat(4), 2, 2, ColorType::Rgba8).unwrap();
    still.resize(64, 0);
    let said = described(&still);
    assert_eq!(said, info::Description::still());
    assert_eq!(info::read(&serde_json::to_vec(&said).unwrap()).unwrap(), None);
    let mut only = animation(4, 2, &[(RED, [0, 0, 4, 2], 40, 0)]);
    let at = memchr::memmem::find(&only, b"VP8L").unwrap();
    only[at..at + 4].copy_from_slice(b"VP9?");
    let mut said = Vec::new();
    let error = decode(Cursor::new(&only), only.len() as u64, Vec::new(), &mut said).unwrap_err();
    assert_eq!(error.to_string(), "no picture of it can be decoded");
    for bad in [&b"RIFF"[..], b"", &[0; 64]] {
        assert!(describe(Cursor::new(bad), bad.len() as u64, Vec::new()).is_err());
    }
}

proptest! {
    #[test]
    fn any_change_of_a_file_is_borne(at in 0usize..400, to: u8, cut in 0usize..400) {
        let all = [0, 0, 4, 2];
        let mut file = animation(4, 2, &[(RED, all, 40, 0), (HALF_BLACK, [2, 0, 2, 2], 40, GOES), (BLUE, all, 40, 0)]);
        let at = at % file.len();
        file[at] = to;
        file.truncate(file.len().saturating_sub(cut).max(1));
        // A canvas as large as the format allows is the worker's to refuse, by what the description says.
        let length = file.len() as u64;
        let mut out = Vec::new();
        if describe(Cursor::new(&file), length, &mut out).is_ok() {
            let said: info::Description = serde_json::from_slice(&out).unwrap();
            prop_assert!(said.frames <= 3);
            if u64::from(said.width) * u64::from(said.height) < 10_000 {
                drop(decode(Cursor::new(&file), length, Vec::new(), &mut Vec::new()));
            }
        }
    }
}
