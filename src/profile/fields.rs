//! Tables of a TOML text, read field by field: each fault is told with its line, and all of them at once.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its line, from 1 on.
    pub line: usize,
    /// Which field, what is wrong with it and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// What was found wrong so far.
pub(super) struct Faults<'t> {
    text: &'t str,
    /// Whose fields are read.
    pub(super) owner: Option<String>,
    found: Vec<Fault>,
}

impl<'t> Faults<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, owner: None, found: Vec::new() }
    }

    /// Number of the line in which this byte is.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        before.split(|byte| *byte == b'\n').count()
    }

    pub(super) fn add(&mut self, at: usize, what: impl fmt::Display) {
        let what = match &self.owner {
            Some(owner) => format!("profile {owner}: {what}"),
            None => what.to_string(),
        };
        self.found.push(Fault { line: self.line(at), what });
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// By line.
    pub(super) fn into_found(mut self) -> Vec<Fault> {
        self.found.sort_by_key(|fault| fault.line);
        self.found
    }
}

/// The fields of one table. What is read counts as known; [`Fields::end`] complains of the rest.
pub(super) struct Fields<'a, 'i> {
    table: &'a DeTable<'i>,
    at: usize,
    /// Where the table lies in another one: `audio.`.
    path: String,
    known: Vec<&'static str>,
}

/// A value and where it stands.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

impl<'a, 'i> Fields<'a, 'i> {
    pub(super) const fn new(table: &'a DeTable<'i>, span: &Range<usize>) -> Self {
        Self { table, at: span.start, path: String::new(), known: Vec::new() }
    }

    /// Where the table begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Where a field's value stands, or else the table.
    pub(super) fn position(&self, field: &str) -> usize {
        self.table.get(field).map_or(self.at, |found| found.span().start)
    }

    /// A field's name in full.
    pub(super) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.path)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    fn get(&mut self, field: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.known.push(field);
        self.table.get(field)
    }

    /// Complains that a field is not there.
    pub(super) fn missing(&self, field: &str, faults: &mut Faults<'_>, expected: impl fmt::Display) {
        faults.add(self.at, format!("{} is missing: give {expected}", self.name(field)));
    }

    fn wrong(
        &self,
        field: &str,
        found: &Spanned<DeValue<'_>>,
        faults: &mut Faults<'_>,
        expected: impl fmt::Display,
    ) {
        let shown = match found.get_ref() {
            DeValue::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            other => format!("a value of type {}", other.type_str()),
        };
        faults.add(found.span().start, format!("{}: {shown} is not {expected}", self.name(field)));
    }

    /// A text, if there is one.
    pub(super) fn text(&mut self, field: &'static str, faults: &mut Faults<'_>) -> Option<Found<String>> {
        let found = self.get(field)?;
        if let DeValue::String(text) = found.get_ref() {
            return Some(Found { value: text.to_string(), at: found.span().start });
        }
        self.wrong(field, found, faults, "a text in quotes");
        None
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, field: &'static str, default: bool, faults: &mut Faults<'_>) -> bool {
        let Some(found) = self.get(field) else { return default };
        if let DeValue::Boolean(flag) = found.get_ref() {
            return *flag;
        }
        self.wrong(field, found, faults, "true or false");
        default
    }

    /// One of some words, if the field is there.
    pub(super) fn word_if_given<T: Copy>(
        &mut self,
        field: &'static str,
        words: &[(&str, T)],
        faults: &mut Faults<'_>,
    ) -> Option<Found<T>> {
        let found = self.get(field)?;
        let given = match found.get_ref() {
            DeValue::String(text) => text.as_ref(),
            _ => "",
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
            return Some(Found { value: *value, at: found.span().start });
        }
        self.wrong(field, found, faults, one_of(words));
        None
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        field: &'static str,
        words: &[(&str, T)],
        faults: &mut Faults<'_>,
    ) -> Option<Found<T>> {
        if !self.has(field) {
            self.known.push(field);
            self.missing(field, faults, one_of(words));
            return None;
        }
        self.word_if_given(field, words, faults)
    }

    /// A whole number within these bounds, if the field is there.
    pub(super) fn number_if_given<T>(
        &mut self,
        field: &'static str,
        range: RangeInclusive<T>,
        faults: &mut Faults<'_>,
    ) -> Option<Found<T>>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let found = self.get(field)?;
        if let Some(value) = number(found, &range) {
            return Some(Found { value, at: found.span().start });
        }
        self.wrong(field, found, faults, a_number(&range));
        None
    }

    /// A whole number within these bounds.
    pub(super) fn number<T>(
        &mut self,
        field: &'static str,
        range: RangeInclusive<T>,
        faults: &mut Faults<'_>,
    ) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        if !self.has(field) {
            self.known.push(field);
            self.missing(field, faults, a_number(&range));
            return None;
        }
        self.number_if_given(field, range, faults).map(|found| found.value)
    }

    /// A list of whole numbers; every one of them, where all are good.
    pub(super) fn numbers<T>(
        &mut self,
        field: &'static str,
        range: &RangeInclusive<T>,
        faults: &mut Faults<'_>,
    ) -> Option<Found<Vec<T>>>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let found = self.get(field)?;
        let DeValue::Array(items) = found.get_ref() else {
            self.wrong(field, found, faults, "a list in brackets");
            return None;
        };
        let mut all = Some(Vec::new());
        for item in items {
            match (number(item, range), &mut all) {
                (Some(value), Some(all)) => all.push(value),
                (Some(_), None) => {}
                (None, _) => {
                    self.wrong(field, item, faults, a_number(range));
                    all = None;
                }
            }
        }
        all.map(|value| Found { value, at: found.span().start })
    }

    /// A table in this one.
    pub(super) fn table(
        &mut self,
        field: &'static str,
        faults: &mut Faults<'_>,
        expected: &str,
    ) -> Option<Fields<'a, 'i>> {
        let Some(found) = self.get(field) else {
            self.missing(field, faults, expected);
            return None;
        };
        if let DeValue::Table(table) = found.get_ref() {
            let path = format!("{}{field}.", self.path);
            return Some(Fields { table, at: found.span().start, path, known: Vec::new() });
        }
        self.wrong(field, found, faults, expected);
        None
    }

    /// The tables of a list of tables, each a `[[field]]`.
    pub(super) fn tables(
        &mut self,
        field: &'static str,
        faults: &mut Faults<'_>,
        expected: &str,
    ) -> Vec<Fields<'a, 'i>> {
        let Some(found) = self.get(field) else { return Vec::new() };
        let DeValue::Array(items) = found.get_ref() else {
            self.wrong(field, found, faults, expected);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(Fields::new(table, &item.span())),
                _ => self.wrong(field, item, faults, expected),
            }
        }
        tables
    }

    /// Complains of every field that nothing has asked for.
    pub(super) fn end(&self, faults: &mut Faults<'_>) {
        for (key, _) in self.table {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let name: String = key.get_ref().chars().take(40).collect();
                let known = self.known.join(", ");
                faults.add(
                    key.span().start,
                    format!("{} is unknown here: there are {known}", self.name(&name)),
                );
            }
        }
    }
}

fn one_of<T>(words: &[(&str, T)]) -> String {
    format!("one of {}", words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "))
}

fn a_number<T: fmt::Display>(range: &RangeInclusive<T>) -> String {
    format!("a number from {} to {}", range.start(), range.end())
}

fn number<T: TryFrom<i64> + PartialOrd>(
    found: &Spanned<DeValue<'_>>,
    range: &RangeInclusive<T>,
) -> Option<T> {
    let number = found.get_ref().as_integer()?;
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    T::try_from(number).ok().filter(|number| range.contains(number))
}
