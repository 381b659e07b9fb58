use std::time::Duration;

/// How far a transcode has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Whether a worker has it; before, it waits in the queue.
    pub running: bool,
    /// Pictures encoded so far.
    pub frames: u64,
    /// How much of the result's playing time is encoded.
    pub encoded: Duration,
    /// Part of the whole, 0 to 1. `None` while the whole isn't known.
    pub fraction: Option<f64>,
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

    const REPORT: &str = "frame=60\nfps=30.1\nout_time_us=2500000\nspeed=1.25x\nprogress=continue\n\
                          frame=121\nout_time_us=5041667\nprogress=end\n";

    #[test]
    fn reports_are_read_as_ffmpeg_writes_them() {
        let mut reader = Reader::new(Some(Duration::from_secs(5)));
        let (first, second) = REPORT.split_at(REPORT.find("frame=121").unwrap());
        let progress = reader.feed(first.as_bytes()).unwrap();
        assert_eq!((progress.frames, progress.fraction), (60, Some(0.5)));
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
