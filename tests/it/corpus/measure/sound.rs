//! What a file sounds like.

use serde_json::Value;

use super::{Audio, Decoded, seconds};

const RATE_HZ: usize = 16_000;
/// One millisecond.
const STEP: usize = RATE_HZ / 1000;

/// A tone is listened to from so many milliseconds after its begin, for so many.
const TONE_AFTER_MS: usize = 20;
const TONE_MS: usize = 60;

/// The filter that makes what is listened to of a sound. Samples are counted, as players do: a gap has to be filled with silence,
/// not left to time stamps.
pub(super) fn filter() -> String {
    format!("aresample={RATE_HZ},aformat=channel_layouts=mono")
}

/// `picture`: when the first picture is shown.
pub(super) fn listen(stream: &Value, picture: f64, decoded: &Decoded) -> Result<Audio, String> {
    let bytes = std::fs::read(&decoded.samples).map_err(|error| error.to_string())?;
    let samples: Vec<f64> =
        bytes.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    let loud: Vec<bool> = samples
        .chunks(STEP)
        .map(|step| step.iter().map(|sample| sample.abs()).fold(0.0, f64::max) > 2000.0)
        .collect();
    let mut beeps = Vec::new();
    let mut hz = Vec::new();
    let mut quiet = 50;
    let begin = seconds(&stream["start_time"]).unwrap_or_default() - picture;
    for (millisecond, &is_loud) in loud.iter().enumerate() {
        if !is_loud {
            quiet += 1;
            continue;
        }
        if quiet >= 50 {
            beeps.push(begin + millisecond as f64 / 1000.0);
            hz.extend(pitch(&samples[samples.len().min((millisecond + TONE_AFTER_MS) * STEP)..]));
        }
        quiet = 0;
    }
    hz.sort_by(f64::total_cmp);
    Ok(Audio {
        channels: stream["channels"].as_u64().unwrap_or_default(),
        rate_hz: stream["sample_rate"].as_str().and_then(|rate| rate.parse().ok()).unwrap_or_default(),
        end: begin + samples.len() as f64 / RATE_HZ as f64,
        beeps,
        hz: hz.get(hz.len() / 2).copied().unwrap_or_default(),
    })
}

/// The frequency of a tone that has gone on for a while, from its first upward crossing of zero to its last. Noise of a codec around
/// zero makes no crossing: before each the tone has to have been well below it.
fn pitch(samples: &[f64]) -> Option<f64> {
    let tone = &samples[..samples.len().min(TONE_MS * STEP)];
    let low = tone.iter().copied().fold(0.0, f64::min) / 4.0;
    let mut upward = Vec::new();
    let mut was_low = false;
    for (at, pair) in tone.windows(2).enumerate() {
        was_low |= pair[0] < low;
        if was_low && pair[0] < 0.0 && pair[1] >= 0.0 {
            upward.push(at as f64 + pair[0] / (pair[0] - pair[1]));
            was_low = false;
        }
    }
    let (first, last) = (upward.first()?, upward.last()?);
    (upward.len() >= 5).then(|| (upward.len() - 1) as f64 * RATE_HZ as f64 / (last - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_known_by_its_crossings() {
        for hz in [300.0, 1000.0, 2000.0] {
            let tone: Vec<f64> = (0..2000)
                .map(|at| (at as f64 * hz * std::f64::consts::TAU / RATE_HZ as f64 + 0.7).sin())
                .collect();
            let noisy: Vec<f64> =
                tone.iter().enumerate().map(|(at, x)| x + if at % 2 == 0 { 0.1 } else { -0.1 }).collect();
            for (tone, error) in [(tone, 1.0), (noisy, 5.0)] {
                let got = pitch(&tone).unwrap();
                assert!((got - hz).abs() < error, "{got} for {hz}");
            }
        }
        assert_eq!(pitch(&[0.0; 2000]), None);
    }
}
