use crate::content::{Ratio, VideoInfo};

/// A rate at which every frame of the file falls on a tick may be taken for constant up to this much of its average.
const CONSTANT_ERROR_MAX: f64 = 0.01;
/// A file that does not say how often it changes is taken to do so this often, in frames a second.
const USUAL_FPS: u32 = 30;
/// Ticks a second for what has no rate of its own: whole for the millisecond of WebM, for MPEG's clock, and most others.
const FINE_TICKS_PER_S: u32 = 90_000;
/// Fewer ticks a second than this would move pictures that come in bursts.
const TICKS_PER_S_MIN: f64 = 120.0;
/// Ticks from one frame to the next, at least: half of one is more than the error of a container that counts milliseconds.
const TICKS_PER_FRAME_MIN: u32 = 4;
/// No two frames are closer than this part of the distance that they have at the cap: a little less than that, for clocks that
/// are rounded, and for rates that are hardly above it.
const STEP_MIN: f64 = 0.75;

/// When pictures are shown: at their own times, on a grid of ticks that is finer than their distance; never more of them than a cap
/// in each second.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Frames a second, as the encoder is told.
    pub nominal: Ratio,
    /// Length of a tick, in seconds.
    pub tick: Ratio,
    /// What is left out.
    pub thinning: Thinning,
    /// Whether every frame lasts as long, as far as the file tells.
    pub constant: bool,
    /// Of a rate that varies: how long all of them last, in seconds, where the file says so of this very stream.
    pub length_s: Option<f64>,
}

/// Which frames are left out of a stream that may have more of them than it should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thinning {
    /// None: there are no more.
    None,
    /// Those over this number a second, for however short a while it is more.
    Over(f64),
    /// All but one of so many of a constant rate.
    OneOf(u32, Ratio),
    /// Of a constant rate that has no such part, those that are farthest from the ticks of this rate; the others come out on them.
    ToGrid(u32),
}

impl Rate {
    /// The rate of what comes out of this stream under a cap in frames a second.
    pub fn of(video: &VideoInfo, cap: u32) -> Self {
        let cap = cap.max(1);
        match video.constant_rate.filter(|rate| fits_a_grid(*rate)) {
            Some(rate) if rate.value() <= f64::from(cap) * (1.0 + CONSTANT_ERROR_MAX) => {
                Self::constant(rate, cap, video.counted)
            }
            Some(rate) => Self::capped(rate, cap),
            None => {
                let length_s = video.duration.map(|duration| duration.as_secs_f64());
                Self { length_s, ..Self::variable(video.fps, cap) }
            }
        }
    }

    fn constant(rate: Ratio, cap: u32, counted: bool) -> Self {
        let ticks = ((TICKS_PER_S_MIN / rate.value()).ceil() as u32).max(TICKS_PER_FRAME_MIN);
        let tick = Ratio::new(rate.under(), rate.over().saturating_mul(ticks));
        // Of a file that counts no frames the rate is that of its first seconds.
        let thinning =
            if counted { Thinning::None } else { Thinning::Over(f64::from(cap).max(rate.value())) };
        Self { nominal: rate, tick: tick.unwrap_or_else(fine), thinning, constant: true, length_s: None }
    }

    /// Every second, third, … frame of a constant rate, where that comes near the cap; else as many as the cap allows.
    fn capped(rate: Ratio, cap: u32) -> Self {
        let part = (rate.value() / f64::from(cap) / (1.0 + CONSTANT_ERROR_MAX)).ceil() as u32;
        let even = Ratio::new(rate.over(), rate.under().saturating_mul(part))
            .filter(|even| even.value() > 0.9 * f64::from(cap));
        let thinning = even.map_or(Thinning::ToGrid(cap), |_| Thinning::OneOf(part, rate));
        Self { thinning, ..Self::constant(even.unwrap_or_else(|| whole(cap)), cap, true) }
    }

    fn variable(fps: f64, cap: u32) -> Self {
        let usual = USUAL_FPS.min(cap);
        let nominal = if fps > 0.0 && fps.is_finite() {
            // A thousandth of a frame is exact enough for what is an average.
            Ratio::new((fps.clamp(1.0, f64::from(cap)) * 1000.0).round() as u32, 1000)
        } else {
            None
        };
        Self {
            nominal: nominal.unwrap_or_else(|| whole(usual)),
            tick: fine(),
            thinning: Thinning::Over(cap.into()),
            constant: false,
            length_s: None,
        }
    }

    /// Frames a second that there may be for a while.
    pub fn peak(&self) -> f64 {
        match self.thinning {
            Thinning::Over(most) if !self.constant => most,
            _ => self.nominal.value(),
        }
    }

    /// Drops what is too much.
    ///
    /// Of frames at any times: a token bucket of one frame, so that a rate just below the cap with times that are rounded loses
    /// nothing, and one just above it comes out at the cap; and none that follows closely upon another.
    pub fn filter(&self) -> Option<String> {
        Some(match self.thinning {
            Thinning::None => return None,
            Thinning::Over(most) => format!(
                // A stream whose size changes begins the filters anew. What it shows once more before the time of what was shown is left
                // out by ffmpeg itself, but a picture that ends after it, as long as it knows how long one lasts: `interleave` tells no rate.
                "select='st(1,isnan(prev_selected_t)+gte(t*{most:.3},ld(0)-0.9)*gte((t-prev_selected_t)*{most:.3},{STEP_MIN}));\
                 st(0,if(isnan(prev_selected_t),t*{most:.3},if(ld(1),max(t*{most:.3},ld(0)),ld(0)-1))+1);ld(1)',interleave=n=1"
            ),
            Thinning::OneOf(part, rate) => {
                let step = (f64::from(part) - 0.5) / rate.value();
                format!("select='isnan(prev_selected_t)+gte(t-prev_selected_t,{step:.6})'")
            }
            Thinning::ToGrid(rate) => format!("fps={rate}"),
        })
    }
}

/// Whether the ticks of a constant rate can be counted in 31 bits.
fn fits_a_grid(rate: Ratio) -> bool {
    rate.value() >= 1.0 && rate.over() <= 1_000_000 && rate.under() <= 10_000
}

fn fine() -> Ratio {
    whole_under(FINE_TICKS_PER_S)
}

#[expect(clippy::expect_used, reason = "neither number is 0")]
fn whole(number: u32) -> Ratio {
    Ratio::new(number.max(1), 1).expect("neither is 0")
}

#[expect(clippy::expect_used, reason = "neither number is 0")]
fn whole_under(number: u32) -> Ratio {
    Ratio::new(1, number.max(1)).expect("neither is 0")
}

/// The rate of a stream in which every frame lasts as long: it is a usual one, and as many frames were counted.
pub(crate) fn constant_rate(on_ticks: Option<Ratio>, average: Option<Ratio>) -> Option<Ratio> {
    let (rate, average) = (on_ticks?, average?);
    let (value, mean) = (rate.value(), average.value());
    let near_whole = |value: f64| (value - value.round()).abs() < 1e-3;
    let usual = near_whole(value) || near_whole(value * 1.001);
    (usual && value <= 1000.0 && (mean / value - 1.0).abs() < CONSTANT_ERROR_MAX).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(over: u32, under: u32) -> Ratio {
        Ratio::new(over, under).unwrap()
    }

    fn of(constant_rate: Option<(u32, u32)>, fps: f64) -> Rate {
        let constant_rate = constant_rate.map(|(over, under)| ratio(over, under));
        Rate::of(&VideoInfo { fps, constant_rate, counted: true, ..VideoInfo::default() }, 60)
    }

    #[test]
    fn a_constant_rate_is_kept_exactly() {
        for (over, under, ticks) in
            [(24_000, 1001, 6), (25, 1, 5), (30_000, 1001, 5), (30, 1, 4), (60, 1, 4), (60_000, 1001, 4)]
        {
            let rate = of(Some((over, under)), 0.0);
            assert_eq!(rate.nominal, ratio(over, under));
            assert_eq!(rate.tick, ratio(under, over * ticks), "{over}/{under}");
            assert_eq!((rate.filter(), rate.constant), (None, true));
            let guessed = VideoInfo { constant_rate: Some(ratio(over, under)), ..VideoInfo::default() };
            assert_eq!(Rate::of(&guessed, 60).thinning, Thinning::Over(60.0));
        }
    }

    #[test]
    fn what_is_over_the_cap_comes_out_at_it_or_at_an_even_part() {
        for (from, to) in [((120, 1), (60, 1)), ((120_000, 1001), (60_000, 1001)), ((240, 1), (60, 1))] {
            let rate = of(Some(from), 0.0);
            assert_eq!(rate.nominal, ratio(to.0, to.1));
            assert_eq!(rate.tick, ratio(to.1, to.0 * 4));
            assert!(matches!(rate.thinning, Thinning::OneOf(2 | 4, _)), "{rate:?}");
        }
        for odd in [75, 90, 100, 144] {
            let rate = of(Some((odd, 1)), 0.0);
            assert_eq!((rate.nominal, rate.thinning), (ratio(60, 1), Thinning::ToGrid(60)), "{odd}");
        }
    }

    #[test]
    fn what_has_no_rate_of_its_own_keeps_its_times() {
        let rate = of(None, 18.767);
        assert_eq!((rate.nominal, rate.tick), (ratio(18_767, 1000), ratio(1, 90_000)));
        assert_eq!(rate.thinning, Thinning::Over(60.0));
        assert!((rate.peak() - 60.0).abs() < f64::EPSILON);
        assert_eq!(of(None, 0.0).nominal, ratio(30, 1));
        assert_eq!(of(None, f64::NAN).nominal, ratio(30, 1));
        assert_eq!(of(None, 0.01).nominal, ratio(1, 1));
    }

    #[test]
    fn a_rate_is_constant_if_it_is_usual_and_its_frames_are_there() {
        let constant =
            |a: (u32, u32), b: (u32, u32)| constant_rate(Ratio::new(a.0, a.1), Ratio::new(b.0, b.1));
        assert_eq!(constant((30_000, 1001), (30_000, 1001)), Some(ratio(30_000, 1001)));
        assert_eq!(constant((25, 1), (24_999, 1000)), Some(ratio(25, 1)));
        assert_eq!(constant((30, 1), (1800, 239)), None, "a picture that is held");
        assert_eq!(constant((23_477, 1251), (23_477, 1251)), None, "bursts");
        assert_eq!(constant((1000, 1), (0, 1)), None, "a browser's");
        assert_eq!(constant((90_000, 1), (90_000, 1)), None);
    }
}
