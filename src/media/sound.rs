use crate::content::AudioInfo;
use crate::profile::{Audio, AudioCodec, Layout};

/// ffmpeg mixes no more channels than these, whatever they are called.
const MIXED_CHANNELS_MAX: u32 = 8;
/// A shorter gap than this, in seconds, stays until it and others are as long: more than clocks of containers jitter by, and less
/// than is seen at lips.
const GAP_MIN_S: f64 = 0.04;
/// More channels than ffmpeg can address are of no file that was recorded.
const CHANNELS_MAX: u32 = 64;

/// The filters that make of a stream what a profile asks for: gaps filled, so that a sound is heard when it was recorded;
/// no more than the channels that are asked for; 48 kHz at most; as loud as it was.
pub(super) fn filters(stream: &AudioInfo, audio: Audio) -> Vec<String> {
    let layout = layout(stream, audio.channels);
    let mut filters = Vec::new();
    if let Some(pan) = pan(stream, layout) {
        filters.push(pan);
    }
    filters.push(format!("aresample=async=1:min_hard_comp={GAP_MIN_S}:first_pts=0"));
    // Of floats: mixing whole numbers, ffmpeg makes all of it quieter for the sake of the loudest that might be.
    let samples = match audio.codec {
        AudioCodec::Aac => "fltp",
        AudioCodec::Opus => "flt",
    };
    let rate = sample_rate(stream, audio.codec);
    filters.push(format!("aformat=sample_fmts={samples}:sample_rates={rate}:channel_layouts={layout}"));
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
        let said = |stream: &AudioInfo, audio| filters(stream, audio).last().unwrap().clone();
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
    fn channels_that_nobody_knows_the_places_of_are_shared_out() {
        assert_eq!(filters(&stream(5, false, 48_000), AAC)[0], "pan=stereo|c0<c0+c2+c4|c1<c1+c3");
        assert!(filters(&stream(6, true, 48_000), AAC)[0].starts_with("aresample="));
        assert!(filters(&stream(16, true, 48_000), AAC)[0].starts_with("pan=stereo|c0<c0+c2+"));
        assert!(filters(&stream(u32::MAX, false, 0), AAC)[0].len() < 400);
    }
}
