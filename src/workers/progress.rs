use std::time::{Duration, Instant};

use super::child::Listener;
use super::larger;
use super::own_time::{OwnTime, Pulse};
use crate::content::MediaInfo;

/// How far a transcode has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Whether a worker has it; before, it waits in the queue.
    pub running: bool,
    /// Pictures encoded so far.
    pub frames: u64,
    /// Pictures that were decoded and not encoded, and such that were encoded once more.
    pub dropped: u64,
    /// See `dropped`.
    pub duplicated: u64,
    /// How much of the result's playing time is encoded.
    pub encoded: Duration,
    /// Part of the whole, 0 to 1. `None` while the whole isn't known.
    pub fraction: Option<f64>,
    /// CPU that ffmpeg has used. Also an encoder that looks far ahead before its first picture uses some.
    pub cpu: Duration,
}

/// An ffmpeg that has written no progress for so long, and used less CPU than [`IDLE_PART_MAX`] of that time, hangs: it waits for
/// something that does not come. Time that the machine kept from it does not count, here and below.
const HUNG_AFTER: Duration = Duration::from_secs(20);
const IDLE_PART_MAX: f64 = 0.01;
/// And one that has got no further for so long, whatever it uses, goes in a circle.
const CIRCLING_AFTER: Duration = Duration::from_secs(120);

/// Hears ffmpeg's progress and its pulse, and tells of both.
pub(super) struct Ear<F> {
    reader: Reader,
    reported: bool,
    /// When it last got further, and what CPU it had used by then; and the same of when it last used more than next to none.
    further: Instant,
    busy: (Instant, Duration),
    time: OwnTime,
    on_progress: F,
    /// What the input says of itself, and in which way it went beyond that.
    said: Option<MediaInfo>,
    beyond: Option<String>,
}

impl<F: FnMut(Progress)> Ear<F> {
    pub(super) fn new(total: Option<Duration>, on_progress: F) -> Self {
        let now = Instant::now();
        Self {
            reader: Reader::new(total),
            reported: false,
            further: now,
            busy: (now, Duration::ZERO),
            time: OwnTime::since(now),
            on_progress,
            said: None,
            beyond: None,
        }
    }

    /// Has had enough where more comes than the input says.
    pub(super) fn within(self, said: &MediaInfo) -> Self {
        Self { said: Some(said.clone()), ..self }
    }

    /// In which way the input went beyond what it says, if it did.
    pub(super) fn beyond(&self) -> Option<String> {
        self.beyond.clone()
    }

    /// How far it has come, if it has said so at all.
    pub(super) fn reported(&self) -> Option<Progress> {
        self.reported.then(|| self.reader.now())
    }

    fn is_hung_at(&mut self, now: Instant, pulse: Pulse) -> bool {
        let (kept, cpu) = (self.time.kept(now, pulse), pulse.cpu);
        self.further = (self.further + kept).min(now);
        self.busy.0 = (self.busy.0 + kept).min(now);
        let (since, used) = self.busy;
        if cpu.saturating_sub(used) >= (now - since).mul_f64(IDLE_PART_MAX).max(MOVED_CPU_MIN) {
            self.busy = (now, cpu);
            self.reader.now.cpu = cpu;
            (self.on_progress)(self.reader.now());
        }
        let further = now.saturating_duration_since(self.further);
        (further >= HUNG_AFTER && now - self.busy.0 >= HUNG_AFTER) || further >= CIRCLING_AFTER
    }
}

/// The least that the kernel's clock of a process's CPU tells of.
const MOVED_CPU_MIN: Duration = Duration::from_millis(10);

impl<F: FnMut(Progress)> Listener for Ear<F> {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        let before = self.reader.now();
        if let Some(progress) = self.reader.feed(bytes) {
            self.reported = true;
            if (before.frames, before.encoded) != (progress.frames, progress.encoded) {
                self.further = Instant::now();
            }
            (self.on_progress)(progress);
            self.beyond = self.said.as_ref().and_then(|said| larger::beyond(said, &progress));
        }
        self.beyond.is_none()
    }

    fn is_hung(&mut self, pulse: Pulse) -> bool {
        self.is_hung_at(Instant::now(), pulse)
    }
}

/// Reads ffmpeg's `-progress` lines, whatever way they are cut into pieces.
#[derive(Debug)]
pub(super) struct Reader {
    total: Option<Duration>,
    line: Vec<u8>,
    now: Progress,
}

/// Longer lines than ffmpeg's longest are not of its progress.
const LINE_BYTES_MAX: usize = 256;

impl Reader {
    pub(super) fn new(total: Option<Duration>) -> Self {
        let fraction = total.map(|_| 0.0);
        Self { total, line: Vec::new(), now: Progress { running: true, fraction, ..Progress::default() } }
    }

    /// Takes the next bytes; gives the progress if a report was completed by them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Progress> {
        let mut report = None;
        for byte in bytes {
            match byte {
                b'\n' => {
                    if self.line() {
                        report = Some(self.now);
                    }
                    self.line.clear();
                }
                _ if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
        report
    }

    pub(super) const fn now(&self) -> Progress {
        self.now
    }

    /// Takes in one line; true at the end of a report.
    fn line(&mut self) -> bool {
        let Ok(line) = std::str::from_utf8(&self.line) else { return false };
        let Some((key, value)) = line.split_once('=') else { return false };
        let value = value.trim();
        match key {
            "frame" => self.now.frames = value.parse().unwrap_or(self.now.frames),
            "drop_frames" => self.now.dropped = value.parse().unwrap_or(self.now.dropped),
            "dup_frames" => self.now.duplicated = value.parse().unwrap_or(self.now.duplicated),
            // N/A before the first packet, and negative for a moment where the first time stamp is.
            "out_time_us" => {
                if let Ok(micros) = value.parse() {
                    self.now.encoded = Duration::from_micros(micros);
                    self.now.fraction = self
                        .total
                        .filter(|total| !total.is_zero())
                        .map(|total| (self.now.encoded.as_secs_f64() / total.as_secs_f64()).min(1.0));
                }
            }
            "progress" => return true,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REPORT: &str = "frame=60\nfps=30.1\ndup_frames=3\ndrop_frames=2\nout_time_us=2500000\nspeed=1.25x\nprogress=continue\n\
                          frame=121\nout_time_us=5041667\nprogress=end\n";

    #[test]
    fn reports_are_read_as_ffmpeg_writes_them() {
        let mut reader = Reader::new(Some(Duration::from_secs(5)));
        let (first, second) = REPORT.split_at(REPORT.find("frame=121").unwrap());
        let progress = reader.feed(first.as_bytes()).unwrap();
        assert_eq!((progress.frames, progress.fraction), (60, Some(0.5)));
        assert_eq!((progress.duplicated, progress.dropped), (3, 2));
        let progress = reader.feed(second.as_bytes()).unwrap();
        assert_eq!((progress.frames, progress.fraction), (121, Some(1.0)));
    }

    #[test]
    fn what_is_not_known_yet_changes_nothing() {
        let mut reader = Reader::new(None);
        let progress =
            reader.feed(b"frame=N/A\nout_time_us=N/A\nout_time_us=-1\nprogress=continue\n").unwrap();
        assert_eq!(progress, Progress { running: true, ..Progress::default() });
    }

    #[test]
    fn one_that_neither_works_nor_says_anything_hangs() {
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let pulse = |cpu| Pulse { cpu, ready: false };
        let hung_after = |cpu_a_second: Duration| {
            let mut ear = Ear::new(None, |_| {});
            (1..=300u32).find(|&s| ear.is_hung_at(begun + second * (s + 1), pulse(cpu_a_second * s)))
        };
        assert_eq!(hung_after(Duration::ZERO), Some(20));
        // Starved of CPU among many, and at a picture that takes its time.
        for cpu in [Duration::from_millis(15), second, 2 * second] {
            assert_eq!(hung_after(cpu), Some(120), "{cpu:?}");
        }
        // Frozen in the middle of its work.
        let mut ear = Ear::new(None, |_| {});
        ear.hears(REPORT.as_bytes());
        let frozen = |s: &u32| ear.is_hung_at(begun + second * (*s + 1), pulse(second * (*s).min(30)));
        assert_eq!((1..=300u32).find(frozen), Some(50));
        // On a machine that gives it 4 ms a second it is starved, however long, and does not hang; one that goes in a circle on half
        // of a core has done so when it has worked for as long as one that has all of it.
        let starved_until = |cpu_a_second: Duration| {
            let mut ear = Ear::new(None, |_| {});
            let pulse = |s: u32| Pulse { cpu: cpu_a_second * s, ready: true };
            (1..=3_000u32).find(|&s| ear.is_hung_at(begun + second * (s + 1), pulse(s)))
        };
        assert_eq!(starved_until(Duration::from_millis(4)), None);
        assert!(starved_until(second / 2).is_some_and(|s| (235..=245).contains(&s)));
        // What it says counts, whatever it uses.
        let mut told = 0;
        let mut ear = Ear::new(None, |_| told += 1);
        ear.hears(REPORT.as_bytes());
        assert_eq!(ear.reported().map(|progress| progress.frames), Some(121));
        drop(ear);
        assert!(told > 0);
    }

    proptest! {
        #[test]
        fn the_way_it_is_cut_does_not_matter(cuts in prop::collection::vec(1usize..30, 1..40)) {
            let mut reader = Reader::new(Some(Duration::from_secs(5)));
            let mut rest = REPORT.as_bytes();
            let mut last = None;
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                last = reader.feed(now).or(last);
                rest = later;
            }
            prop_assert_eq!(last.unwrap().frames, 121);
        }

        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>) {
            let mut reader = Reader::new(Some(Duration::from_secs(1)));
            reader.feed(&bytes);
            prop_assert!(reader.line.len() <= LINE_BYTES_MAX);
        }
    }
}
