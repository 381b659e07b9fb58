//! Words that strangers choose (names, details, file names), made safe to show.
//!
//! What is taken out can move a terminal's cursor, change its title or colours, add lines to a log, or show letters in
//! another order than they stand in: control characters (C0, DEL, C1), marks of writing direction, separators of lines,
//! and characters that nobody sees.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// Stands where a character was taken out.
const TAKEN_OUT: char = '\u{fffd}';

/// Whether a terminal shows this character as a letter, sign or space, and nothing else happens.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' // marks of direction; a space of no width
                | '\u{2028}'..='\u{202e}' // separators of lines and paragraphs; embeddings and overrides
                | '\u{2060}'..='\u{206f}' // invisible operators; isolates; deprecated controls
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' // byte order mark; annotations
                | '\u{e0000}'..='\u{e007f}' // tags
        )
}

/// A text as one line.
pub fn line(text: &str) -> Cow<'_, str> {
    clean(text, is_printable)
}

/// A text of several lines: only its line feeds are kept of what [`line()`] takes out.
pub fn lines(text: &str) -> Cow<'_, str> {
    clean(text, |c| c == '\n' || is_printable(c))
}

fn clean(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_kept) {
        return text.into();
    }
    let shown = |c: char| match c {
        c if is_kept(c) => c,
        c if c.is_whitespace() => ' ',
        _ => TAKEN_OUT,
    };
    text.chars().map(shown).collect()
}

/// A JSON document in one line that says the same: what [`line()`] takes out of a text is written as an escape here.
pub fn json(document: &str) -> Cow<'_, str> {
    if document.chars().all(is_printable) {
        return document.into();
    }
    let mut safe = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if is_printable(c) {
            safe.push(c);
        } else if c.is_ascii_control() && c != '\x7f' {
            // Never stands inside a string: it is space between tokens.
            safe.push(' ');
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.extend(format!("\\u{unit:04x}").chars());
            }
        }
    }
    safe.into()
}

/// For fields of answers: `#[serde(deserialize_with = "printable::word")]`.
pub fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| line(&text).into_owned())
}

/// The same for a field that may be absent or null.
pub fn optional_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| line(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVIL: &str = "n1\x1b]0;pwned\x07\x1b[2J\u{9b}5n\r\n\x7f\u{202e}txt\u{2028}\u{feff}";

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        assert_eq!(
            line(EVIL),
            "n1\u{fffd}]0;pwned\u{fffd}\u{fffd}[2J\u{fffd}5n  \u{fffd}\u{fffd}txt \u{fffd}"
        );
        assert_eq!(lines("a\n\tb\x1b[m\n"), "a\n b\u{fffd}[m\n");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["", "node1", "Übung 1.mp4", "Мой клип", "映像.mov", "👩‍👩‍👧 at home", "نص"]
        {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_json_document_says_the_same_without_a_control_character() {
        let document = format!("{{\n\t{}:1}}", serde_json::to_string(&format!("{EVIL}\u{e0041}")).unwrap());
        let safe = json(&document);
        assert!(safe.chars().all(is_printable), "{safe:?}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&safe), read(&document));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_printable(text in "\\PC*|.*", number in any::<i64>()) {
            prop_assert!(line(&text).chars().all(is_printable));
            prop_assert!(lines(&text).chars().all(|c| c == '\n' || is_printable(c)));
            let value = serde_json::json!({ "text": text, "number": number });
            let document = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json(&document)).unwrap(), value);
        }
    }
}
