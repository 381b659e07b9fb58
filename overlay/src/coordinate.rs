//! Vivaldi network coordinates with height (Dabek, Cox, Kaashoek, Morris: SIGCOMM 2004).
//!
//! Each member places itself in a space in which distances are round-trip times; two coordinates then tell the RTT
//! between two members that have never met. The height is the part of the RTT that every path of a member shares: its
//! access link.

use std::time::Duration;

use rand::Rng;

/// Dimensions beside the height.
pub(crate) const DIMENSIONS: usize = 3;
/// Weight of a new measurement in the position (the paper's `c_c`) and in the error (`c_e`).
const POSITION_WEIGHT: f64 = 0.25;
const ERROR_WEIGHT: f64 = 0.25;
/// Error of a member that knows nothing yet, relative to the RTT.
const ERROR_MAX: f64 = 1.5;
const ERROR_MIN: f64 = 0.01;
/// Nobody is nearer to everybody than this.
const HEIGHT_MS_MIN: f64 = 0.01;
/// Farther apart than this is nobody on Earth, not even by satellite.
const EXTENT_MS_MAX: f64 = 2_000.0;
/// Shorter RTTs are taken for this one: below it, clocks and schedulers are what is measured.
const RTT_MS_MIN: f64 = 0.05;

/// A place in the space of round-trip times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    pub(crate) position: [f32; DIMENSIONS],
    pub(crate) height: f32,
    /// Expected relative error of estimates made with it.
    pub(crate) error: f32,
}

impl Default for Coordinate {
    fn default() -> Self {
        Self { position: [0.0; DIMENSIONS], height: HEIGHT_MS_MIN as f32, error: ERROR_MAX as f32 }
    }
}

impl Coordinate {
    /// The round-trip time between two members at these places.
    pub fn rtt_to(&self, other: &Self) -> Duration {
        Duration::from_secs_f64(self.distance_ms(other).max(RTT_MS_MIN) / 1e3)
    }

    /// Expected relative error of [`Self::rtt_to`].
    pub fn error_to(&self, other: &Self) -> f64 {
        f64::from(self.error.max(other.error))
    }

    /// Whether it says anything yet.
    pub(crate) fn is_useful(&self) -> bool {
        f64::from(self.error) < 1.0
    }

    fn distance_ms(&self, other: &Self) -> f64 {
        length(&difference(&self.position, &other.position))
            + f64::from(self.height)
            + f64::from(other.height)
    }

    /// Moves this coordinate so that its distance to `other` is more like the RTT that was measured (the paper's
    /// figure 3).
    pub(crate) fn update(&mut self, other: &Self, rtt: Duration, rng: &mut impl Rng) {
        let rtt_ms = (rtt.as_secs_f64() * 1e3).clamp(RTT_MS_MIN, EXTENT_MS_MAX);
        let (mine, theirs) = (f64::from(self.error), f64::from(other.error));
        // Who is sure of its place moves those who are not.
        let confidence = mine / (mine + theirs).max(f64::EPSILON);
        let distance = self.distance_ms(other);
        let sample_error = (distance - rtt_ms).abs() / rtt_ms;
        let weight = ERROR_WEIGHT * confidence;
        self.error = (sample_error * weight + mine * (1.0 - weight)).clamp(ERROR_MIN, ERROR_MAX) as f32;

        let force = POSITION_WEIGHT * confidence * (rtt_ms - distance);
        let away = difference(&self.position, &other.position);
        let apart = length(&away);
        // Two members at one place have to part in some direction.
        let direction = if apart > 1e-6 { away.map(|part| part / apart) } else { random_direction(rng) };
        let heights = f64::from(self.height) + f64::from(other.height);
        let whole = (apart + heights).max(1e-6);
        for (part, along) in self.position.iter_mut().zip(direction) {
            let extent = EXTENT_MS_MAX / 2.0;
            *part = (f64::from(*part) + force * along).clamp(-extent, extent) as f32;
        }
        // The height takes its share of the force (the paper's section 5.4).
        let height = f64::from(self.height) + force * heights / whole;
        self.height = height.clamp(HEIGHT_MS_MIN, EXTENT_MS_MAX) as f32;
    }
}

fn difference(a: &[f32; DIMENSIONS], b: &[f32; DIMENSIONS]) -> [f64; DIMENSIONS] {
    std::array::from_fn(|i| f64::from(a[i]) - f64::from(b[i]))
}

fn length(vector: &[f64; DIMENSIONS]) -> f64 {
    vector.iter().map(|part| part * part).sum::<f64>().sqrt()
}

fn random_direction(rng: &mut impl Rng) -> [f64; DIMENSIONS] {
    let vector: [f64; DIMENSIONS] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
    let size = length(&vector).max(1e-3);
    vector.map(|part| part / size)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_papers_three_zones_are_found_from_random_measurements() {
        let rtt = [[10.0, 90.0, 200.0], [90.0, 10.0, 250.0], [200.0, 250.0, 10.0]];
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut places = vec![Coordinate::default(); 12];
        for _ in 0..12 * 200 {
            let (a, b) = (rng.random_range(0..12), rng.random_range(0..12));
            if a != b {
                let other = places[b];
                places[a].update(&other, Duration::from_secs_f64(rtt[a % 3][b % 3] / 1e3), &mut rng);
            }
        }
        let mut errors = Vec::new();
        for a in 0..12 {
            for b in 0..a {
                let estimate = places[a].rtt_to(&places[b]).as_secs_f64() * 1e3;
                errors.push((estimate - rtt[a % 3][b % 3]).abs() / rtt[a % 3][b % 3]);
            }
        }
        errors.sort_unstable_by(f64::total_cmp);
        assert!(errors[errors.len() / 2] < 0.11, "median error {}", errors[errors.len() / 2]);
    }

    #[test]
    fn hostile_coordinates_do_not_carry_anyone_away() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut place = Coordinate::default();
        let far = Coordinate { position: [1e3; DIMENSIONS], height: 2e3, error: ERROR_MIN as f32 };
        for _ in 0..10_000 {
            place.update(&far, Duration::from_millis(1), &mut rng);
        }
        assert!(
            place.position.iter().all(|part| part.abs() <= 1e3) && f64::from(place.height) <= EXTENT_MS_MAX
        );
        assert!(place.error.is_finite());
    }
}
