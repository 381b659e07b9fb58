//! What a fault does to a link.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{UnitError, format_delay, format_percent, format_rate, parse_delay};
use crate::{Distribution, LinkProfile};

/// A delay put on top of the link's own, or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shift {
    /// On top: `+100ms`.
    Add(Duration),
    /// In place: `100ms`.
    Set(Duration),
}

impl Shift {
    /// `+100ms` or `100ms`.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        match text.trim().strip_prefix('+') {
            Some(more) => parse_delay(more).map(Self::Add),
            None => parse_delay(text).map(Self::Set),
        }
    }

    /// Half of it: what each direction of a round trip gets.
    #[must_use]
    pub fn half(self) -> Self {
        match self {
            Self::Add(more) => Self::Add(more / 2),
            Self::Set(delay) => Self::Set(delay / 2),
        }
    }
}

/// What is left `None` stays as the zone file says. Later faults win over earlier ones; added delays add up; a cut link
/// stays cut until that fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkChange {
    /// One-way delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Shift>,
    /// Spread of the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// Shape of the jitter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// Probability of loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Mean run of losses, in packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_burst: Option<f64>,
    /// Probability of arriving twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<f64>,
    /// Probability of overtaking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<f64>,
    /// Bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Nothing passes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl LinkChange {
    /// A partition.
    pub const CUT: Self = Self {
        delay: None,
        jitter: None,
        distribution: None,
        loss: None,
        loss_burst: None,
        duplicate: None,
        reorder: None,
        rate: None,
        cut: true,
    };

    /// Whether it changes nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The link under this fault. [`Self::cut`] is not applied here but by [`cut`], after all others.
    pub(crate) fn apply(&self, link: &mut LinkProfile) {
        match self.delay {
            Some(Shift::Add(more)) => link.delay += more,
            Some(Shift::Set(delay)) => link.delay = delay,
            None => {}
        }
        set(&mut link.jitter, self.jitter);
        set(&mut link.distribution, self.distribution);
        // A fault that names a loss alone wants just that loss, not the zone file's bursts of it.
        set(&mut link.loss_burst, self.loss_burst.or(self.loss.map(|_| 1.0)));
        set(&mut link.loss, self.loss);
        set(&mut link.duplicate, self.duplicate);
        set(&mut link.reorder, self.reorder);
        link.rate = self.rate.or(link.rate);
    }
}

fn set<T: Copy>(value: &mut T, change: Option<T>) {
    *value = change.unwrap_or(*value);
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.cut {
            words.push("cut".to_owned());
        }
        match self.delay {
            Some(Shift::Add(delay)) => words.push(format!("delay +{}", format_delay(delay))),
            Some(Shift::Set(delay)) => words.push(format!("delay {}", format_delay(delay))),
            None => {}
        }
        let mut word = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("{name} {value}")));
        };
        word("jitter", self.jitter.map(format_delay));
        word("distribution", self.distribution.map(|d| d.name().to_owned()));
        word("loss", self.loss.map(format_percent));
        word("burst", self.loss_burst.map(|burst| burst.to_string()));
        word("duplicate", self.duplicate.map(format_percent));
        word("reorder", self.reorder.map(format_percent));
        word("rate", self.rate.map(format_rate));
        f.write_str(&words.join(" "))
    }
}
