//! The test of an encoder in hardware: a few pictures of two colours go in, and have to come out of a decoder as they were.

use std::ffi::OsString;
use std::path::Path;

use super::HardwareEncoder;
use super::argv::Args;

/// Pictures that are encoded.
const PICTURES: usize = 12;
/// Left and right half.
const COLOURS: [[u8; 3]; 2] = [[192, 48, 48], [48, 48, 192]];
/// By how much a colour may come out differently.
const OFF_MAX: u8 = 24;
/// A constant rate factor that all codecs know, and a bound on the bit rate in thousands of bits a second.
const QUALITY: u8 = 24;
const KBPS_MAX: u64 = 4_000;

/// ffmpeg's arguments to encode the test's pictures.
pub(crate) fn encode_argv(encoder: HardwareEncoder, output: &Path) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-nostdin", "-hide_banner", "-nostats"]).opt("-v", "error");
    args.opts(encoder.device_options());
    let half = |[r, g, b]: [u8; 3]| format!("color=c=0x{r:02x}{g:02x}{b:02x}:s=320x360:r=25");
    let [left, right] = COLOURS.map(half);
    args.opt("-f", "lavfi").opt("-i", format!("{left}[l];{right}[r];[l][r]hstack"));
    args.opt("-frames:v", PICTURES).opt("-vf", encoder.last_filter());
    args.opt("-c:v", encoder).opts(encoder.options(QUALITY, Some(KBPS_MAX)));
    args.opt("-f", "mp4").path("-y", output);
    args.into_inner()
}

/// ffmpeg's arguments to write both halves of each picture as one pixel each, red, green and blue.
pub(crate) fn decode_argv(input: &Path) -> Vec<OsString> {
    let mut args = Args::default();
    args.flags(&["-nostdin", "-hide_banner", "-nostats"]).opt("-v", "error").path("-i", input);
    args.opt("-vf", "format=rgb24,scale=2:1:flags=area").opt("-f", "rawvideo").flags(&["pipe:1"]);
    args.into_inner()
}

/// Whether those are the pictures that went in; else what is wrong with them.
pub(crate) fn check(pixels: &[u8]) -> Result<(), &'static str> {
    let expected = COLOURS.concat();
    if pixels.len() != PICTURES * expected.len() {
        return Err("another number of pictures comes out of it than went in");
    }
    let alike = |(is, was): (&u8, &u8)| is.abs_diff(*was) <= OFF_MAX;
    if pixels.chunks(expected.len()).all(|picture| picture.iter().zip(&expected).all(alike)) {
        Ok(())
    } else {
        Err("its pictures have other colours than went in")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_are_too_few_or_of_other_colours_do_not_pass() {
        let right: Vec<u8> = COLOURS.concat().repeat(PICTURES);
        assert_eq!(check(&right), Ok(()));
        let near: Vec<u8> = right.iter().map(|byte| byte + 20).collect();
        assert_eq!(check(&near), Ok(()));
        assert!(check(&right[6..]).is_err() && check(&[]).is_err());
        let mut green = right;
        green[31] = 255;
        assert!(check(&green).is_err());
    }
}
