//! Logs: what strangers wrote is cleaned here, in every field of every line, before it gets to a terminal or a file.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, Write};

use starling::config::LogFormat;
use starling::printable;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// A service's log on stderr, for as long as somebody reads it; `RUST_LOG` chooses what, `info` by default.
pub(super) fn init_service(format: LogFormat) {
    let log =
        tracing_subscriber::fmt().with_env_filter(filter("info,mp4parse=error")).log_internal_errors(false);
    match format {
        LogFormat::Text => log
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .fmt_fields(debug_fn(text_field).delimited(" "))
            .init(),
        LogFormat::Json => log.json().flatten_event(true).with_writer(JsonLines(io::stderr)).init(),
    }
}

/// A client command's log on stderr, without clock and target that only a service needs.
pub(super) fn init_command() {
    tracing_subscriber::fmt()
        .with_env_filter(filter("info"))
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .fmt_fields(debug_fn(text_field).delimited(" "))
        .init();
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

/// One field as `name=value`; the message has no name.
fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = printable::line(&value);
    match field.name().trim_start_matches("r#") {
        "message" => write!(writer, "{value}"),
        // Italic and dim, where there are colours.
        name if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// Makes writers that take one JSON object a write.
struct JsonLines<M>(M);

struct JsonLine<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for JsonLines<M> {
    type Writer = JsonLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        JsonLine(self.0.make_writer())
    }
}

impl<W: Write> Write for JsonLine<W> {
    fn write(&mut self, object: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(object);
        let line = printable::json(text.trim_end_matches('\n'));
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(object.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    const EVIL: &str = "x\x1b[2J\u{9b}5n\r\nforged line\u{202e}";

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    fn say_evil() {
        let error = io::Error::other(EVIL);
        tracing::warn!(shown = %EVIL, debugged = ?EVIL, text = EVIL, %error, r#type = 1, "message: {EVIL}");
    }

    #[test]
    fn a_text_line_is_one_line_whatever_its_fields_say() {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .fmt_fields(debug_fn(text_field).delimited(" "))
            .finish();
        tracing::subscriber::with_default(log, say_evil);
        let text = sink.text();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        assert!(!text.contains('\u{202e}') && text.contains("type=1"), "{text:?}");
        assert!(text.contains("message: x\u{fffd}[2J\u{fffd}5n  forged line\u{fffd}"), "{text:?}");
    }

    #[test]
    fn a_json_line_says_it_all_in_escapes() {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(JsonLines(move || writer.clone()))
            .finish();
        tracing::subscriber::with_default(log, say_evil);
        let text = sink.text();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["shown"], EVIL);
    }
}
