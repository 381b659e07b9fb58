use crate::content::AudioInfo;
use crate::profile::{Audio, AudioCodec, Layout};

/// ffmpeg mixes no more channels than these, whatever they are called.
const MIXED_CHANNELS_MAX: u32 = 8;
/// A shorter gap than this, in seconds, stays until it and others are as long: more than clocks of containers jitter by, and less
/// than is seen at lips.
const GAP_MIN_S: f64 = 0.04;
/// The loudest sample that a mix of several channels has before an AAC encoder: of what is beyond full scale ffmpeg's makes all of it quieter,
/// and one side more than the other.
const MIXED_MAX: f64 = 0.95;
/// More channels than ffmpeg can address are of no file that was recorded.
const CHANNELS_MAX: u32 = 64;

/// The filters that make of a stream what a profile asks for: gaps filled, so that a sound is heard when it was recorded;
/// no more than the channels that are asked for; 48 kHz at most; as loud as it was, but for peaks that a mix would have beyond full scale, where
/// there is a limiter.
pub(super) fn filters(stream: &AudioInfo, audio: Audio, has_limiter: bool) -> Vec<String> {
    let layout = layout(stream, audio.channels);
    let mut filters = Vec::new();
    let pan = pan(stream, layout);
    // `pan` keeps within full scale by itself.
    let kept = if layout == "5.1" { 6 } else { 2 };
    let may_exceed = stream.channels > kept && pan.is_none();
    filters.extend(pan);
    filters.push(format!("aresample=async=1:min_hard_comp={GAP_MIN_S}:first_pts=0"));
    // Of floats: mixing whole numbers, ffmpeg makes all of it quieter for the sake of the loudest that might be.
    let samples = match audio.codec {
        AudioCodec::Aac => "fltp",
        AudioCodec::Opus => "flt",
    };
    let rate = sample_rate(stream, audio.codec);
    filters.push(format!("aformat=sample_fmts={samples}:sample_rates={rate}:channel_layouts={layout}"));
    if may_exceed && has_limiter && audio.codec == AudioCodec::Aac {
        // 5 ms later, which is what it looks ahead.
        filters.push(format!("alimiter=limit={MIXED_MAX}:level=0:attack=5:release=50"));
    }
    filters
}

/// The bit rate that a profile gives to this sound, in thousands of bits a second: half of it for one channel.
pub(super) fn kbps(stream: &AudioInfo, audio: Audio) -> u16 {
    if layout(stream, audio.channels) == "mono" { (audio.kbps / 2).max(32) } else { audio.kbps }
}

fn layout(stream: &AudioInfo, asked: Layout) -> &'static str {
    match (stream.channels, asked) {
        (1, _) => "mono",
        (6.., Layout::Surround) if stream.known_layout && stream.channels <= MIXED_CHANNELS_MAX => "5.1",
        _ => "stereo",
    }
}

/// Of channels whose places are not known, or that ffmpeg has no matrix for: the even ones left, the odd ones right.
fn pan(stream: &AudioInfo, layout: &str) -> Option<String> {
    let odd = stream.channels > MIXED_CHANNELS_MAX || (stream.channels > 2 && !stream.known_layout);
    if layout != "stereo" || !odd {
        return None;
    }
    let mix = |first: u32| {
        let channels = (first..stream.channels.min(CHANNELS_MAX)).step_by(2);
        channels.map(|channel| format!("c{channel}")).collect::<Vec<_>>().join("+")
    };
    Some(format!("pan=stereo|c0<{}|c1<{}", mix(0), mix(1)))
}

/// A rate of the same family, so that little is lost; one that every player plays.
const fn sample_rate(stream: &AudioInfo, codec: AudioCodec) -> u32 {
    match codec {
        AudioCodec::Aac if stream.sample_rate > 0 && stream.sample_rate.is_multiple_of(11_025) => 44_100,
        AudioCodec::Aac | AudioCodec::Opus => 48_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(channels: u32, known_layout: bool, sample_rate: u32) -> AudioInfo {
        AudioInfo { channels, known_layout, sample_rate, ..AudioInfo::default() }
    }

    const AAC: Audio = Audio { codec: AudioCodec::Aac, kbps: 128, channels: Layout::Stereo };
    const SURROUND: Audio = Audio { codec: AudioCodec::Aac, kbps: 384, channels: Layout::Surround };

    #[test]
    fn sound_is_mixed_to_what_is_asked_for() {
        let said = |stream: &AudioInfo, audio| filters(stream, audio, false).last().unwrap().clone();
        let mono = stream(1, false, 16_000);
        assert_eq!(said(&mono, AAC), "aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=mono");
        assert_eq!(kbps(&mono, AAC), 64);
        let film = stream(6, true, 96_000);
        assert_eq!(said(&film, AAC), "aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=stereo");
        assert_eq!(said(&film, SURROUND), "aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=5.1");
        let cd = stream(2, true, 88_200);
        assert_eq!(said(&cd, AAC), "aformat=sample_fmts=fltp:sample_rates=44100:channel_layouts=stereo");
    }

    #[test]
    fn a_mix_of_many_channels_keeps_within_full_scale() {
        let limits = |stream: &AudioInfo, audio| {
            filters(stream, audio, true).last().unwrap().starts_with("alimiter=limit=0.95:level=0")
        };
        let film = stream(6, true, 48_000);
        assert!(limits(&film, AAC) && !limits(&film, SURROUND));
        assert!(!limits(&film, Audio { codec: AudioCodec::Opus, ..AAC }), "libopus takes what is louder");
        assert!(!limits(&stream(2, true, 48_000), AAC), "as loud as it was");
        assert!(!limits(&stream(5, false, 48_000), AAC), "mixed by shares");
        assert!(!filters(&film, AAC, false).iter().any(|filter| filter.starts_with("alimiter")));
    }

    #[test]
    fn channels_that_nobody_knows_the_places_of_are_shared_out() {
        assert_eq!(filters(&stream(5, false, 48_000), AAC, true)[0], "pan=stereo|c0<c0+c2+c4|c1<c1+c3");
        assert!(filters(&stream(6, true, 48_000), AAC, true)[0].starts_with("aresample="));
        assert!(filters(&stream(16, true, 48_000), AAC, true)[0].starts_with("pan=stereo|c0<c0+c2+"));
        assert!(filters(&stream(u32::MAX, false, 0), AAC, true)[0].len() < 400);
    }
}
