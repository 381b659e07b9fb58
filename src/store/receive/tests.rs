use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use proptest::prelude::*;

use super::*;
use crate::content::{ClientTag, ContentId};
use crate::store::DataDir;
use crate::store::testing::mp4;

struct Rig {
    dir: DataDir,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    Rig { dir: DataDir::open(folder.path().join("data")).unwrap(), _folder: folder }
}

impl Rig {
    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.tmp()).unwrap().count()
    }

    /// Deletion runs on a thread of its own; it comes by itself.
    async fn until_empty(&self) {
        for _ in 0..2000 {
            if self.files() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} files are left behind", self.files());
    }
}

fn limits() -> Limits {
    Limits::default()
}

/// A body in frames, one after another, then the end.
fn frames<E: Send + 'static>(
    frames: Vec<Result<Vec<u8>, E>>,
) -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, E>>> {
    StreamBody::new(futures_util::stream::iter(
        frames.into_iter().map(|frame| frame.map(|bytes| Frame::data(Bytes::from(bytes)))),
    ))
}

/// A body that never says anything more.
struct Silent(Option<Bytes>);

impl hyper::body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

#[tokio::test]
async fn an_upload_lies_on_disk_as_it_came_under_its_sha256() {
    let rig = rig();
    for bytes in [24, 1000, 70_000, 5_000_000] {
        let body = mp4(bytes);
        let upload = receive(Full::new(Bytes::from(body.clone())), &rig.dir, &limits()).await.unwrap();
        assert_eq!((upload.content, upload.bytes), (ContentId::of(&body), bytes as u64));
        assert_eq!(upload.container, Container::Mp4);
        assert!(body.starts_with(&upload.head));
        assert!(std::fs::read(&upload.file).unwrap() == body);
        drop(upload);
        rig.until_empty().await;
    }
}

#[tokio::test]
async fn many_uploads_at_once_keep_apart() {
    let rig = rig();
    let uploads = (0..40).map(|index| {
        let body = mp4(600_000 + index * 1009);
        let chunks = body.chunks(1 + index * 733).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();
        let dir = rig.dir.clone();
        async move {
            let upload = receive(frames(chunks), &dir, &limits()).await.unwrap();
            assert_eq!(upload.content, ContentId::of(&body));
            assert!(std::fs::read(&upload.file).unwrap() == body);
        }
    });
    futures_util::future::join_all(uploads).await;
    rig.until_empty().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_and_leaves_nothing() {
    let rig = rig();
    let small = Limits { bytes_max: 1000, ..limits() };
    let refused = |body: Vec<u8>, limits: Limits| {
        let dir = rig.dir.clone();
        async move { receive(frames(vec![Ok::<_, Infallible>(body)]), &dir, &limits).await.unwrap_err() }
    };
    assert!(matches!(refused(vec![], limits()).await, IngestError::Empty));
    assert!(matches!(refused(mp4(1001), small.clone()).await, IngestError::TooLarge { max: 1000 }));
    assert!(matches!(refused(b"#EXTM3U\n".to_vec(), limits()).await, IngestError::NotVideo(_)));
    assert!(matches!(refused(vec![0x1a], limits()).await, IngestError::NotVideo(_)));
    let announced = Limits { announced: Some(ContentId([7; 32])), ..limits() };
    assert!(matches!(refused(mp4(100_000), announced).await, IngestError::DigestMismatch { .. }));
    // Announced as too long, so not a byte is read.
    let announced_length = receive(Full::new(Bytes::from(mp4(1001))), &rig.dir, &small).await;
    assert!(matches!(announced_length, Err(IngestError::TooLarge { max: 1000 })));
    rig.until_empty().await;
}

#[tokio::test]
async fn a_text_is_refused_before_all_of_it_came() {
    let rig = rig();
    let body = Silent(Some(Bytes::from("ffconcat version 1.0\nfile /etc/passwd\n".repeat(100))));
    let error = receive(body, &rig.dir, &limits()).await.unwrap_err();
    assert!(matches!(error, IngestError::NotVideo(_)), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let rig = rig();
    let broken = frames(vec![Ok(mp4(3_000_000)), Err("connection reset")]);
    let error = receive(broken, &rig.dir, &limits()).await.unwrap_err();
    assert_eq!(error.to_string(), "the upload broke off: connection reset");
    rig.until_empty().await;
}

#[tokio::test]
async fn a_receiver_that_is_dropped_leaves_nothing() {
    let rig = rig();
    let body = Silent(Some(Bytes::from(mp4(3_000_000))));
    let dir = rig.dir.clone();
    let task = tokio::spawn(async move { receive(body, &dir, &limits()).await });
    while rig.files() == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    rig.until_empty().await;
}

#[tokio::test]
async fn an_upload_has_its_room_until_its_file_is_gone() {
    let rig = rig();
    let budget = Budget::new(10_000, PerClient::AsMuchAsIsLeft);
    let of = |client| Limits { share: Some(budget.share_of(ClientTag(client))), ..limits() };
    let upload = receive(Full::new(Bytes::from(mp4(4_000))), &rig.dir, &of(1)).await.unwrap();
    assert_eq!(budget.used_bytes(), 4_000);
    // Announced: refused before a byte is taken. Not announced: as soon as it is too much. Neither leaves anything.
    let announced = receive(Full::new(Bytes::from(mp4(2_000))), &rig.dir, &of(1)).await.unwrap_err();
    assert!(matches!(announced, IngestError::NoRoom(NoRoom::OfClient)), "{announced}");
    let chunks = |pieces| frames((0..pieces).map(|_| Ok::<_, Infallible>(mp4(100))).collect());
    let grown = receive(chunks(20), &rig.dir, &of(1)).await.unwrap_err();
    assert!(matches!(grown, IngestError::NoRoom(NoRoom::OfClient)), "{grown}");
    let others = receive(chunks(20), &rig.dir, &of(2)).await.unwrap();
    assert_eq!((others.bytes, budget.used_bytes()), (2_000, 6_000));
    let all = receive(chunks(40), &rig.dir, &of(3)).await.unwrap_err();
    assert!(matches!(all, IngestError::NoRoom(NoRoom::OfAll)), "{all}");
    let ever = receive(Full::new(Bytes::from(mp4(6_000))), &rig.dir, &of(2)).await.unwrap_err();
    assert!(matches!(ever, IngestError::NoRoom(NoRoom::Ever { .. })), "{ever}");
    drop((upload, others));
    rig.until_empty().await;
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn much_at_once_buys_no_hour_of_next_to_nothing() {
    let rig = rig();
    let first = Bytes::from(mp4(4 << 20));
    let drip = futures_util::stream::unfold(0, |at| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"\0"))), at + 1))
    });
    let first = futures_util::stream::iter([Ok(Frame::data(first))]);
    let body = futures_util::StreamExt::chain(first, drip);
    let begun = tokio::time::Instant::now();
    let error = receive(StreamBody::new(Box::pin(body)), &rig.dir, &limits()).await.unwrap_err();
    assert!(error.to_string().contains("next to nothing came in"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    rig.until_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_is_given_up() {
    let rig = rig();
    let idle = Limits { idle_max: Duration::from_secs(3), ..limits() };
    let error = receive(Silent(Some(Bytes::from(mp4(100)))), &rig.dir, &idle).await.unwrap_err();
    assert_eq!(error.to_string(), "the upload was too slow: nothing came for 3s");
    // One byte a second never idles, and is given up all the same.
    let trickle = || {
        Box::pin(futures_util::stream::unfold(0usize, |at| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![mp4(200)[at.min(199)]]))), at + 1))
        }))
    };
    let error = receive(StreamBody::new(trickle()), &rig.dir, &limits()).await.unwrap_err();
    assert!(error.to_string().starts_with("the upload was too slow: next to nothing came in 1"), "{error}");
    let patient = Limits { total_max: Duration::from_secs(20), bytes_per_s_min: 0, ..limits() };
    let error = receive(StreamBody::new(trickle()), &rig.dir, &patient).await.unwrap_err();
    assert_eq!(error.to_string(), "the upload was too slow: all of it has to come within 20s");
}

#[tokio::test]
async fn a_result_may_be_as_big_as_those_that_are_made_here() {
    struct Claims(u64);
    impl hyper::body::Body for Claims {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(Some(Err("it breaks off")))
        }

        fn size_hint(&self) -> hyper::body::SizeHint {
            hyper::body::SizeHint::with_exact(self.0)
        }
    }
    let rig = rig();
    let made_here = crate::content::MediaLimits::default().output_bytes_max;
    let limits = Limits::of_result(ContentId::of(b""));
    let refused = receive_result(Claims(made_here), &rig.dir, &limits).await.unwrap_err();
    assert!(matches!(refused, IngestError::Body(_)), "{refused}");
    let refused = receive_result(Claims(made_here + 1), &rig.dir, &limits).await.unwrap_err();
    assert!(matches!(refused, IngestError::TooLarge { .. }), "{refused}");
}

#[tokio::test]
async fn a_full_disk_is_called_so() {
    // A device that is always full takes the place of the file.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut sink = super::batch::Sink::new(full, rig().dir);
    sink.push(vec![Bytes::from(mp4(100_000))]).await.unwrap();
    let error = sink.finish(vec![Bytes::from_static(b"more")]).await.unwrap_err();
    assert!(matches!(IngestError::from(error), IngestError::DiskFull));
}

#[test]
fn containers_are_told_by_their_first_bytes() {
    let packet = |size: usize, at: usize| {
        let mut stream = vec![0u8; size * 6];
        stream.iter_mut().skip(at).step_by(size).for_each(|byte| *byte = 0x47);
        stream
    };
    // As a recorder's disk gives it: from the middle of a packet on, or behind what is left of another file.
    let cut = |size: usize| [b"\xff\x00".repeat(20), packet(size, 0)].concat();
    let far = [vec![1; 60_000], packet(188, 0)].concat();
    let dv: Vec<u8> = [[0x1f, 0x07, 0, 0x3f], [0x3f, 0x07, 0, 0], [0x3f, 0x07, 0, 0]]
        .into_iter()
        .flat_map(|head| [&head[..], &[0xff; 76]].concat())
        .collect();
    let cases: [(&[u8], Container); 22] = [
        (&mp4(64), Container::Mp4),
        (b"\0\0\0\x08wide\0\0\0\0mdat", Container::Mp4),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81", Container::Matroska),
        (b"RIFF\0\0\0\0AVI LIST", Container::Avi),
        (b"RIFF\0\0\0\0WAVEfmt ", Container::Wav),
        (b"RIFF\0\0\0\0WEBPVP8X", Container::Webp),
        (b"FLV\x01\x05\0\0\0\x09", Container::Flv),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", Container::Asf),
        (b"OggS\0\x02", Container::Ogg),
        (b"fLaC\0\0\0\x22", Container::Flac),
        (b"\0\0\x01\xba\x44\0", Container::MpegPs),
        (&packet(188, 0), Container::MpegTs),
        (&packet(192, 4), Container::MpegTs),
        (&packet(204, 0), Container::MpegTs),
        (&cut(188), Container::MpegTs),
        (&cut(204), Container::MpegTs),
        (&far, Container::MpegTs),
        (b"GIF89a\x01\0", Container::Gif),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.................\0\0\0\x08acTL........", Container::Apng),
        (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\0", Container::Mxf),
        (&dv, Container::Dv),
        (b"ID3\x04\0\0\0\0\0\0", Container::MpegAudio),
    ];
    for (head, expected) in cases {
        assert_eq!(sniff(head), Ok(expected));
    }
    // What is taken is what is said to be taken.
    let taken: std::collections::HashSet<_> = cases.iter().map(|(_, container)| *container).collect();
    assert_eq!(taken, Container::ALL.into_iter().collect());
    let told = sniff(b"\x01\x02\x03").unwrap_err().to_string();
    for container in taken {
        assert!(told.contains(container.told()), "{container:?}: {told}");
    }
    assert!(told.contains("WAV, FLAC and MPEG audio (MP3, AAC) are taken"), "{told}");
    let refused: [&[u8]; 15] = [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.................\0\0\0\x08IDAT....acTL....",
        b"<!--free--><MPD></MPD>",
        b"<!--ftyp--><MPD></MPD>",
        b"",
        b"\0",
        b"GGGGGGGGGGGGGGGGGGGG",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"<?xml version=\"1.0\"?><MPD></MPD>",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        b"\x89PNG\r\n\x1a\n",
        b"\x7fELF\x02\x01\x01",
        b"PK\x03\x04",
        b"\xff\xff\xff\xff\xff\xff",
    ];
    for head in refused {
        assert!(sniff(head).is_err(), "{:?}", String::from_utf8_lossy(head));
    }
}

#[tokio::test]
async fn a_stream_that_was_cut_is_taken_whatever_way_it_comes_and_garbage_is_refused_in_bounds() {
    let mut stream = vec![0u8; 188 * 6];
    stream.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
    let rig = rig();
    let chunks = |body: &[u8], size: usize| -> Vec<Result<Vec<u8>, Infallible>> {
        body.chunks(size).map(|chunk| Ok(chunk.to_vec())).collect()
    };
    for (before, size) in [(60_000, 7), (60_000, 1 << 20), (0, 50), (100, 188)] {
        let body = [vec![1; before], stream.clone()].concat();
        let upload = receive(frames(chunks(&body, size)), &rig.dir, &limits()).await.unwrap();
        assert_eq!(
            (upload.container, upload.bytes),
            (Container::MpegTs, body.len() as u64),
            "{before} {size}"
        );
    }
    let refused = receive(frames(chunks(&vec![1; 200_000], 1000)), &rig.dir, &limits()).await;
    assert!(matches!(refused, Err(IngestError::NotVideo(_))), "{refused:?}");
}

#[test]
fn a_text_that_names_other_files_is_refused_whatever_comes_behind() {
    for begin in [
        "#EXTM3U\n",
        "\u{feff}#EXTM3U\n",
        "ffconcat version 1.0",
        "\n<?xml",
        "<MPD",
        "<!--free-->",
        "v=0\r\n",
    ] {
        let head = [begin.as_bytes(), &[0], &[0x47; 2000]].concat();
        assert!(sniff(&head).is_err(), "{begin:?}");
    }
    assert_eq!(
        sniff(&[&[1, 0][..], &[0x47; 2000]].concat()),
        Ok(Container::MpegTs),
        "it is the begin that counts"
    );
}

proptest! {
    #[test]
    fn a_text_is_never_taken_for_a_video(text in "[a-fh-z<>#=\\n]{0,1200}") {
        prop_assert!(sniff(text.as_bytes()).is_err());
    }

    #[test]
    fn any_first_bytes_are_borne(head in prop::collection::vec(any::<u8>(), 0..1200)) {
        // Only what starts as the formats do is taken.
        let starts = [0, 0x1a, b'R', b'F', 0x30, b'O', b'f', 0x47, b'I', 0xff, 0x89, 0x06, 0x1f];
        if let (Ok(container), Some(first)) = (sniff(&head), head.first()) {
            let boxed = matches!(container, Container::Mp4 | Container::MpegTs);
            prop_assert!(boxed || starts.contains(first), "{container:?} {first}");
        }
    }

    #[test]
    fn the_way_a_body_is_cut_does_not_matter(cuts in prop::collection::vec(1usize..40_000, 0..30), bytes in 24usize..300_000) {
        let body = mp4(bytes);
        let mut rest = body.as_slice();
        let mut chunks = Vec::new();
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            chunks.push(Ok::<_, Infallible>(now.to_vec()));
            rest = later;
        }
        chunks.push(Ok(rest.to_vec()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let content = runtime.block_on(async {
            let rig = rig();
            receive(frames(chunks), &rig.dir, &limits()).await.unwrap().content
        });
        prop_assert_eq!(content, ContentId::of(&body));
    }
}
