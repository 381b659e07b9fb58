//! A list of values: comma separated on the command line and in the environment; in TOML a list, or the same text.

use std::convert::Infallible;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// Values without surrounding space; empty ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<String>);

impl List {
    /// The values, as they were given.
    pub fn into_values(self) -> Vec<String> {
        self.0
    }

    fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let values = values.into_iter().map(str::trim).filter(|value| !value.is_empty());
        Self(values.map(str::to_owned).collect())
    }
}

impl FromStr for List {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::of(text.split(',')))
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = List;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a list such as [\"a\", \"b\"], or the text \"a,b\"")
            }

            fn visit_str<E>(self, text: &str) -> Result<List, E> {
                Ok(List::of(text.split(',')))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut values: A) -> Result<List, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = values.next_element::<String>()? {
                    all.push(value);
                }
                Ok(List::of(all.iter().map(String::as_str)))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
