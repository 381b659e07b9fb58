//! Load samples on the wire: as small as what a router decides by allows, for they are most of an idle cluster's bytes.

use std::time::Duration;

use super::codec::{Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, impl_borrow_decode};
use crate::LoadSample;

/// An age, in steps of 40 ms: up to 10.2 s, the age at which a sample is of no use any more.
pub(super) fn age_to_wire(age: Duration) -> u8 {
    u8::try_from(age.as_millis() / AGE_STEP_MS).unwrap_or(u8::MAX)
}

pub(super) fn age_from_wire(age: u8) -> Duration {
    Duration::from_millis(u64::from(age) * AGE_STEP_MS as u64)
}

const AGE_STEP_MS: u128 = 40;

/// What a router decides by, and what is 0 on most nodes at most times: the fields of the last six bits of the byte before them say
/// which of them follow. 5 bytes at the least, 7 for an idle node, 11 once it knows its speed, 21 at the most.
pub(super) struct WireLoad {
    sample: LoadSample,
    /// The two bits that are left: whatever goes with the sample.
    with: u8,
}

/// In [`WireLoad::with`]: a coordinate follows.
pub(super) const WITH_COORDINATE: u8 = 0x80;
/// In [`WireLoad::with`], in the section of a sender's own load: its backlog follows.
pub(super) const WITH_BACKLOG: u8 = 0x40;
/// The bits of [`WireLoad::with`].
const WITH: u8 = WITH_COORDINATE | WITH_BACKLOG;
/// Thousandths in a half percent.
const PERMILLE_STEP: u16 = 5;

impl WireLoad {
    pub(super) fn new(sample: &LoadSample, with: u8) -> Self {
        Self { sample: *sample, with: with & WITH }
    }

    /// None if it is out of range.
    pub(super) fn sample(&self) -> Option<LoadSample> {
        let in_range = self.sample.cpu_permille <= 1000 && self.sample.memory_permille <= 1000;
        in_range.then_some(self.sample)
    }

    pub(super) fn with(&self) -> u8 {
        self.with
    }
}

impl Encode for WireLoad {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let sample = &self.sample;
        let half_percents = |permille: u16| (permille / PERMILLE_STEP) as u8;
        let counts = [sample.queue_capacity_jobs, sample.workers, sample.queued_jobs, sample.running_jobs];
        let speeds = [sample.service_ms, sample.kilopixels_per_s].map(short_float);
        let said = counts.iter().chain(&speeds).enumerate();
        let present = said.fold(self.with, |present, (bit, field)| present | u8::from(*field != 0) << bit);
        let percents = [sample.cpu_permille, sample.memory_permille].map(half_percents);
        (sample.seq.to_le_bytes(), percents, present).encode(encoder)?;
        for count in counts.iter().filter(|count| **count != 0) {
            count.encode(encoder)?;
        }
        for speed in speeds.iter().filter(|speed| **speed != 0) {
            speed.to_le_bytes().encode(encoder)?;
        }
        Ok(())
    }
}

impl_borrow_decode!(WireLoad);

impl<C> Decode<C> for WireLoad {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (seq, [cpu, memory], present) = <([u8; 2], [u8; 2], u8)>::decode(decoder)?;
        let is_said = |bit: usize| present & 1 << bit != 0;
        let mut counts = [0u16; 4];
        for (_, count) in counts.iter_mut().enumerate().filter(|(bit, _)| is_said(*bit)) {
            *count = u16::decode(decoder)?;
        }
        let mut speeds = [0u32; 2];
        for (_, speed) in (4..).zip(&mut speeds).filter(|(bit, _)| is_said(*bit)) {
            let bits = u16::from_le_bytes(<[u8; 2]>::decode(decoder)?);
            *speed = from_short_float(bits).ok_or(DecodeError::Other("a speed out of range"))?;
        }
        let [queue_capacity_jobs, workers, queued_jobs, running_jobs] = counts;
        let [service_ms, kilopixels_per_s] = speeds;
        let [cpu_permille, memory_permille] =
            [cpu, memory].map(|half_percents| u16::from(half_percents) * PERMILLE_STEP);
        let sample = LoadSample {
            seq: u16::from_le_bytes(seq),
            cpu_permille,
            memory_permille,
            queued_jobs,
            queue_capacity_jobs,
            running_jobs,
            workers,
            service_ms,
            kilopixels_per_s,
            backlog_ms: 0,
            hardware: 0,
        };
        Ok(Self { sample, with: present & WITH })
    }
}

/// Bits of a short float's mantissa; the exponent is above them.
const MANTISSA_BITS: u32 = 11;

/// The number's twelve upper bits and how far they are shifted: exact below 4,096, else too small by less than 1 in 2,048.
pub(super) fn short_float(number: u32) -> u16 {
    let shift = (u32::BITS - number.leading_zeros()).saturating_sub(MANTISSA_BITS + 1);
    // With the exponent 0 the uppermost bit is said, with all others it is understood.
    if number < 1 << MANTISSA_BITS {
        return number as u16;
    }
    let mantissa = (number >> shift) as u16 & ((1 << MANTISSA_BITS) - 1);
    ((shift as u16 + 1) << MANTISSA_BITS) | mantissa
}

/// None if it is too large.
pub(super) fn from_short_float(bits: u16) -> Option<u32> {
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
    fn what_is_zero_costs_nothing() {
        let bytes = |sample: LoadSample| {
            let mut bytes = Vec::new();
            super::super::codec::put(&WireLoad::new(&sample, 0), &mut bytes);
            bytes.len()
        };
        let idle = LoadSample {
            seq: 700,
            cpu_permille: 20,
            memory_permille: 300,
            workers: 2,
            ..LoadSample::default()
        };
        assert_eq!(bytes(LoadSample { queue_capacity_jobs: 8, ..idle }), 7);
        let most = LoadSample {
            queued_jobs: u16::MAX,
            queue_capacity_jobs: u16::MAX,
            running_jobs: u16::MAX,
            workers: u16::MAX,
            service_ms: u32::MAX,
            kilopixels_per_s: u32::MAX,
            ..idle
        };
        assert_eq!(bytes(most), 21);
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
