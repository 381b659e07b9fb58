//! The two text formats: `OpenMetrics` 1.0, which is what the library writes, and Prometheus's own 0.0.4.

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4: what every scraper reads.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Format {
    /// The one that an Accept header asks for: `OpenMetrics` where that is named with a greater weight than plain text, or with the
    /// same.
    pub fn accepted<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.into_iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let weight: f32 = parts
                .filter_map(|part| part.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .map_or(1.0, |(_, weight)| weight.trim().parse().unwrap_or(0.0));
            if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
                open = weight.max(open);
            } else if ["text/plain", "text/*", "*/*"]
                .iter()
                .any(|known| media_type.eq_ignore_ascii_case(known))
            {
                text = weight.max(text);
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the library wrote, in this format.
    pub(super) fn of(self, open: String) -> String {
        match self {
            Self::Text => plain(&open),
            Self::OpenMetrics => open,
        }
    }
}

/// In 0.0.4 a counter's family has the name of its samples, with `_total`; units and the end are not told.
fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 1024);
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let family = |line: &str, word: &str| {
            let (name, rest) = line.strip_prefix(word)?.split_once(' ')?;
            Some((name.to_owned(), rest.to_owned()))
        };
        if let Some((name, help)) = family(line, "# HELP ") {
            // Its type stands in the next line.
            let counter = lines.peek().is_some_and(|next| **next == format!("# TYPE {name} counter"));
            let total = if counter { "_total" } else { "" };
            text.extend(["# HELP ", &name, total, " ", &help, "\n"]);
        } else if let Some((name, kind)) = family(line, "# TYPE ") {
            let total = if kind == "counter" { "_total" } else { "" };
            text.extend(["# TYPE ", &name, total, " ", &kind, "\n"]);
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_the_default_and_openmetrics_is_asked_for() {
        use Format::{OpenMetrics, Text};
        for (accept, format) in [
            (vec![], Text),
            (vec!["*/*"], Text),
            (vec!["text/plain;version=0.0.4"], Text),
            (vec!["application/openmetrics-text"], OpenMetrics),
            // Prometheus 2.42, and one that is told to prefer the old format.
            (
                vec![
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                OpenMetrics,
            ),
            (vec!["text/plain;q=0.9, application/openmetrics-text;q=0.1"], Text),
            (vec!["text/html", "application/openmetrics-text; q=1"], OpenMetrics),
            (vec!["application/openmetrics-text;q=0"], Text),
            (vec!["application/openmetrics-text;q=lots, text/plain;q=0.1"], Text),
        ] {
            assert_eq!(Format::accepted(accept.iter().copied()), format, "{accept:?}");
        }
    }

    #[test]
    fn a_counters_family_has_the_name_of_its_samples() {
        let open = "# HELP a_seconds What a is.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1.0\n\
                    # HELP b The number of # EOF.\n# TYPE b gauge\nb{x=\"# TYPE b counter\"} 2\n# EOF\n";
        assert_eq!(
            plain(open),
            "# HELP a_seconds_total What a is.\n# TYPE a_seconds_total counter\na_seconds_total 1.0\n\
             # HELP b The number of # EOF.\n# TYPE b gauge\nb{x=\"# TYPE b counter\"} 2\n"
        );
    }
}
