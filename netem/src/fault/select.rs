//! Which links a fault strikes: `FRA-BOM`, `FRA,IAD / BOM`, `node3`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One end of a link: a node and its zone, or any unnamed node of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// `None` stands for the nodes of the zone that no fault names.
    pub node: Option<&'a str>,
    /// The zone.
    pub zone: &'a str,
}

/// A zone or a node, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// Every node of a zone.
    Zone(String),
    /// One node.
    Node(String),
    /// Every node.
    All,
}

impl Selector {
    fn matches(&self, place: Place<'_>) -> bool {
        match self {
            Self::Zone(zone) => place.zone == zone,
            Self::Node(node) => place.node == Some(node),
            Self::All => true,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zone(name) | Self::Node(name) => f.write_str(name),
            Self::All => f.write_str("all"),
        }
    }
}

/// A set of directed links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    /// From any of the first to any of the second, and back unless one way.
    Between {
        /// One side.
        from: Vec<Selector>,
        /// The other; empty stands for everyone who is not of `from`.
        to: Vec<Selector>,
        /// Only from `from` to `to`.
        one_way: bool,
    },
    /// Between nodes of different groups. A lone group is cut off from everyone else.
    Groups(Vec<Vec<Selector>>),
}

fn any(side: &[Selector], place: Place<'_>) -> bool {
    side.iter().any(|selector| selector.matches(place))
}

/// Text that selects no links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A name that is neither zone nor node.
    #[error("{name:?} is neither a zone nor a node that is known here: expected {expected}")]
    Unknown {
        /// The name.
        name: String,
        /// What would have been known.
        expected: String,
    },
    /// A name or a side is missing.
    #[error("{text:?}: expected {expected}")]
    Form {
        /// What was given.
        text: String,
        /// The form.
        expected: &'static str,
    },
    /// What is named has no links: a node's to itself, or a group's to itself.
    #[error("{text:?} names no link: {why}")]
    Nothing {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Names with a dash in them can be read in two ways.
    #[error("{text:?} can be read in more than one way: expected A/B where names have dashes")]
    Ambiguous {
        /// What was given.
        text: String,
    },
}

const LINK_FORM: &str = "links such as FRA-BOM, FRA,IAD/BOM, node3 (all its links) or all";
const GROUP_FORM: &str = "groups such as \"FRA,IAD / BOM\", or one group such as node3";

impl Links {
    /// `FRA-BOM`, `FRA,IAD/BOM`, `node3`, `all`. `resolve` turns a name into a selector, if it knows it.
    pub fn parse(
        text: &str,
        one_way: bool,
        resolve: &dyn Fn(&str) -> Result<Selector, SelectError>,
    ) -> Result<Self, SelectError> {
        match Self::parse_any(text, one_way, resolve)? {
            Self::Between { from, to, .. } if matches!(&from[..], [Selector::Node(_)]) && from == to => {
                let why = "a node has none to itself";
                Err(SelectError::Nothing { text: text.to_owned(), why })
            }
            links => Ok(links),
        }
    }

    fn parse_any(
        text: &str,
        one_way: bool,
        resolve: &dyn Fn(&str) -> Result<Selector, SelectError>,
    ) -> Result<Self, SelectError> {
        let form = || SelectError::Form { text: text.to_owned(), expected: LINK_FORM };
        let between = |from, to| Self::Between { from, to, one_way };
        if let Some((from, to)) = text.split_once('/') {
            return Ok(between(group(from, resolve)?, group(to, resolve)?));
        }
        let text = text.trim();
        if text == "all" {
            return Ok(between(vec![Selector::All], vec![Selector::All]));
        }
        if text.is_empty() {
            return Err(form());
        }
        let alone = group(text, resolve);
        let mut ways: Vec<Self> = text
            .match_indices('-')
            .filter_map(|(at, _)| {
                let from = group(&text[..at], resolve).ok()?;
                let to = group(&text[at + 1..], resolve).ok()?;
                Some(between(from, to))
            })
            .collect();
        match (ways.pop(), alone) {
            (Some(_), _) if !ways.is_empty() => Err(SelectError::Ambiguous { text: text.to_owned() }),
            (Some(_), Ok(_)) => Err(SelectError::Ambiguous { text: text.to_owned() }),
            (Some(links), Err(_)) => Ok(links),
            (None, Ok(from)) => Ok(between(from, Vec::new())),
            (None, Err(error)) => Err(match text.split_once('-') {
                // The name that is wrong, not the whole text.
                Some((from, to)) => match group(from, resolve) {
                    Err(error) => error,
                    Ok(_) => group(to, resolve).err().unwrap_or(error),
                },
                None => error,
            }),
        }
    }

    /// `FRA,IAD / BOM`, `node3`.
    pub fn parse_groups(
        text: &str,
        resolve: &dyn Fn(&str) -> Result<Selector, SelectError>,
    ) -> Result<Self, SelectError> {
        if text.trim().is_empty() {
            return Err(SelectError::Form { text: text.to_owned(), expected: GROUP_FORM });
        }
        if text.split('/').any(|part| part.trim().is_empty()) {
            return Err(SelectError::Form { text: text.to_owned(), expected: GROUP_FORM });
        }
        let groups: Vec<_> = text.split('/').map(|part| group(part, resolve)).collect::<Result<_, _>>()?;
        let twice = |(at, group): (usize, &Vec<Selector>)| {
            group.iter().any(|selector| groups[..at].iter().any(|other| other.contains(selector)))
        };
        if groups.iter().enumerate().any(twice) {
            let why = "it is in two groups, and a partition is between them";
            return Err(SelectError::Nothing { text: text.to_owned(), why });
        }
        if groups.iter().flatten().any(|selector| *selector == Selector::All) {
            return Err(SelectError::Form { text: text.to_owned(), expected: GROUP_FORM });
        }
        Ok(Self::Groups(groups))
    }

    /// Whether the directed link is among them.
    pub fn contains(&self, from: Place<'_>, to: Place<'_>) -> bool {
        match self {
            Self::Between { from: a, to: b, one_way } => {
                let there = |from, to| any(a, from) && if b.is_empty() { !any(a, to) } else { any(b, to) };
                there(from, to) || (!one_way && there(to, from))
            }
            // The most specific group counts: in "node1 / FRA" node1 is not of FRA's side.
            Self::Groups(groups) => {
                let side = |place: Place<'_>| {
                    let named = |g: &Vec<Selector>| {
                        g.iter().any(|s| matches!(s, Selector::Node(_)) && s.matches(place))
                    };
                    groups.iter().position(named).or_else(|| groups.iter().position(|g| any(g, place)))
                };
                match (side(from), side(to)) {
                    (Some(a), Some(b)) => a != b,
                    (None, None) => false,
                    _ => groups.len() == 1,
                }
            }
        }
    }

    /// Names of the nodes that are selected by name.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        let sides: Vec<&Vec<Selector>> = match self {
            Self::Between { from, to, .. } => vec![from, to],
            Self::Groups(groups) => groups.iter().collect(),
        };
        sides.into_iter().flatten().filter_map(|selector| match selector {
            Selector::Node(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |side: &[Selector]| {
            let names: Vec<String> = side.iter().map(ToString::to_string).collect();
            names.join(",")
        };
        match self {
            Self::Between { from, to, one_way } => {
                let arrow = if *one_way { "->" } else { "<->" };
                let to = if to.is_empty() { "the rest".to_owned() } else { names(to) };
                write!(f, "{} {arrow} {to}", names(from))
            }
            Self::Groups(groups) => {
                let mut sides: Vec<String> = groups.iter().map(|group| names(group)).collect();
                if let [_] = sides.as_slice() {
                    sides.push("the rest".to_owned());
                }
                f.write_str(&sides.join(" / "))
            }
        }
    }
}

fn group(
    text: &str,
    resolve: &dyn Fn(&str) -> Result<Selector, SelectError>,
) -> Result<Vec<Selector>, SelectError> {
    text.split([',', ' '])
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(resolve)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|names| {
            if names.is_empty() {
                Err(SelectError::Form { text: text.to_owned(), expected: LINK_FORM })
            } else {
                Ok(names)
            }
        })
}
