//! Contact sheets and moving previews, measured from the outside.

use super::super::*;
use super::*;
use crate::store::Received;
use crate::store::files::{FileName, Index, pack};

/// Grey that grows by eight steps each quarter of a second, from 40 on.
const STAIRS: &str = "geq=lum='40+8*floor(4*T+0.001)':cb=128:cr=128";

fn stairs(size: &str, seconds: f64) -> String {
    format!(
        "-f lavfi -i color=size={size}:rate=24:duration={seconds} -vf {STAIRS},format=yuv420p -c:v libx264 -crf 1 -preset ultrafast"
    )
}

async fn made(rig: &Rig, name: &str, job: Job) -> Transcoded {
    // Many runs take long where a machine has much else to do.
    let limit = Instant::now() + Duration::from_secs(600);
    let job = Job { profile: profile(name), deadline: limit, limit, ..job };
    rig.pool.submit(job).unwrap().wait().await.unwrap()
}

/// The files of a set, by name.
fn unpacked(rig: &Rig, result: &Verified) -> Vec<(String, PathBuf)> {
    let set = std::fs::File::open(result.path()).unwrap();
    let index = Index::read(&set).unwrap();
    let files = index.entries().iter().map(|entry| {
        let path = rig.folder.path().join(entry.name.as_str());
        std::fs::write(&path, entry.read(&set).unwrap()).unwrap();
        (entry.name.to_string(), path)
    });
    files.collect()
}

/// The samples of one picture of a file in 8 bits of grey, full range.
fn grey(path: &Path, filter: &str) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args([
            "-vf",
            &format!("{filter},scale=out_range=pc,format=gray"),
            "-frames:v",
            "1",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Luma of limited range as it is in full range.
fn full(limited: f64) -> f64 {
    (limited - 16.0) * 255.0 / 219.0
}

/// The tiles of a list: from when, until when, in seconds; sheet; x, y, width, height.
fn cues(vtt: &str) -> Vec<(f64, f64, String, [u32; 4])> {
    let seconds =
        |time: &str| time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    let read = |block: &str| {
        let (times, picture) = block.trim().split_once('\n').unwrap();
        let (from, until) = times.split_once(" --> ").unwrap();
        let (sheet, place) = picture.split_once("#xywh=").unwrap();
        let place: Vec<u32> = place.split(',').map(|number| number.parse().unwrap()).collect();
        (seconds(from), seconds(until), sheet.to_owned(), place.try_into().unwrap())
    };
    vtt.strip_prefix("WEBVTT\n\n").unwrap().split("\n\n").map(read).collect()
}

/// That job, of a film whose pictures take so long to decode that only those are which are shown.
fn by_places(mut job: Job) -> Job {
    let video = job.info.video.as_mut().unwrap();
    (video.fps, video.codec) = (1e6, "mjpeg".to_owned());
    job
}

/// How bright a tile is, of full range.
fn shade(sheet: &Path, [x, y, width, height]: [u32; 4]) -> f64 {
    let samples = grey(sheet, &format!("crop={width}:{height}:{x}:{y}"));
    samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64
}

#[tokio::test]
async fn each_tile_shows_the_picture_of_its_time() {
    let rig = Rig::new(&Setup::default());
    let whole = rig.clip_job("sprite", &stairs("320x180", 5.2)).await;
    let alone = by_places(rig.clip_job("sprite", &stairs("320x180", 5.2)).await);
    for (how, job) in [("whole", whole), ("by places", alone)] {
        let done = made(&rig, "sprite", job).await;
        let files = unpacked(&rig, &done.result);
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sprite.vtt", "sprite-1.jpg"]);
        let cues = cues(&std::fs::read_to_string(&files[0].1).unwrap());
        assert_eq!(cues.len(), 11, "one every half second");
        let end = cues[10].1;
        assert!((end - 5.208).abs() < 0.01, "{how}: {end}");
        for (from, _, sheet, place) in cues {
            assert_eq!((sheet.as_str(), place[2], place[3]), ("sprite-1.jpg", 160, 90));
            let (got, expected) =
                (shade(&files[1].1, place), full(40.0 + 8.0 * (4.0 * from + 0.001).floor()));
            assert!((got - expected).abs() < 4.0, "{how} {from}: {got} for {expected}");
        }
        let video = done.result.info().video.as_ref().unwrap();
        assert_eq!((video.frames, done.result.damage()), (11, None), "{how}");
        assert_eq!(rig.leftovers().len(), 1, "the result alone");
    }
}

/// What an index tells of and the file has no more is told as lost, and a picture that comes late is shown from the beginning on.
#[tokio::test]
async fn places_that_a_file_has_nothing_for_are_no_tiles() {
    let rig = Rig::new(&Setup::default());
    let late = "-itsoffset 1.3 -f lavfi -i color=gray:size=64x36:rate=24:duration=2 -f lavfi -i sine=duration=3.3 -c:v libx264 -bf 0";
    let film = format!("{} -g 12 -movflags +faststart", stairs("320x180", 6.0));
    for (source, part, tiles, damaged) in [(late, 1.0, 7, false), (&film, 0.5, 6, true)] {
        for how in [|job| job, by_places] {
            let job = rig.clip_job("sprite", source).await;
            let bytes = std::fs::read((*job.input).as_ref()).unwrap();
            let kept = (bytes.len() as f64 * part) as usize;
            std::fs::write((*job.input).as_ref(), &bytes[..kept]).unwrap();
            let done = made(&rig, "sprite", how(job)).await;
            let made = done.result.info().video.as_ref().unwrap().frames;
            assert!(made.abs_diff(tiles) <= 1, "{made} for {tiles}: {source}");
            assert_eq!(done.result.damage().is_some(), damaged, "{source}");
        }
    }
}

#[tokio::test]
async fn a_poster_of_a_long_film_is_of_its_first_part_that_is_not_black() {
    let rig = Rig::new(&Setup::default());
    // A picture a second: black, then a shade, then white; the first tenth is of 40 s.
    for (black_s, shade_s, expected) in [(20, 60, Some(120.0)), (70, 110, Some(120.0)), (200, 400, None)] {
        let luma = format!("if(lt(T,{black_s}),16,if(lt(T,{shade_s}),120,235))");
        let source = format!(
            "-f lavfi -i color=size=64x36:rate=1:duration=400 -vf geq=lum='{luma}':cb=128:cr=128,format=yuv420p \
             -c:v libx264 -preset ultrafast -g 5"
        );
        // The last one is the same as the second but for how long it takes.
        let ways: &[fn(Job) -> Job] = if expected.is_some() { &[|job| job, by_places] } else { &[|job| job] };
        for how in ways {
            let done = made(&rig, "poster", how(rig.clip_job("poster", &source).await)).await;
            let got = shade(done.result.path(), [0, 0, 64, 36]);
            // All that is looked at is black: the first picture.
            let expected = full(expected.unwrap_or(16.0));
            assert!((got - expected).abs() < 4.0, "{black_s}: {got} for {expected}");
            let video = done.result.info().video.as_ref().unwrap();
            assert_eq!((video.codec.as_str(), video.width, video.height), ("mjpeg", 64, 36));
        }
    }
}

#[tokio::test]
async fn short_upright_and_unmeasured_films_have_tiles_too() {
    let rig = Rig::new(&Setup::default());
    let live =
        "-f lavfi -i testsrc2=size=64x48:rate=10:duration=3 -c:v libvpx -deadline realtime -f webm -live 1";
    for (source, tiles, size, end) in [
        (stairs("180x320", 1.0), 2, (90, 160), 1.0),
        ("-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 1 -c:v libx264".to_owned(), 1, (160, 90), 0.04),
        (live.to_owned(), 6, (64, 48), 3.0),
    ] {
        let mut job = rig.clip_job("sprite", &source).await;
        if source == live {
            job.info.duration = None;
            job.info.video.as_mut().unwrap().duration = None;
        }
        let done = made(&rig, "sprite", job).await;
        let video = done.result.info().video.as_ref().unwrap();
        assert_eq!((video.frames, (video.width, video.height)), (tiles, size), "{source}");
        let got = video.duration.unwrap().as_secs_f64();
        assert!((got - end).abs() < 0.15, "{got} for {end}: {source}");
    }
}

#[tokio::test]
async fn tiles_keep_their_times_where_pictures_change_their_size() {
    let rig = Rig::new(&Setup::default());
    let part = |size: &str, seconds: f64, luma: u32| {
        let vf = format!("geq=lum={luma}:cb=128:cr=128,format=yuv420p");
        let arguments = format!(
            "-f lavfi -i color=size={size}:rate=25:duration={seconds} -vf {vf} -c:v libx264 -bsf:v h264_mp4toannexb -f mpegts"
        );
        std::fs::read(clip(&rig.folder, &arguments)).unwrap()
    };
    let joined = [part("320x180", 1.6, 60), part("180x320", 2.4, 180)].concat();
    let joined_path = rig.folder.path().join("joined.ts");
    std::fs::write(&joined_path, joined).unwrap();
    let whole = clip(&rig.folder, &format!("-i {} -c copy -f matroska", joined_path.display()));
    let info = rig.pool.prober().probe(&whole, CLIENT).await.unwrap();
    let job = Job { input: Job::kept(whole), info, ..rig.job(Duration::from_secs(60)) };
    let done = made(&rig, "sprite", job).await;
    let files = unpacked(&rig, &done.result);
    for (from, until, _, [x, y, width, height]) in cues(&std::fs::read_to_string(&files[0].1).unwrap()) {
        // The middle alone: beside it are bars.
        let middle = format!("crop={}:{}:{}:{}", 16, height / 2, x + width / 2 - 8, y + height / 4);
        let samples = grey(&files[1].1, &middle);
        let mean = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64;
        let expected = full(if from < 1.6 { 60.0 } else { 180.0 });
        assert!((mean - expected).abs() < 5.0, "{from} to {until}: {mean} for {expected}");
    }
}

#[tokio::test]
async fn a_preview_moves_for_six_seconds_at_the_most() {
    let rig = Rig::new(&Setup::default());
    for (seconds, pictures) in [(2.0, 20), (24.0, 60)] {
        let source = format!(
            "-f lavfi -i testsrc2=size=1280x720:rate=24:duration={seconds} -c:v libx264 -preset ultrafast"
        );
        let job = rig.clip_job("gif", &source).await;
        let done = made(&rig, "gif", job).await;
        let info = done.result.info();
        let video = info.video.as_ref().unwrap();
        assert_eq!((video.codec.as_str(), video.width, video.height), ("gif", 480, 270));
        assert_eq!(video.frames, pictures, "{seconds}");
        let bytes = std::fs::read(done.result.path()).unwrap();
        // The application extension that has it begin anew for ever.
        let at = bytes.windows(11).position(|window| window == b"NETSCAPE2.0").unwrap();
        assert_eq!(bytes[at + 11..at + 16], [3, 1, 0, 0, 0]);
    }
    let single = "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 1 -c:v libx264";
    let done = made(&rig, "gif", rig.clip_job("gif", single).await).await;
    assert_eq!(done.result.info().video.as_ref().unwrap().width, 64);
}

#[tokio::test]
async fn a_preview_of_a_longer_film_shows_six_places_of_it() {
    let rig = Rig::new(&Setup::default());
    // Ten shades: one for each six seconds of a minute.
    let shades = "-f lavfi -i color=size=64x36:rate=10:duration=60 -vf geq=lum='30+20*floor(T/6)':cb=128:cr=128,format=yuv420p \
                  -c:v libx264 -preset ultrafast";
    let done = made(&rig, "gif", rig.clip_job("gif", shades).await).await;
    for place in 0..6u32 {
        let samples = grey(done.result.path(), &format!("select='eq(n,{})'", place * 10 + 5));
        let mean = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64;
        // The middle of each sixth.
        let expected = full(30.0 + 20.0 * (f64::from(place * 10 + 5) / 6.0).floor());
        assert!((mean - expected).abs() < 6.0, "{place}: {mean} for {expected}");
    }
}

#[tokio::test]
async fn a_set_of_another_node_is_looked_at_file_by_file() {
    let rig = Rig::new(&Setup::default());
    let job = rig.clip_job("sprite", &stairs("320x180", 2.0)).await;
    let (input, info) = (Arc::clone(&job.input), job.info.clone());
    let done = made(&rig, "sprite", job).await;
    let good = unpacked(&rig, &done.result);
    let write = |name: &str, bytes: &[u8]| {
        let path = rig.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let vtt = std::fs::read_to_string(&good[0].1).unwrap();
    let sheet = good[1].1.clone();
    let files = |list: &[(&str, &Path)]| -> Vec<(FileName, PathBuf)> {
        list.iter().map(|(name, path)| (name.parse().unwrap(), path.to_path_buf())).collect()
    };
    let judged = async |files: &[(FileName, PathBuf)], tail: &[u8]| {
        let (file, scratch) = rig.dir.scratch_file("result-").unwrap();
        pack(files, &file).unwrap();
        std::io::Write::write_all(&mut &file, tail).unwrap();
        let bytes = std::fs::read(&*scratch).unwrap();
        let received =
            Received { sha256: ContentId::of(&bytes), bytes: bytes.len() as u64, file: scratch, room: None };
        let profile = profile("sprite");
        let wanted = Wanted {
            content: ContentId([0; 32]),
            profile: &profile,
            input: Some(((*input).as_ref(), &info)),
        };
        rig.pool.verify(wanted, received, None).await
    };
    let list = write("list.vtt", vtt.as_bytes());
    let as_made = files(&[("sprite.vtt", &list), ("sprite-1.jpg", &sheet)]);
    assert!(judged(&as_made, b"").await.is_ok());
    let small = write("small", &grey(&sheet, "crop=160:90,scale=160:90"));
    let elsewhere = write("b.vtt", vtt.replace("sprite-1.jpg", "sprite-9.jpg").as_bytes());
    let outside = write("c.vtt", vtt.replacen("#xywh=160,0,", "#xywh=9999,0,", 1).as_bytes());
    let shorter = write(
        "d.vtt",
        format!("{}\n", vtt.split("\n\n").take(2).collect::<Vec<_>>().join("\n\n")).as_bytes(),
    );
    for (what, files, tail) in [
        ("no list", files(&[("sprite-1.jpg", &sheet)]), &b""[..]),
        ("no sheet", files(&[("sprite.vtt", &list)]), b""),
        (
            "a file too many",
            files(&[("sprite.vtt", &list), ("sprite-1.jpg", &sheet), ("index.mp4", &sheet)]),
            b"",
        ),
        ("no picture", files(&[("sprite.vtt", &list), ("sprite-1.jpg", &small)]), b""),
        ("another sheet", files(&[("sprite.vtt", &elsewhere), ("sprite-1.jpg", &sheet)]), b""),
        ("a tile outside", files(&[("sprite.vtt", &outside), ("sprite-1.jpg", &sheet)]), b""),
        ("something behind its end", as_made.clone(), b"x"),
    ] {
        let judged = judged(&files, tail).await;
        assert!(matches!(judged, Err(Unfit::Wrong(_))), "{what}: {judged:?}");
    }
    // Fewer tiles than the film is long: it may be the film that lies.
    let short = judged(&files(&[("sprite.vtt", &shorter), ("sprite-1.jpg", &sheet)]), b"").await;
    assert!(matches!(short, Err(Unfit::Doubtful(_))), "{short:?}");
}
