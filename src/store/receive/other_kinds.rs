//! What a file is that is no video, by its first bytes: so that a refusal says what was sent in place of one.

/// First bytes, from where on, and what they mean for the person who sent them.
const KINDS: [(usize, &[u8], &str); 29] = [
    (0, b"#EXTM3U", PLAYLIST),
    (0, b"<MPD", PLAYLIST),
    (0, b"ffconcat", PLAYLIST),
    (0, b"v=0", PLAYLIST),
    (0, b"\xff\xd8\xff", PICTURE),
    (0, b"\x89PNG", PICTURE),
    (0, b"BM", PICTURE),
    (0, b"II*\0", PICTURE),
    (0, b"MM\0*", PICTURE),
    (0, b"8BPS", PICTURE),
    (0, b"PK\x03\x04", ARCHIVE),
    (0, b"Rar!", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (0, b"\x1f\x8b", ARCHIVE),
    (0, b"\xfd7zXZ", ARCHIVE),
    (0, b"BZh", ARCHIVE),
    (257, b"ustar", ARCHIVE),
    (
        32_769,
        b"CD001",
        "it is the image of a disc: send the videos that are on it (of a DVD, the .vob files)",
    ),
    (0, b"%PDF", "it is a document (PDF): send the video"),
    (0, b"d8:announce", "it is a torrent, which only says where a video is: send the video"),
    (0, b"MZ", PROGRAM),
    (0, b"\x7fELF", PROGRAM),
    (0, b".RMF", "it is RealMedia, which is not taken: convert it to MP4 with H.264 and AAC first"),
    (0, b"\0\0\0\x01\x67", RAW),
    (0, b"\0\0\0\x01\x40", RAW),
    (0, b"\x0b\x77", SOUND),
    (0, b"FORM", SOUND),
    (0, b"#!AMR", SOUND),
    (0, b"caff", SOUND),
];

const PLAYLIST: &str = "it is a playlist, which only says where the pieces of a video are: send the video";
const PICTURE: &str = "it is a picture that does not move, and not a video: send the video";
const ARCHIVE: &str = "it is an archive: unpack it, and send the videos that are in it";
const PROGRAM: &str = "it is a program, and not a video: send the video";
const RAW: &str = "it is a bare H.264 or H.265 stream without times: put it into an MP4 first, as by ffmpeg -i FILE -c copy OUT.mp4";
const SOUND: &str = "it is sound of a kind that is not taken (AC-3, AIFF, AMR, CAF): convert it to MP3, AAC, FLAC or WAV first";
const PAGE: &str =
    "it is a web page, and not the video that is shown on one: save the video itself, and send that";
const TEXT: &str = "it is a text, and not a video: send the video";
const ZEROS: &str = "it begins with nothing but zeros: it was not downloaded, or not copied, to its end; get it once more, and send that";

/// With fewer zeros than these a file may yet be anything.
const ZEROS_MIN: usize = 1024;

/// What to say of a file that begins so, where that is known.
pub(super) fn looks_like(head: &[u8]) -> Option<&'static str> {
    let plain = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let kind = KINDS.iter().find(|(at, magic, _)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(magic)) || (*at == 0 && plain.starts_with(magic))
    });
    if let Some((.., told)) = kind {
        return Some(told);
    }
    if head.len() >= ZEROS_MIN && head.iter().all(|byte| *byte == 0) {
        return Some(ZEROS);
    }
    let begin = plain.get(..512.min(plain.len())).unwrap_or_default().to_ascii_lowercase();
    if begin.starts_with(b"<!doctype html") || memchr::memmem::find(&begin, b"<html").is_some() {
        return Some(PAGE);
    }
    if memchr::memmem::find(&begin, b"<mpd").is_some() {
        return Some(PLAYLIST);
    }
    let text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 0x80;
    let first = &head[..head.len().min(256)];
    (std::str::from_utf8(first).map_or_else(|error| error.valid_up_to() + 4 > first.len(), |_| true)
        && !first.is_empty()
        && first.iter().all(text))
    .then_some(TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_place_of_a_video_is_named() {
        let zeros = vec![0; 2000];
        for (head, words) in [
            (&b"\xff\xd8\xff\xe0\0\x10JFIF"[..], "picture"),
            (b"PK\x03\x04\x14", "archive"),
            (b"\xef\xbb\xbf\n#EXTM3U\n", "playlist"),
            (b"<?xml version=\"1.0\"?>\n<MPD>", "playlist"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"{\"error\": \"not found\"}", "text"),
            ("Ünïcode text".as_bytes(), "text"),
            (&zeros, "zeros"),
            (b"MZ\x90\0", "program"),
        ] {
            let told = looks_like(head).unwrap_or_else(|| panic!("{words}"));
            assert!(told.contains(words), "{told}");
        }
        for unknown in [&b""[..], b"\x01\x02\x03", &[0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa]] {
            assert_eq!(looks_like(unknown), None, "{unknown:?}");
        }
    }
}
