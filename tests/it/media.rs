//! Right pictures and sound from what people really upload: inputs of the kinds that others get wrong, measured from the outside,
//! by decoded pictures and samples and not by tags.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use tempfile::TempDir;

use crate::support::{Answer, Node, NodeOptions, made_by_ffmpeg};

struct Rig {
    node: Node,
    folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { node: Node::start(NodeOptions::new("node1", "FRA")), folder: tempfile::tempdir().unwrap() }
    }

    /// A file that ffmpeg makes of these arguments.
    fn make(&self, name: &str, arguments: &[&str]) -> Bytes {
        made_by_ffmpeg(&self.path(name), arguments)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn upload(&self, profile: &str, video: &Bytes) -> Answer {
        self.node.http.upload_with(&format!("/upload?profile={profile}"), &[], video.clone()).await
    }

    /// The result of an upload, in a file.
    async fn result(&self, profile: &str, video: &Bytes) -> Made {
        let answer = self.upload(profile, video).await;
        assert_eq!(answer.status, 200, "{profile}: {}", String::from_utf8_lossy(&answer.body));
        let file = tempfile::NamedTempFile::new_in(&self.folder).unwrap();
        std::fs::write(file.path(), &answer.body).unwrap();
        Made { file, answer }
    }
}

struct Made {
    file: tempfile::NamedTempFile,
    answer: Answer,
}

impl Made {
    /// What ffprobe says of fields of a stream, in its own order, with commas between.
    fn says(&self, stream: &str, entries: &str) -> String {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"])
            .arg(self.file.path())
            .output()
            .expect("ffprobe runs");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn seconds(&self, stream: &str) -> f64 {
        let said = self.says(stream, "stream=duration");
        said.parse().unwrap_or_else(|_| panic!("no duration: {said:?}"))
    }

    /// Pictures, one after the other, as red, green and blue, read as the file's tags say.
    fn pictures(&self) -> Pictures {
        let said = self.says("v:0", "stream=width,height,color_range,color_space");
        let fields: Vec<_> = said.split(',').collect();
        let [width, height, range, matrix] = fields[..] else { panic!("{said}") };
        let matrix = match matrix {
            "bt709" => "bt709",
            "smpte170m" | "bt470bg" => "bt601",
            other => panic!("the result is not tagged: {other}"),
        };
        assert!(["tv", "pc"].contains(&range), "the result is not tagged: {range}");
        let filter = format!("scale={width}:{height}:in_color_matrix={matrix}:in_range={range},format=rgb24");
        let bytes =
            decoded(self.file.path(), &["-vf", &filter, "-fps_mode", "passthrough", "-f", "rawvideo"]);
        Pictures { width: width.parse().unwrap(), height: height.parse().unwrap(), bytes }
    }

    /// Its pictures, each as it is shown, by their digests.
    fn frames(&self) -> Vec<String> {
        let bytes = decoded(self.file.path(), &["-vf", "fps=10", "-pix_fmt", "rgb24", "-f", "framemd5"]);
        let lines = String::from_utf8(bytes).unwrap();
        let digest = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
        lines.lines().filter(|line| !line.starts_with('#')).map(digest).collect()
    }

    /// Samples of the sound, mixed to one channel, 48,000 a second.
    fn samples(&self) -> Vec<i16> {
        let bytes = decoded(self.file.path(), &["-ac", "1", "-ar", "48000", "-f", "s16le"]);
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Its pitch in Hz, by how often it crosses zero in the middle.
    fn pitch(&self) -> f64 {
        let samples = self.samples();
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let crossings = middle.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        crossings as f64 / 2.0 / (middle.len() as f64 / 48_000.0)
    }
}

fn decoded(path: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(arguments)
        .arg("-")
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

struct Pictures {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Pictures {
    fn count(&self) -> usize {
        self.bytes.len() / (self.width * self.height * 3)
    }

    /// The colour at a place, in parts of width and height.
    fn at(&self, picture: usize, x: f64, y: f64) -> [u8; 3] {
        let (column, row) = ((x * self.width as f64) as usize, (y * self.height as f64) as usize);
        let start = ((picture * self.height + row) * self.width + column) * 3;
        [self.bytes[start], self.bytes[start + 1], self.bytes[start + 2]]
    }

    #[track_caller]
    fn assert_near(&self, place: (f64, f64), color: [u8; 3], error: u8, what: &str) {
        let got = self.at(0, place.0, place.1);
        let near = got.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= error);
        assert!(near, "{what}: {got:?} for {color:?}");
    }
}

const GREEN: [u8; 3] = [30, 180, 40];
const RED: [u8; 3] = [200, 30, 30];

/// Two halves of known colours, as red, green and blue.
const PATCHES: &str = "color=0x1eb428:size=160x180:rate=10:duration=1[a];color=0xc81e1e:size=160x180:rate=10:duration=1[b];\
                       [a][b]hstack,format=gbrp";

#[tokio::test]
async fn colours_come_out_as_they_went_in_from_every_kind_of_samples_in_every_profile() {
    let rig = Rig::new();
    let to = |options: &str, rest: &str| format!("scale={options},format={rest}");
    let full = to("out_color_matrix=bt709:out_range=pc", "yuv420p");
    let hd = to("1280:720:out_color_matrix=bt709:out_range=tv", "yuv420p");
    let sd = to("out_color_matrix=bt601:out_range=tv", "yuv420p");
    let tagged =
        ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"];
    let browser = [
        "-color_range",
        "pc",
        "-colorspace",
        "bt709",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "iec61966-2-1",
    ];
    let kinds: [(&str, &str, &str, &[&str]); 5] = [
        ("tagged.mp4", &hd, "libx264", &tagged),
        ("untagged.mkv", &sd, "libx264", &[]),
        ("screen.mov", "null", "qtrle", &[]),
        ("full.webm", &full, "libvpx", &browser),
        ("picture.gif", "split[c][d];[c]palettegen[p];[d][p]paletteuse", "gif", &[]),
    ];
    for (name, filter, codec, more) in kinds {
        let graph = format!("{PATCHES},{filter}");
        let video =
            rig.make(name, &[&["-f", "lavfi", "-i", &graph, "-c:v", codec, "-b:v", "2M"], more].concat());
        for profile in ["360p", "paper", "720p", "webm", "poster"] {
            let pictures = rig.result(profile, &video).await.pictures();
            for (place, color) in [((0.25, 0.5), GREEN), ((0.75, 0.5), RED)] {
                pictures.assert_near(place, color, 6, &format!("{name}, {profile}"));
            }
        }
    }
}

#[tokio::test]
async fn pictures_of_high_range_are_shown_on_a_standard_display() {
    let rig = Rig::new();
    // The reference white of 203 cd/m², and a grey whose light is a fifth of it, by their codes in PQ.
    let pq = "color=black:size=320x180:rate=10:duration=0.5,format=yuv420p10le,geq=lum='if(lt(X,160),573,434)':cb=512:cr=512";
    let tags = [
        "-color_range",
        "tv",
        "-colorspace",
        "bt2020nc",
        "-color_primaries",
        "bt2020",
        "-color_trc",
        "smpte2084",
    ];
    let video = rig.make("pq.mkv", &[&["-f", "lavfi", "-i", pq, "-c:v", "ffv1"], &tags[..]].concat());
    for profile in ["360p", "poster"] {
        let made = rig.result(profile, &video).await;
        let pictures = made.pictures();
        pictures.assert_near((0.25, 0.5), [240, 240, 240], 14, profile);
        pictures.assert_near((0.75, 0.5), [125, 125, 125], 12, profile);
        if profile == "360p" {
            let said =
                made.says("v:0", "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries");
            assert_eq!(said, "yuv420p,tv,bt709,bt709,bt709");
        }
    }
}

#[tokio::test]
async fn shapes_are_kept_in_square_pixels_and_a_picture_that_turns_gets_bars() {
    let rig = Rig::new();
    let wide = rig
        .make("wide.mp4", &["-f", "lavfi", "-i", "testsrc2=size=720x576:rate=10:duration=0.5,setsar=64/45"]);
    let tall =
        rig.make("tall.mp4", &["-f", "lavfi", "-i", "testsrc2=size=480x640:rate=10:duration=0.5,setsar=0"]);
    for (video, profile, shape) in [
        (&wide, "poster", "1024,576"),
        (&wide, "360p", "640,360"),
        (&tall, "360p", "360,480"),
        (&tall, "paper", "640,360"),
    ] {
        assert_eq!(rig.result(profile, video).await.says("v:0", "stream=width,height"), shape, "{profile}");
    }
    let part = |name: &str, size: &str| {
        let source = format!("color=0x1eb428:size={size}:rate=25:duration=1");
        rig.make(name, &["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-f", "mpegts"])
    };
    let turned: Bytes = [part("a.ts", "640x360"), part("b.ts", "360x640")].concat().into();
    let pictures = rig.result("360p", &turned).await.pictures();
    assert_eq!((pictures.width, pictures.height), (640, 360));
    let (first, last) = (0, pictures.count() - 1);
    for (picture, x, lit) in
        [(first, 0.05, true), (first, 0.5, true), (last, 0.05, false), (last, 0.5, true), (last, 0.95, false)]
    {
        assert_eq!(pictures.at(picture, x, 0.5)[1] > 100, lit, "{picture} {x}");
    }
}

#[tokio::test]
async fn interlaced_pictures_are_deinterlaced_and_others_are_not_touched() {
    let rig = Rig::new();
    let waves = "color=gray:size=320x240:rate=50:duration=1,format=yuv420p,geq=lum='128+90*sin((X+4*N+Y/3)/9)':cb=128:cr=128";
    let source = &format!("{waves},interlace=scan=tff");
    let flags = ["-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts", "tff=1"];
    let combed = rig.make("combed.mp4", &[&["-f", "lavfi", "-i", source], &flags[..]].concat());
    let made = rig.result("480p", &combed).await;
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(made.file.path())
        .args(["-vf", "idet", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = said.lines().find(|line| line.contains("Multi frame")).unwrap();
    let number = |name: &str| {
        let rest = found.split(name).nth(1).unwrap().trim_start();
        rest.split_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    assert!(number("TFF:") + number("BFF:") == 0, "{found}");
    assert_eq!(made.says("v:0", "stream=field_order,nb_frames"), "progressive,25");
}

#[tokio::test]
async fn the_sound_that_is_meant_is_heard_when_it_was_recorded() {
    let rig = Rig::new();
    let picture = "testsrc2=size=160x120:rate=25:duration=1";
    let two = [
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=300:duration=1",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=2000:duration=1",
    ];
    let mapped = ["-map", "0", "-map", "1", "-map", "2", "-c:a", "aac", "-metadata:s:a:1", "language=deu"];
    let marked = ["-disposition:a:0", "comment", "-disposition:a:1", "default"];
    let commented =
        rig.make("two.mkv", &[&["-f", "lavfi", "-i", picture], &two[..], &mapped, &marked].concat());
    let pitch = |made: &Made| made.pitch().round();
    for profile in ["360p", "audio"] {
        let made = rig.result(profile, &commented).await;
        assert!((pitch(&made) - 2000.0).abs() < 20.0, "{profile}: {}", pitch(&made));
        assert_eq!(made.says("a:0", "stream_tags=language"), "deu");
    }
    // The first track is of a codec that nobody knows.
    let mut unknown = commented.to_vec();
    let at = unknown.windows(5).position(|window| window == b"A_AAC").unwrap();
    unknown[at..at + 5].copy_from_slice(b"A_XXX");
    assert!((pitch(&rig.result("360p", &unknown.into()).await) - 2000.0).abs() < 20.0);
    // A sound that is not there for a while.
    let beeps = "aevalsrc='if(lt(mod(t,1),0.05),sin(2*PI*1000*t),0)':duration=6:sample_rate=48000,\
                 aselect='not(between(t,1.5,4.2))'";
    let gap = rig.make(
        "gap.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=160x120:rate=25:duration=6",
            "-f",
            "lavfi",
            "-i",
            beeps,
            "-c:a",
            "pcm_s16le",
        ],
    );
    for profile in ["360p", "audio"] {
        let samples = rig.result(profile, &gap).await.samples();
        let begins: Vec<f64> = (4_800..samples.len())
            .filter(|&at| {
                samples[at].unsigned_abs() > 4_000
                    && samples[at - 4_800..at].iter().all(|s| s.unsigned_abs() < 4_000)
            })
            .map(|at| at as f64 / 48_000.0)
            .collect();
        assert!(begins.iter().any(|at| (at - 5.0).abs() < 0.05), "{profile}: {begins:?}");
    }
}

#[tokio::test]
async fn all_of_it_comes_out_and_only_what_is_lost_is_called_so() {
    let rig = Rig::new();
    let source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=2"];
    let tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"];
    // The last picture is held.
    rig.make("plain.mp4", &[&source[..], &["-c:v", "libx264", "-bf", "0"]].concat());
    let plain = rig.path("plain.mp4");
    let hold = "setts=pts=PTS:dts=DTS:duration='if(eq(NEXT_PTS,NOPTS),4/TB,DURATION)'";
    let held = rig.make("held.mp4", &["-i", plain.to_str().unwrap(), "-c", "copy", "-bsf:v", hold]);
    for profile in ["360p", "paper"] {
        let made = rig.result(profile, &held).await;
        assert!((made.seconds("v:0") - 5.96).abs() < 0.1, "{profile}: {}", made.seconds("v:0"));
        assert!(!made.answer.headers.contains_key("x-input-damage"));
    }
    // A song with one picture.
    let long = ["-f", "lavfi", "-i", "sine=frequency=440:duration=5"];
    let one = ["-f", "lavfi", "-i", "testsrc2=size=160x160:rate=25:duration=0.04"];
    let still = rig.make("still.mkv", &[&one[..], &long].concat());
    let made = rig.result("360p", &still).await;
    assert!((made.seconds("a:0") - 5.0).abs() < 0.1 && !made.answer.headers.contains_key("x-input-damage"));
    // Bursts of 60 pictures a second, and a second without any.
    let bursts = "testsrc2=size=160x120:rate=60:duration=4,select='lt(mod(t,2),0.5)'";
    let vfr = rig.make("bursts.mkv", &["-f", "lavfi", "-i", bursts, "-fps_mode", "vfr", "-c:v", "libx264"]);
    assert_eq!(rig.result("360p", &vfr).await.pictures().count(), 60);
    let fast = rig.make("fast.mp4", &["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=120:duration=1"]);
    assert!(rig.result("360p", &fast).await.pictures().count().abs_diff(60) <= 1);
    // A recording whose recorder died.
    let fragments = ["-c:v", "libx264", "-g", "5", "-movflags", "+frag_keyframe+empty_moov", "-c:a", "aac"];
    let whole = rig.make("fragments.mp4", &[&source[..], &tone, &fragments].concat());
    let cut = whole.slice(..whole.len() - 2_000);
    let made = rig.result("360p", &cut).await;
    assert!(made.seconds("v:0") > 1.6, "{}", made.seconds("v:0"));
    assert!(made.answer.header("x-input-damage").starts_with("read="), "{:?}", made.answer.headers);
    // It is told again where it is held, and refused to a client that wants all or nothing.
    let again = rig.result("360p", &cut).await;
    assert_eq!(again.answer.header("x-cache"), "hit");
    assert_eq!(again.answer.header("x-input-damage"), made.answer.header("x-input-damage"));
    rig.upload("360p&strict=1", &cut).await.assert_problem(422, "unusable-video");
    assert_eq!(rig.upload("360p&strict=1", &whole).await.status, 200);
}

#[tokio::test]
async fn containers_that_are_odd_but_sound_are_taken() {
    let rig = Rig::new();
    let source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1"];
    let tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1:sample_rate=16000"];
    let stream =
        rig.make("whole.ts", &[&source[..], &tone, &["-c:v", "libx264", "-g", "5", "-c:a", "aac"]].concat());
    let cut = stream.slice(111..);
    // Half of it needs a picture that is not there.
    let distant = ["-c:v", "libx264", "-g", "13", "-sc_threshold", "0", "-c:a", "aac"];
    let late = rig.make("late.ts", &[&source[..], &tone, &distant].concat()).slice(111..);
    let padded: Vec<u8> = stream.chunks_exact(188).flat_map(|packet| [packet, &[0; 16]].concat()).collect();
    let text = rig.path("words.srt");
    std::fs::write(&text, "1\n00:00:00,000 --> 00:00:01,000\nword\n").unwrap();
    let mut many: Vec<&str> = source.to_vec();
    many.extend(["-i", text.to_str().unwrap(), "-map", "0"]);
    many.extend(["-map", "1"].repeat(40));
    let files = [
        ("cut", cut),
        ("cut, and begun in the middle", late),
        ("of 204 bytes", padded.into()),
        ("subtitles", rig.make("many.mkv", &many)),
        (
            "speex",
            rig.make(
                "speex.flv",
                &[&source[..], &tone, &["-c:v", "flv", "-c:a", "libspeex", "-ac", "1"]].concat(),
            ),
        ),
        ("moving png", rig.make("moving.apng", &[&source[..], &["-f", "apng"]].concat())),
        ("mxf", rig.make("broadcast.mxf", &[&source[..], &["-c:v", "mpeg2video"]].concat())),
    ];
    for (what, file) in files {
        let answer = rig.upload("360p", &file).await;
        assert_eq!(answer.status, 200, "{what}: {}", String::from_utf8_lossy(&answer.body));
    }
    // What can't be made of a file is said in a user's words.
    let said = async |profile: &str, file: Bytes| {
        let answer = rig.upload(profile, &file).await;
        answer.assert_problem(422, "unusable-video");
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let silent = rig.make("silent.mp4", &source);
    assert!(said("audio", silent.clone()).await.contains("no sound in it"));
    let keys = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"];
    let kid = ["-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", "-c:v", "libx264"];
    let locked = rig.make("locked.mp4", &[&source[..], &keys, &kid].concat());
    assert!(said("360p", locked).await.contains("encrypted"));
    let picture = [&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], &[0; 64]].concat();
    assert!(said("360p", picture.into()).await.contains("HEIC"));
}

/// Where an index leads to its places, a film is not read whole: what is picked there is the same.
#[tokio::test]
async fn a_moving_preview_of_a_film_with_an_index_is_that_of_one_without() {
    let rig = Rig::new();
    let how = ["-c:v", "libx264", "-preset", "veryfast"];
    let film = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=43.21", "-g", "250", "-bf", "3"];
    let whole = rig.make("film.ts", &[&film[..], &how].concat());
    let of_whole = rig.result("gif", &whole).await.frames();
    assert_eq!(of_whole.len(), 60);
    for container in ["mp4", "mkv"] {
        let from = rig.path("film.ts");
        let indexed = rig.make(&format!("film.{container}"), &["-i", from.to_str().unwrap(), "-c", "copy"]);
        let made = rig.result("gif", &indexed).await;
        assert!(made.frames() == of_whole, "{container}: other pictures");
        assert_eq!(made.says("v:0", "stream=width,height,r_frame_rate"), "160,90,10/1");
    }
    // A new picture every seven seconds: in each place the one before it, for all of a second.
    let slides = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=1/7:duration=49", "-g", "3", "-bf", "0"];
    let slides = rig.make("slides.mp4", &[&slides[..], &how].concat());
    let frames = rig.result("gif", &slides).await.frames();
    assert!(frames.chunks(10).all(|place| place.iter().all(|frame| *frame == place[0])), "{frames:?}");
    let mut places: Vec<_> = frames.chunks(10).map(|place| &place[0]).collect();
    places.dedup();
    assert_eq!((frames.len(), places.len()), (60, 6), "{frames:?}");
}
