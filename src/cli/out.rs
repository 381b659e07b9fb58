//! What client commands print. The one place through which words of nodes, and names of files, get to a terminal.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use starling::printable;

/// Lines on stdout. A reader that has enough (`| head`) is no error.
pub(super) fn lines(text: &str) -> io::Result<()> {
    raw(&printable::lines(text))
}

/// A JSON document on stdout, in one line.
pub(super) fn json(document: &impl Serialize) -> io::Result<()> {
    json_text(&serde_json::to_string(document)?)
}

/// The same of one that is written already.
pub(super) fn json_text(document: &str) -> io::Result<()> {
    raw(&printable::json(document))
}

/// Lines on stdout in place of what the terminal shows.
pub(super) fn redraw(text: &str) -> io::Result<()> {
    raw(&format!("\x1b[H\x1b[J{}", printable::lines(text)))
}

fn raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// A line on stderr. Where nobody reads that any more, there is nobody to be told either; `eprintln` panics then.
pub(super) fn complain(text: impl Display) {
    drop(writeln!(io::stderr(), "{}", printable::lines(&text.to_string())));
}
