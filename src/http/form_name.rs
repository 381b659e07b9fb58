//! The name of a form's file, as the many kinds of clients write it: RFC 7578 and what browsers, curl and old programs make of it.

/// The name in a `Content-Disposition` of a part; `None` where it has none, and is a field.
pub(super) fn file_name(disposition: &[u8]) -> Option<String> {
    let mut rest = disposition;
    // Each parameter, with quoted strings as wholes: a name may have `; filename=` in it.
    while let Some(at) = rest.iter().position(|byte| *byte == b';') {
        let parameter = rest[at + 1..].trim_ascii_start();
        let name_ends = parameter.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (name, value) = parameter.split_at(name_ends);
        let Some(value) = value.strip_prefix(b"=") else {
            rest = value;
            continue;
        };
        let (value, behind) = read_value(value.trim_ascii_start());
        if name.trim_ascii_end().eq_ignore_ascii_case(b"filename") {
            return Some(without_escapes(&String::from_utf8_lossy(value)));
        }
        rest = behind;
    }
    None
}

/// A value, without its quotes, and what stands behind it.
fn read_value(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii_end(), &text[end..]);
    };
    // A quote is the last one if nothing but the next parameter, or nothing at all, stands behind it: so neither a backslash before it,
    // which some clients mean as an escape and some as the end of a name, nor a quote that was not escaped at all ends a name early.
    let ends = |at: usize| {
        let behind = quoted[at + 1..].trim_ascii_start();
        quoted[at] == b'"' && (behind.is_empty() || behind.starts_with(b";"))
    };
    let end = (0..quoted.len()).find(|&at| ends(at)).unwrap_or(quoted.len());
    (&quoted[..end], quoted.get(end + 1..).unwrap_or_default())
}

/// Without what curl (a backslash before it) and browsers (by its number) make of a quote and of a backslash. Other backslashes stand as they
/// are: old programs send a whole path of Windows.
fn without_escapes(name: &str) -> String {
    name.replace("\\\"", "\"")
        .replace("\\\\", "\\")
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (disposition, name) in [
            (r#"form-data; name="file"; filename="clip one.mp4""#, Some("clip one.mp4")),
            (r"form-data; filename=clip.mp4; name=file", Some("clip.mp4")),
            (r#"form-data; name="file"; FileName = "clip.mp4""#, Some("clip.mp4")),
            // curl, before and since it does as browsers do; and one that escapes nothing.
            (r#"form-data; name="f"; filename="5\" disk.mp4""#, Some("5\" disk.mp4")),
            (r#"form-data; name="f"; filename="5%22 disk.mp4""#, Some("5\" disk.mp4")),
            (r#"form-data; name="f"; filename="5" disk.mp4""#, Some("5\" disk.mp4")),
            (r#"form-data; name="f"; filename="AC\\DC.mp4""#, Some("AC\\DC.mp4")),
            (r#"form-data; name="f"; filename="AC\DC.mp4""#, Some("AC\\DC.mp4")),
            (r#"form-data; name="f"; filename="clip\""#, Some("clip\\")),
            (r#"form-data; name="f"; filename="clip\\""#, Some("clip\\")),
            (r#"form-data; name="f"; filename="C:\Users\me\clip.mp4""#, Some("C:\\Users\\me\\clip.mp4")),
            (r#"form-data; name="a; filename=b"; x=y"#, None),
            (r#"form-data; name="f"; filename*=UTF-8''a"#, None),
            (r#"form-data; name="f"; filename="""#, Some("")),
            ("form-data; name", None),
            ("form-data", None),
        ] {
            assert_eq!(file_name(disposition.as_bytes()).as_deref(), name, "{disposition}");
        }
        assert_eq!(file_name(b"form-data; filename=\"\xfcb.mp4\"").as_deref(), Some("\u{fffd}b.mp4"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, text in "[;=\"\\\\ a%filename]{0,40}") {
            file_name(&bytes);
            file_name(text.as_bytes());
        }
    }
}
