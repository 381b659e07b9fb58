//! Whether what another node delivers can be played: a right index says where pictures and sound lie, and not that they are any.
//!
//! ffprobe decodes a second at the begin, in the middle and at the end, whatever the length: the cost is that of three seconds. A
//! result that is made here decodes without a word, so one that makes the decoder complain is none.

use std::path::Path;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::child::{self, Ended, Listener};
use super::probe::{ProbeError, Prober, failure};
use crate::media::samples_argv;

/// Longest that one window is: enough for some pictures of any rate that is delivered.
const WINDOW: Duration = Duration::from_secs(1);
/// CPU time that decoding the windows may take: three seconds of the largest pictures take less.
const CPU_MAX: Duration = Duration::from_secs(60);
/// So much of what the decoder says is told.
const SAID_CHARS_MAX: usize = 200;

/// What was decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Samples {
    pub(super) pictures: u64,
    pub(super) sounds: u64,
}

/// Counts lines: one a picture or a piece of sound, named by its kind.
#[derive(Default)]
struct Counted {
    samples: Samples,
    line: Vec<u8>,
    /// Whether it says what no ffprobe does.
    is_strange: bool,
}

impl Listener for Counted {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' => match std::mem::take(&mut self.line).as_slice() {
                    line if line.starts_with(b"video") => self.samples.pictures += 1,
                    line if line.starts_with(b"audio") => self.samples.sounds += 1,
                    line => self.is_strange |= !line.is_empty() && !line.starts_with(b"subtitle"),
                },
                // A kind's name is short; what follows it on a line is not asked for.
                byte if self.line.len() < 16 => self.line.push(*byte),
                _ => {}
            }
        }
        true
    }
}

/// Where to look in a film of this length: at its begin, and, where there is more, in its middle and at its end.
fn windows(duration: Option<Duration>) -> String {
    let window = WINDOW.as_secs_f64();
    let begin = format!("%+{window}");
    match duration.filter(|duration| *duration > 3 * WINDOW) {
        Some(duration) => {
            let (middle, end) = ((duration / 2).as_secs_f64(), duration.saturating_sub(WINDOW).as_secs_f64());
            format!("{begin},{middle:.3}%+{window},{end:.3}%+{window}")
        }
        None => "%".to_owned(),
    }
}

impl Prober {
    /// Decodes a little of a result; an error in words where the decoder complains. On the calling thread.
    pub(super) fn samples(
        &self,
        path: &Path,
        duration: Option<Duration>,
        cancel: &Cancel,
    ) -> Result<Result<Samples, String>, ProbeError> {
        let mut counted = Counted::default();
        let argv = samples_argv(path, &windows(duration), self.limits());
        let mut command = self.looker(argv, path, CPU_MAX);
        let outcome = child::run(&mut command, Instant::now() + CPU_MAX, cancel, &mut counted)
            .map_err(ProbeError::Tool)?;
        self.cpu().add(matches!(outcome.ended, Ended::Exited(_)), outcome.cpu);
        let said = || {
            let line = outcome.stderr_first.lines().next().unwrap_or("nothing");
            line.chars().take(SAID_CHARS_MAX).collect::<String>()
        };
        match outcome.ended {
            Ended::Exited(_) if counted.is_strange => {
                Err(ProbeError::Tool(std::io::Error::other("ffprobe writes what is no list of frames")))
            }
            Ended::Exited(status) if status.success() && outcome.stderr_first.is_empty() => {
                Ok(Ok(counted.samples))
            }
            Ended::Exited(status) if status.success() => Ok(Err(said())),
            Ended::Exited(status) => match failure(status, &outcome.stderr, path) {
                error if error.is_input_fault() => Ok(Err(said())),
                error => Err(error),
            },
            Ended::Deadline | Ended::Hung | Ended::Cancelled | Ended::Refused => {
                let what = format!("ffprobe did not decode three seconds of it in {CPU_MAX:?}");
                Err(ProbeError::Tool(std::io::Error::new(std::io::ErrorKind::TimedOut, what)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_film_is_looked_at_in_three_places_and_a_short_one_as_a_whole() {
        assert_eq!(windows(Some(Duration::from_secs(60))), "%+1,30.000%+1,59.000%+1");
        assert_eq!(windows(Some(Duration::from_secs(3))), "%");
        assert_eq!(windows(None), "%");
    }

    #[test]
    fn kinds_are_counted_however_they_come() {
        let mut counted = Counted::default();
        for part in ["vid", "eo\naudio\n\nsubtitle\nvideo,side data that is long", "\naudio"] {
            counted.hears(part.as_bytes());
        }
        assert_eq!(counted.samples, Samples { pictures: 2, sounds: 1 });
        assert!(!counted.is_strange);
        counted.hears(b"\n\x07\xff\n");
        assert!(counted.is_strange);
    }
}
