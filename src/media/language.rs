//! Languages of sound: from whatever a file calls them to what an index and a playlist take.

use isolang::Language;

/// For these ISO 639-2 has a second code, of libraries; ISO 639-3 has the first alone.
const OF_LIBRARIES: [(&str, &str); 20] = [
    ("alb", "sqi"),
    ("arm", "hye"),
    ("baq", "eus"),
    ("bur", "mya"),
    ("chi", "zho"),
    ("cze", "ces"),
    ("dut", "nld"),
    ("fre", "fra"),
    ("geo", "kat"),
    ("ger", "deu"),
    ("gre", "ell"),
    ("ice", "isl"),
    ("mac", "mkd"),
    ("mao", "mri"),
    ("may", "msa"),
    ("per", "fas"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("tib", "bod"),
    ("wel", "cym"),
];
/// "Not known".
const UNKNOWN: &str = "und";

/// The three letters of ISO 639-3, which an MP4's index holds, of a code of ISO 639-1, -2 or -3, whatever stands behind it
/// (`pt-BR`). None of what is no language: a file may have anything there.
pub(crate) fn three_letters(text: &str) -> Option<String> {
    let code = text.split(['-', '_']).next()?.to_ascii_lowercase();
    // Left to whoever uses them: of films the original language.
    if code.len() == 3
        && ("qaa"..="qtz").contains(&code.as_str())
        && code.bytes().all(|b| b.is_ascii_lowercase())
    {
        return Some(code);
    }
    let first = OF_LIBRARIES.iter().find(|(of_libraries, _)| *of_libraries == code).map(|(_, first)| *first);
    let language = match code.len() {
        2 => Language::from_639_1(&code),
        _ => Language::from_639_3(first.unwrap_or(code.as_str())),
    };
    language.map(|language| language.to_639_3()).filter(|code| *code != UNKNOWN).map(str::to_owned)
}

/// The tag of RFC 5646 for the same three letters: two, where there is such a code.
pub(super) fn tag(three_letters: &str) -> &str {
    Language::from_639_3(three_letters).and_then(|language| language.to_639_1()).unwrap_or(three_letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_any_of_its_codes() {
        let cases = [
            ("deu", "deu", "de"),
            ("ger", "deu", "de"),
            ("de", "deu", "de"),
            ("DE", "deu", "de"),
            ("pt-BR", "por", "pt"),
            ("zh_Hans", "zho", "zh"),
            ("fre", "fra", "fr"),
            ("gsw", "gsw", "gsw"),
            ("qaa", "qaa", "qaa"),
            ("mul", "mul", "mul"),
        ];
        for (text, letters, short) in cases {
            assert_eq!(three_letters(text).as_deref(), Some(letters), "{text}");
            assert_eq!(tag(letters), short);
        }
        for text in ["und", "", "-", "x;y", "deut", "German", "q\"a", "ß", "日本", "xyz"] {
            assert_eq!(three_letters(text), None, "{text}");
        }
        for (of_libraries, first) in OF_LIBRARIES {
            assert_eq!(three_letters(of_libraries).as_deref(), Some(first));
        }
    }
}
