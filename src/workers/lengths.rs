//! Whether a result plays as long as what it was made of: pictures beside pictures, sound beside sound, and where a file's own word
//! of its length is not enough, by its packets.

use std::path::Path;
use std::time::Duration;

use super::cancel::Cancel;
use super::probe::{ProbeError, Prober};
use crate::content::MediaInfo;
use crate::media::Packets;
use crate::profile::{Profile, Recipe};

/// How long a result is beside its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// As long, as far as the input has anything.
    Whole,
    /// As long, but for its last picture, which lasts until then.
    Held(Duration),
    /// The input says that it is longer, and has no more.
    Lost {
        /// What it says.
        expected: Duration,
        /// What was made.
        got: Duration,
    },
    /// The input has more.
    Short {
        /// What it has.
        expected: Duration,
        /// What was made.
        got: Duration,
    },
}

/// A stream of the result beside the one of the input that it was made of.
struct Beside {
    /// Number of the stream in the input.
    stream: u32,
    /// How long the input says that it plays, and whether it says so of this very stream.
    says: Option<Duration>,
    of_its_own: bool,
    /// How long what was made of it plays.
    got: Duration,
    pictures: bool,
    /// Packets of it, where the index of the input counts each with how long it lasts.
    counted: Option<u64>,
    /// Whether it begins with the file, and not with its own first packet.
    from_zero: bool,
}

/// Compares a result with its input, whose packets are read only where the result is shorter than its headers say.
pub(super) fn compare(
    profile: &Profile,
    (path, input): (&Path, &MediaInfo),
    result: &MediaInfo,
    prober: &Prober,
    cancel: &Cancel,
) -> Result<Length, ProbeError> {
    let shorter: Vec<_> = beside(profile, input, result)
        .into_iter()
        .filter_map(|beside| {
            beside.says.filter(|says| beside.got + tolerance(*says) < *says).map(|says| (beside, says))
        })
        .collect();
    if shorter.is_empty() {
        return Ok(Length::Whole);
    }
    let packets = prober.packets(path, cancel)?;
    let judged = shorter.iter().map(|(beside, says)| judge(beside, *says, &packets));
    Ok(judged.fold(Length::Whole, worse))
}

/// What a ladder lacks at its begin, which is hidden there: its first picture is shown from the begin of the file on, though those that
/// came before it could not be decoded. `lasts`: how long that picture is shown.
pub(super) fn begins_late(input: &MediaInfo, lasts: Duration, packets: &Packets) -> Length {
    let Some((video, span)) =
        input.video.as_ref().and_then(|video| Some((video, packets.span(video.index)?)))
    else {
        return Length::Whole;
    };
    let frame = if video.fps > 0.0 { Duration::from_secs_f64(1.0 / video.fps) } else { Duration::ZERO };
    let lost = lasts.saturating_sub(span.start.saturating_sub(packets.begin()) + frame);
    let expected = span.length();
    if lost <= tolerance(expected) {
        return Length::Whole;
    }
    Length::Short { expected, got: expected.saturating_sub(lost) }
}

/// The one that matters more.
pub(super) fn worse(a: Length, b: Length) -> Length {
    let weight = |length: &Length| match length {
        Length::Whole => 0,
        Length::Held(_) => 1,
        Length::Lost { .. } => 2,
        Length::Short { .. } => 3,
    };
    if weight(&b) > weight(&a) { b } else { a }
}

fn beside(profile: &Profile, input: &MediaInfo, result: &MediaInfo) -> Vec<Beside> {
    let mut all = Vec::new();
    if let (Recipe::Video { .. } | Recipe::Hls { .. } | Recipe::Sprite { .. }, Some(from), Some(to)) =
        (&profile.recipe, &input.video, &result.video)
    {
        all.push(Beside {
            stream: from.index,
            says: from.duration.or(input.duration),
            of_its_own: from.duration.is_some(),
            got: to.duration.or(result.duration).unwrap_or_default(),
            pictures: true,
            counted: counted(input),
            // The first picture of a ladder is shown from the beginning on.
            from_zero: matches!(profile.recipe, Recipe::Hls { .. }),
        });
    }
    if let (Recipe::Video { .. } | Recipe::Hls { .. } | Recipe::Audio { .. }, Some(from)) =
        (&profile.recipe, &input.audio)
    {
        let got = result.audio.as_ref().map(|audio| audio.duration.or(result.duration).unwrap_or_default());
        all.push(Beside {
            stream: from.index,
            says: from.duration.or(input.duration),
            of_its_own: from.duration.is_some(),
            got: got.unwrap_or_default(),
            pictures: false,
            counted: None,
            from_zero: false,
        });
    }
    all
}

/// How many packets the pictures of an input are, where its index counts each with how long it lasts: that of an MP4.
fn counted(input: &MediaInfo) -> Option<u64> {
    let video = input.video.as_ref()?;
    (video.counted && input.container.starts_with("mov,")).then_some(video.frames)
}

/// How long it is from the begin of an input until its pictures end. Where all are there that the index counts, the last one lasts until the end that it
/// says: ffmpeg's demuxer does not tell of that where pictures are out of order.
pub(super) fn pictures_end(input: &MediaInfo, packets: &Packets) -> Option<Duration> {
    let video = input.video.as_ref()?;
    let span = packets.span(video.index)?;
    let says = video.duration.filter(|_| counted(input) == Some(span.packets));
    let end = says.map_or(span.end, |says| span.end.max(span.start + says));
    // On the clock of what comes out, which begins with the first packet.
    Some(end.saturating_sub(packets.begin()))
}

/// Until when the last picture of an input is held, from its begin on, where ffmpeg's demuxer does not tell of that: of an MP4 with pictures out
/// of order it gives the last one a usual duration.
pub(super) fn silently_held(input: &MediaInfo, packets: &Packets) -> Option<Duration> {
    let span = packets.span(input.video.as_ref()?.index)?;
    let told = span.end.saturating_sub(packets.begin());
    pictures_end(input, packets).filter(|end| *end > told + tolerance(*end))
}

/// What the packets of an input say of a result that is shorter than its headers do.
fn judge(beside: &Beside, says: Duration, packets: &Packets) -> Length {
    let got = beside.got;
    let Some(span) = packets.span(beside.stream) else {
        // Of pictures there is none left; a sound track may have been empty.
        return if beside.pictures { Length::Lost { expected: says, got } } else { Length::Whole };
    };
    let there = if beside.from_zero { span.end.saturating_sub(packets.begin()) } else { span.length() };
    if got + tolerance(there) < there {
        let held = beside.pictures && got + span.last + tolerance(there) >= there;
        return if held { Length::Held(there) } else { Length::Short { expected: there, got } };
    }
    // What a header says may count from the begin of the file's clock, or from the first packet.
    let readable = if beside.of_its_own { Some(span.end) } else { packets.whole() };
    match readable {
        Some(readable) if readable + tolerance(says) >= says => Length::Whole,
        // Nothing that the index counts is missing.
        Some(_) if beside.of_its_own && beside.counted == Some(span.packets) => {
            let ahead =
                if beside.from_zero { span.start.saturating_sub(packets.begin()) } else { Duration::ZERO };
            Length::Held(ahead + says)
        }
        Some(_) => Length::Lost { expected: says, got },
        None => Length::Whole,
    }
}

/// How much shorter than its input a result may be: rounding, an edit list, a last frame without a duration.
pub(super) fn tolerance(expected: Duration) -> Duration {
    expected.mul_f64(0.01).clamp(Duration::from_millis(300), Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::VideoInfo;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn judged(says: f64, of_its_own: bool, got: f64, pictures: bool, packets: &str) -> Length {
        let mut read = Packets::default();
        read.feed(packets.as_bytes());
        let beside = Beside {
            stream: 0,
            says: Some(secs(says)),
            of_its_own,
            got: secs(got),
            pictures,
            counted: None,
            from_zero: false,
        };
        judge(&beside, secs(says), &read)
    }

    #[test]
    fn like_is_compared_with_like() {
        // A container that is as long as its sound; a song with one picture.
        assert_eq!(judged(4.4, false, 4.0, true, "0,0,2\n0,2,2\n1,0,4.4\n"), Length::Whole);
        assert_eq!(judged(20.0, false, 0.04, true, "0,0,0.04\n1,0,20\n"), Length::Whole);
        // A picture that is held.
        assert_eq!(judged(8.0, true, 2.0, true, "0,0,1.9\n0,1.9,6.1\n"), Length::Held(secs(8.0)));
        // An index that tells of more than there is, of one stream or of all.
        let lost = Length::Lost { expected: secs(4.0), got: secs(2.4) };
        assert_eq!(judged(4.0, true, 2.4, true, "0,0,2.4\n1,0,4\n"), lost);
        assert_eq!(judged(4.0, false, 2.4, true, "0,0,2.4\n1,0,2.5\n"), lost);
        // There is more, and it did not come out.
        let short = Length::Short { expected: secs(8.0), got: secs(4.0) };
        assert_eq!(judged(8.0, true, 4.0, true, "0,0,4\n0,4,4\n0,7.9,0.1\n"), short);
        assert_eq!(judged(8.0, true, 4.0, false, "0,0,4\n0,4,4\n"), short);
        // Pictures that begin late, and a clock that does.
        assert_eq!(judged(2.54, true, 1.96, true, "0,0.54,1\n0,1.54,1\n1,0,3\n"), Length::Whole);
        assert_eq!(judged(102.0, false, 1.96, true, "0,100,1\n0,101,1\n1,100,2\n"), Length::Whole);
        // An empty track.
        assert_eq!(judged(8.0, true, 0.0, false, "1,0,8\n"), Length::Whole);
    }

    #[test]
    fn a_ladder_begins_with_its_file() {
        let judged = |got: f64, packets: &str| {
            let mut read = Packets::default();
            read.feed(packets.as_bytes());
            let got = secs(got);
            let says = Some(secs(4.0));
            judge(
                &Beside {
                    stream: 0,
                    says,
                    of_its_own: false,
                    got,
                    pictures: true,
                    counted: None,
                    from_zero: true,
                },
                secs(4.0),
                &read,
            )
        };
        // The first picture is shown until the second one comes, wherever the file's clock begins.
        assert_eq!(judged(2.0, "0,1,1\n0,2,2\n1,0,4\n"), Length::Held(secs(4.0)));
        assert_eq!(judged(2.0, "0,101,1\n0,102,2\n1,100,4\n"), Length::Held(secs(4.0)));
        assert_eq!(judged(4.0, "0,101,1\n0,102,2\n1,100,4\n"), Length::Whole);
    }

    #[test]
    fn what_a_ladder_lacks_at_its_begin_is_told() {
        let video = VideoInfo { fps: 25.0, ..VideoInfo::default() };
        let input = MediaInfo { video: Some(video), ..MediaInfo::default() };
        let mut packets = Packets::default();
        packets.feed(b"0,100.5,0.04\n0,104.46,0.04\n1,100,5\n");
        // It begins half a second late by itself.
        for whole in [0.04, 0.54, 0.8] {
            assert_eq!(begins_late(&input, secs(whole), &packets), Length::Whole, "{whole}");
        }
        let short = Length::Short { expected: secs(4.0), got: secs(3.0) };
        assert_eq!(begins_late(&input, secs(1.54), &packets), short);
    }

    #[test]
    fn a_picture_is_held_where_all_that_the_index_counts_is_there() {
        let mut packets = Packets::default();
        // As ffprobe lists pictures out of order: it gives each a usual duration.
        packets.feed(b"0,0.08,0.04\n0,0.2,0.04\n0,0.12,0.04\n0,0.16,0.04\n1,0,8\n");
        let judged = |counted: u64, from_zero: bool| {
            let (says, got) = (Some(secs(8.0)), secs(0.16));
            let beside = Beside {
                stream: 0,
                says,
                of_its_own: true,
                got,
                pictures: true,
                counted: Some(counted),
                from_zero,
            };
            judge(&beside, secs(8.0), &packets)
        };
        assert_eq!(judged(4, false), Length::Held(secs(8.0)));
        assert_eq!(judged(4, true), Length::Held(secs(8.08)));
        assert_eq!(judged(5, false), Length::Lost { expected: secs(8.0), got: secs(0.16) });
        let video = VideoInfo { counted: true, frames: 4, duration: Some(secs(8.0)), ..VideoInfo::default() };
        let mut info =
            MediaInfo { container: "mov,mp4".to_owned(), video: Some(video), ..MediaInfo::default() };
        assert_eq!(pictures_end(&info, &packets), Some(secs(8.08)));
        assert_eq!(silently_held(&info, &packets), Some(secs(8.08)));
        info.container = "avi".to_owned();
        assert_eq!(pictures_end(&info, &packets), Some(secs(0.24)));
        assert_eq!(silently_held(&info, &packets), None);
        let mut late = Packets::default();
        late.feed(b"0,100.5,0.5\n1,100,1\n");
        assert_eq!(pictures_end(&info, &late), Some(secs(1.0)));
    }
}
