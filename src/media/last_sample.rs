//! A fragment of a fragmented MP4 whose last sample lasts longer: a picture that is held at the end.

use std::ops::Range;

/// Flags of `tfhd` and `trun` (ISO/IEC 14496-12, sections 8.8.7 and 8.8.8).
const TFHD_BEFORE_DURATION: [(u32, usize); 2] = [(0x1, 8), (0x2, 4)];
const TFHD_DURATION: u32 = 0x8;
const TRUN_OFFSET: u32 = 0x1;
const TRUN_FIRST_FLAGS: u32 = 0x4;
const TRUN_DURATION: u32 = 0x100;
const TRUN_OTHERS: [u32; 3] = [0x200, 0x400, 0x800];

/// The head (`moof`) of a fragment of one run of samples, of which the last one lasts so many ticks longer. None where it is of no form
/// that is written here, or where it would last too long for one sample.
pub(crate) fn lengthened(moof: &[u8], by: u64) -> Option<Vec<u8>> {
    let traf = find(moof, 8..moof.len(), *b"traf")?;
    let inside = traf.start + 8..traf.end;
    let usual = usual_duration(moof, &find(moof, inside.clone(), *b"tfhd")?);
    let trun = find(moof, inside, *b"trun")?;
    let run = run(moof.get(trun.clone())?, usual, by)?;
    let more = run.len() - trun.len();
    let mut head = [moof.get(..trun.start)?, &run, moof.get(trun.end..)?].concat();
    for start in [0, traf.start] {
        add(&mut head, start, more)?;
    }
    Some(head)
}

/// How long a sample lasts that says nothing of it; none where the fragment does not say that.
fn usual_duration(moof: &[u8], tfhd: &Range<usize>) -> Option<u32> {
    let flags = number(moof, tfhd.start + 8).filter(|flags| flags & TFHD_DURATION != 0)?;
    let before = TFHD_BEFORE_DURATION.iter().filter(|(flag, _)| flags & flag != 0);
    number(moof, tfhd.start + 16 + before.map(|(_, bytes)| bytes).sum::<usize>())
}

/// The same run of samples with a duration of each.
fn run(trun: &[u8], usual: Option<u32>, by: u64) -> Option<Vec<u8>> {
    let (flags, samples) = (number(trun, 8)?, number(trun, 12)?);
    if flags & TRUN_OFFSET == 0 {
        return None;
    }
    let mut run = trun.get(..20)?.to_vec();
    run[8..12].copy_from_slice(&(flags | TRUN_DURATION).to_be_bytes());
    let mut at = 20;
    if flags & TRUN_FIRST_FLAGS != 0 {
        run.extend(trun.get(at..at + 4)?);
        at += 4;
    }
    let others = 4 * TRUN_OTHERS.iter().filter(|flag| flags & **flag != 0).count();
    for sample in 0..samples {
        let mut lasts = usual;
        if flags & TRUN_DURATION != 0 {
            lasts = Some(number(trun, at)?);
            at += 4;
        }
        let more = if sample + 1 == samples { by } else { 0 };
        let lasts = u32::try_from(u64::from(lasts?).checked_add(more)?).ok()?;
        run.extend(lasts.to_be_bytes());
        run.extend(trun.get(at..at + others)?);
        at += others;
    }
    if at != trun.len() {
        return None;
    }
    let more = run.len() - trun.len();
    // Its own length, and where its samples begin: behind a longer head.
    add(&mut run, 0, more)?;
    add(&mut run, 16, more)?;
    Some(run)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn add(bytes: &mut [u8], at: usize, more: usize) -> Option<()> {
    let grown = number(bytes, at)?.checked_add(u32::try_from(more).ok()?)?;
    bytes.get_mut(at..at + 4)?.copy_from_slice(&grown.to_be_bytes());
    Some(())
}

/// Where the first box of a kind is among those in a part of these bytes.
fn find(bytes: &[u8], part: Range<usize>, kind: [u8; 4]) -> Option<Range<usize>> {
    let mut at = part.start;
    while at < part.end {
        let end =
            at.checked_add(number(bytes, at)? as usize).filter(|end| *end >= at + 8 && *end <= part.end)?;
        if bytes.get(at + 4..at + 8)? == kind.as_slice() {
            return Some(at..end);
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(kind: &[u8], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), kind, content].concat()
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn head(tfhd: &[u32], trun: &[u32]) -> Vec<u8> {
        let traf = [
            boxed(b"tfhd", &numbers(tfhd)),
            boxed(b"tfdt", &numbers(&[0, 7])),
            boxed(b"trun", &numbers(trun)),
        ];
        boxed(b"moof", &[boxed(b"mfhd", &numbers(&[0, 1])), boxed(b"traf", &traf.concat())].concat())
    }

    #[test]
    fn the_last_sample_lasts_longer_and_nothing_else_changes() {
        // A duration of each; of all alike; with flags of the first sample, and offsets of composition.
        let each = |last: u32| head(&[0x2_0000, 1], &[0x301, 2, 100, 10, 55, last, 66]);
        assert_eq!(lengthened(&each(10), 90), Some(each(100)));
        let alike = head(&[0x2_0038, 1, 10, 55, 0], &[0x0100_0805, 2, 100, 0x0200_0000, 1, 2]);
        let longer = head(&[0x2_0038, 1, 10, 55, 0], &[0x0100_0905, 2, 108, 0x0200_0000, 10, 1, 100, 2]);
        assert_eq!(lengthened(&alike, 90), Some(longer));
        assert_eq!(lengthened(&each(10), u64::from(u32::MAX)), None);
        assert_eq!(
            lengthened(&head(&[0x2_0000, 1], &[0x201, 1, 100, 55]), 90),
            None,
            "nothing says how long it lasts"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, at in 0usize..80, byte: u8, by: u64) {
            lengthened(&bytes, by);
            let mut head = head(&[0x2_0000, 1], &[0x301, 2, 100, 10, 55, 10, 66]);
            let at = at % head.len();
            head[at] = byte;
            lengthened(&head, by);
        }
    }
}
