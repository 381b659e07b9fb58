//! How long the streams of a file really play: by their packets, as a demuxer gives them, and not by what a header says.

use std::collections::BTreeMap;
use std::time::Duration;

/// A pause or a step back of the clock that is longer than this is a cut between two recordings, as ffmpeg takes it, too, in seconds.
const CUT_S: f64 = 10.0;
/// No stream has a number above this.
const STREAMS_MAX: usize = 1024;
/// A line of times is shorter than this.
const LINE_BYTES_MAX: usize = 128;

/// Reads the times of packets as ffprobe lists them, one a line, whatever way the lines are cut into pieces. Memory is bounded
/// however long the list.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    line: Vec<u8>,
    streams: BTreeMap<u32, Clock>,
}

/// From when to when a stream plays, on the clock of its file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    /// When its first packet is shown.
    pub(crate) start: Duration,
    /// Until when its last one lasts; cuts left out.
    pub(crate) end: Duration,
    /// How long the one lasts that ends last.
    pub(crate) last: Duration,
    /// How many there are.
    pub(crate) packets: u64,
}

impl Span {
    /// How long it plays.
    pub(crate) fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    first: f64,
    /// The latest time before the last cut, on a clock without cuts, and what that is ahead of the file's.
    latest: f64,
    ahead: f64,
    end: f64,
    /// Duration of the packet that ends last.
    last: f64,
    packets: u64,
}

impl Packets {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.take_line();
                    self.line.clear();
                }
                _ if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// How long a stream plays; `None` without a packet of it that has a time.
    pub(crate) fn span(&self, stream: u32) -> Option<Span> {
        let clock = self.streams.get(&stream)?;
        // The clock of a file may begin below zero.
        let begin = clock.first.min(0.0);
        let time = |at: f64| Duration::try_from_secs_f64(at - begin).ok();
        let last = Duration::try_from_secs_f64(clock.last).ok()?;
        Some(Span { start: time(clock.first)?, end: time(clock.end)?, last, packets: clock.packets })
    }

    /// When the first packet of all is shown: where ffmpeg's clock begins.
    pub(crate) fn begin(&self) -> Duration {
        let first = self.streams.values().map(|clock| clock.first).fold(f64::INFINITY, f64::min);
        Duration::try_from_secs_f64(first).unwrap_or_default()
    }

    /// The time from the begin of the file's clock, or from the first packet of any stream where that is before it, to the end of
    /// the last one.
    pub(crate) fn whole(&self) -> Option<Duration> {
        let first = self.streams.values().map(|clock| clock.first).fold(0.0, f64::min);
        let end = self.streams.values().map(|clock| clock.end).fold(f64::NEG_INFINITY, f64::max);
        Duration::try_from_secs_f64(end - first).ok()
    }

    fn take_line(&mut self) {
        let Ok(line) = std::str::from_utf8(&self.line) else { return };
        let mut fields = line.trim().split(',');
        let Some(stream) = fields.next().and_then(|text| text.parse().ok()) else { return };
        let mut number =
            || fields.next().and_then(|text| text.parse::<f64>().ok()).filter(|time| time.is_finite());
        let Some(at) = number() else { return };
        let lasts = number().unwrap_or(0.0).max(0.0);
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&stream) {
            return;
        }
        let clock = self.streams.entry(stream).or_insert(Clock {
            first: at,
            latest: at,
            ahead: 0.0,
            end: at,
            last: 0.0,
            packets: 0,
        });
        clock.packets += 1;
        let step = at + clock.ahead - clock.latest;
        if step.abs() > CUT_S {
            // It goes on where it was.
            clock.ahead = clock.end - at;
        }
        let at = at + clock.ahead;
        clock.latest = at;
        clock.first = clock.first.min(at);
        if at + lasts >= clock.end {
            (clock.end, clock.last) = (at + lasts, lasts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(lines: &str, stream: u32) -> Option<Span> {
        let mut packets = Packets::default();
        packets.feed(lines.as_bytes());
        packets.span(stream)
    }

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_stream_plays_from_its_first_packet_to_the_end_of_its_last() {
        let lines = "0,0.000,0.033\n1,-0.007,0.02\n0,1.967,5.999\n1,0.013,0.02\n0,1.900,0.033\n2,N/A,N/A\n";
        let video = span(lines, 0).unwrap();
        assert_eq!((video.length(), video.packets), (secs(7.966), 3));
        let sound = span(lines, 1).unwrap().length();
        assert!(sound.abs_diff(secs(0.04)) < secs(0.000_001), "{sound:?}");
        assert_eq!((span(lines, 2), span(lines, 3)), (None, None));
    }

    #[test]
    fn what_was_joined_from_two_recordings_plays_as_long_as_both() {
        let lines = "0,1.0,1.0\n0,2.0,1.0\n0,90000.0,1.0\n0,90001.0,1.0\n0,3.0,1.0\n";
        assert_eq!(span(lines, 0).unwrap().length(), secs(5.0));
        // A picture that is held for less than that is none.
        assert_eq!(span("0,0,1\n0,8,1\n", 0).unwrap().length(), secs(9.0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>) {
            let mut packets = Packets::default();
            packets.feed(&bytes);
            prop_assert!(packets.line.len() <= LINE_BYTES_MAX);
            let _ = (packets.span(0), packets.whole());
        }

        #[test]
        fn any_times_are_borne(lines in "([0-3],-?[0-9]{1,12}(\\.[0-9]{1,6})?(e[0-9]{1,3})?,[0-9N/A.]{0,5}\n){0,12}") {
            let mut packets = Packets::default();
            packets.feed(lines.as_bytes());
            let _ = (packets.span(0), packets.span(1), packets.whole());
        }
    }
}
