//! Logs: what strangers wrote is cleaned here, in every field of every line, before it gets to a terminal or a file.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, Write};

use starling::config::LogFormat;
use starling::{printable, trace};
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Format, Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// A service's log on stderr, for as long as somebody reads it; `RUST_LOG` chooses what, `info` by default.
pub(super) fn init_service(format: LogFormat) {
    let log =
        tracing_subscriber::fmt().with_env_filter(filter("info,mp4parse=error")).log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            log.with_writer(io::stderr)
                .with_ansi(colours)
                .fmt_fields(debug_fn(text_field).delimited(" "))
                .event_format(Traced::Text(Format::default().with_ansi(colours)))
                .init();
        }
        LogFormat::Json => {
            let line = Format::default().json().flatten_event(true);
            log.json().event_format(Traced::Json(line)).with_writer(JsonLines(io::stderr)).init();
        }
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
        name => named(writer, name, &value),
    }
}

fn named(writer: &mut Writer<'_>, name: &str, value: &str) -> fmt::Result {
    // Italic and dim, where there are colours.
    if writer.has_ansi_escapes() {
        write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")
    } else {
        write!(writer, "{name}={value}")
    }
}

/// Lines that say which request they are of, where they are of one: `trace_id`, `client` and `content`, as fields like all others.
enum Traced<F> {
    Text(F),
    Json(F),
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (Self::Text(format) | Self::Json(format)) = self;
        let Some(scope) = trace::current() else { return format.format_event(context, writer, event) };
        let mut text = String::new();
        format.format_event(context, Writer::new(&mut text), event)?;
        let line = text.trim_end_matches('\n');
        // What the line says by itself is not said twice.
        let of_request = scope.fields().filter(|(name, _)| event.metadata().fields().field(name).is_none());
        match self {
            Self::Text(_) => {
                write!(writer, "{line}")?;
                for (name, value) in of_request {
                    write!(writer, " ")?;
                    named(&mut writer, name, &value)?;
                }
                writeln!(writer)
            }
            Self::Json(_) => {
                write!(writer, "{}", line.strip_suffix('}').unwrap_or(line))?;
                for (name, value) in of_request {
                    // Hex digits alone.
                    write!(writer, r#","{name}":"{value}""#)?;
                }
                writeln!(writer, "}}")
            }
        }
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

    /// What both formats make of a line in a request, and of one outside.
    fn lines_of_request(json: bool) -> (String, String) {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt().with_ansi(false);
        let line = Format::default().without_time();
        let subscriber: Box<dyn Subscriber + Send + Sync> = if json {
            let line = Traced::Json(line.json().flatten_event(true));
            Box::new(log.json().event_format(line).with_writer(JsonLines(move || writer.clone())).finish())
        } else {
            let fields = debug_fn(text_field).delimited(" ");
            let line = Traced::Text(line.with_ansi(false));
            Box::new(log.fmt_fields(fields).event_format(line).with_writer(move || writer.clone()).finish())
        };
        tracing::subscriber::with_default(subscriber, || {
            let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let scope = trace::Scope::new(trace::TraceContext::of_traceparent(trace).unwrap());
            scope.identify(starling::content::ClientTag(0x77), Some(starling::content::ContentId([9; 32])));
            trace::within_sync(Some(&scope), || tracing::info!(content = "other", route = "local", "served"));
            tracing::info!(route = "local", "outside");
        });
        let text = sink.text();
        let (first, second) = text.trim_end().split_once('\n').unwrap();
        (first.to_owned(), second.to_owned())
    }

    #[test]
    fn lines_of_a_request_say_which_in_the_same_words_in_text_and_in_json() {
        let (inside, outside) = lines_of_request(false);
        let said = r#"served content="other" route="local" trace_id=4bf92f3577b34da6a3ce929d0e0e4736 client=0000000000000077"#;
        assert!(inside.ends_with(said), "{inside}");
        assert!(outside.ends_with(r#"outside route="local""#), "{outside}");
        let (inside, outside) = lines_of_request(true);
        let inside: serde_json::Value = serde_json::from_str(&inside).unwrap();
        assert_eq!(inside["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(inside["client"], "0000000000000077");
        assert_eq!(
            (&inside["content"], &inside["route"], &inside["message"]),
            (&"other".into(), &"local".into(), &"served".into())
        );
        let outside: serde_json::Value = serde_json::from_str(&outside).unwrap();
        assert!(outside.get("trace_id").is_none() && outside["message"] == "outside", "{outside}");
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
