//! What a download is called: `Content-Disposition` (RFC 6266), with a name in UTF-8 beside one for clients that know only ASCII
//! (RFC 8187).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but `attr-char` of RFC 8187.
const NO_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header's value for a name that is harmless already.
pub(super) fn attachment(name: &str) -> String {
    // What a quoted string has a meaning for, and what old clients decode, is not in the plain name.
    let plain: String =
        name.chars()
            .map(|c| {
                if (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | ';' | '%') {
                    c
                } else {
                    '_'
                }
            })
            .collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        value.extend(utf8_percent_encode(name, NO_ATTR_CHAR));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_told_in_ascii_and_as_it_is() {
        assert_eq!(attachment("clip.360p.mp4"), "attachment; filename=\"clip.360p.mp4\"");
        assert_eq!(
            attachment("Übung 1.360p.mp4"),
            "attachment; filename=\"_bung 1.360p.mp4\"; filename*=UTF-8''%C3%9Cbung%201.360p.mp4"
        );
        assert_eq!(attachment("100%.mp4"), "attachment; filename=\"100_.mp4\"; filename*=UTF-8''100%25.mp4");
    }

    proptest! {
        #[test]
        fn any_name_is_one_header_of_ascii(name in "\\PC{0,40}") {
            let value = attachment(&name);
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(value.matches('"').count(), 2);
        }
    }
}
