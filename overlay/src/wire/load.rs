//! Load samples on the wire: as small as what a router decides by allows, for they are most of an idle cluster's bytes.

use std::time::Duration;

use bincode::{Decode, Encode};

use crate::LoadSample;

/// An age, in steps of 40 ms: up to 10.2 s, the age at which a sample is of no use any more.
pub(super) fn age_to_wire(age: Duration) -> u8 {
    u8::try_from(age.as_millis() / AGE_STEP_MS).unwrap_or(u8::MAX)
}

pub(super) fn age_from_wire(age: u8) -> Duration {
    Duration::from_millis(u64::from(age) * AGE_STEP_MS as u64)
}

const AGE_STEP_MS: u128 = 40;

/// A load sample in at most 20 bytes, mostly 12.
#[derive(Encode, Decode)]
pub(super) struct WireLoad {
    seq: [u8; 2],
    /// In half percents.
    cpu: u8,
    memory: u8,
    queued_jobs: u16,
    queue_capacity_jobs: u16,
    running_jobs: u16,
    workers: u16,
    service_ms: [u8; 2],
    kilopixels_per_s: [u8; 2],
}

/// Thousandths in a half percent.
const PERMILLE_STEP: u16 = 5;

impl From<&LoadSample> for WireLoad {
    fn from(sample: &LoadSample) -> Self {
        let half_percents = |permille: u16| (permille / PERMILLE_STEP) as u8;
        Self {
            seq: sample.seq.to_le_bytes(),
            cpu: half_percents(sample.cpu_permille),
            memory: half_percents(sample.memory_permille),
            queued_jobs: sample.queued_jobs,
            queue_capacity_jobs: sample.queue_capacity_jobs,
            running_jobs: sample.running_jobs,
            workers: sample.workers,
            service_ms: short_float(sample.service_ms).to_le_bytes(),
            kilopixels_per_s: short_float(sample.kilopixels_per_s).to_le_bytes(),
        }
    }
}

impl WireLoad {
    pub(super) fn sample(&self) -> Option<LoadSample> {
        let permille = |half_percents: u8| u16::from(half_percents) * PERMILLE_STEP;
        let (cpu_permille, memory_permille) = (permille(self.cpu), permille(self.memory));
        (cpu_permille <= 1000 && memory_permille <= 1000).then_some(LoadSample {
            seq: u16::from_le_bytes(self.seq),
            cpu_permille,
            memory_permille,
            queued_jobs: self.queued_jobs,
            queue_capacity_jobs: self.queue_capacity_jobs,
            running_jobs: self.running_jobs,
            workers: self.workers,
            service_ms: from_short_float(u16::from_le_bytes(self.service_ms))?,
            kilopixels_per_s: from_short_float(u16::from_le_bytes(self.kilopixels_per_s))?,
        })
    }
}

/// Bits of a short float's mantissa; the exponent is above them.
const MANTISSA_BITS: u32 = 11;

/// The number's twelve upper bits and how far they are shifted: exact below 4,096, else too small by less than 1 in 2,048.
fn short_float(number: u32) -> u16 {
    let shift = (u32::BITS - number.leading_zeros()).saturating_sub(MANTISSA_BITS + 1);
    // With the exponent 0 the uppermost bit is said, with all others it is understood.
    if number < 1 << MANTISSA_BITS {
        return number as u16;
    }
    let mantissa = (number >> shift) as u16 & ((1 << MANTISSA_BITS) - 1);
    ((shift as u16 + 1) << MANTISSA_BITS) | mantissa
}

/// None if it is too large.
fn from_short_float(bits: u16) -> Option<u32> {
    let (exponent, mantissa) = (bits >> MANTISSA_BITS, u32::from(bits) & ((1 << MANTISSA_BITS) - 1));
    let Some(shift) = exponent.checked_sub(1) else { return Some(mantissa) };
    let number = mantissa | (1 << MANTISSA_BITS);
    (u32::from(shift) <= number.leading_zeros()).then(|| number << shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_short_float_is_the_number_or_a_little_less(number: u32) {
            let back = from_short_float(short_float(number)).unwrap();
            prop_assert!(back <= number && number - back <= number / 2_048, "{number} came back as {back}");
            prop_assert_eq!(short_float(back), short_float(number));
        }

        #[test]
        fn any_two_bytes_are_a_short_float_or_none(bits: u16) {
            if let Some(number) = from_short_float(bits) {
                prop_assert_eq!(short_float(number), bits);
            }
        }
    }

    #[test]
    fn small_numbers_are_exact_and_the_greatest_fits() {
        for number in 0..4_096 {
            assert_eq!(from_short_float(short_float(number)), Some(number));
        }
        assert_eq!(from_short_float(short_float(u32::MAX)), Some(u32::MAX << 20));
        assert_eq!(from_short_float(u16::MAX), None);
    }
}
