//! Zone file text to [`Zones`]. Every value keeps its place in the text, so that each error can name its line.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use toml::Spanned;

use super::{Zone, Zones};
use crate::units::{UnitError, parse_delay, parse_percent, parse_rate};
use crate::{Distribution, LinkProfile};

/// Enough for any lab; what bounds the classes of a device.
const ZONES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    zones: BTreeMap<Spanned<String>, Spanned<RawZone>>,
    default: Option<Spanned<RawLink>>,
    #[serde(default)]
    link: Vec<Spanned<RawLink>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawZone {
    subnet: Option<Spanned<String>>,
    subnet6: Option<Spanned<String>>,
}

type Text = Option<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLink {
    between: Option<Spanned<Vec<Spanned<String>>>>,
    from: Text,
    to: Text,
    rtt: Text,
    delay: Text,
    jitter: Text,
    distribution: Text,
    loss: Text,
    loss_burst: Option<Spanned<f64>>,
    duplicate: Text,
    reorder: Text,
    rate: Text,
}

/// What is wrong, and where in the text.
pub(super) struct Invalid {
    at: Option<std::ops::Range<usize>>,
    pub message: String,
}

impl Invalid {
    fn new<T>(at: &Spanned<T>, message: impl Into<String>) -> Self {
        Self { at: Some(at.span()), message: message.into() }
    }

    /// Counted from 1; the last line when the parser named no place.
    pub fn line(&self, text: &str) -> usize {
        let end = self.at.as_ref().map_or(text.len(), |span| span.start.min(text.len()));
        text.as_bytes()[..end].split(|byte| *byte == b'\n').count()
    }
}

pub(super) fn parse(text: &str) -> Result<Zones, Invalid> {
    let raw: RawFile = toml::from_str(text)
        .map_err(|error| Invalid { at: error.span(), message: error.message().replace('\n', ", ") })?;
    let zones = parse_zones(&raw, text)?;
    let links = parse_links(&raw, &zones)?;
    Ok(Zones { zones, links })
}

/// Zones in the order of the file, not of their names.
fn parse_zones(raw: &RawFile, text: &str) -> Result<Vec<Zone>, Invalid> {
    let mut entries: Vec<_> = raw.zones.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    if entries.is_empty() || entries.len() > ZONES_MAX {
        let message =
            format!("{} zones: expected from 1 to {ZONES_MAX}, each a table [zones.NAME]", entries.len());
        let start = text.find("zones").unwrap_or(0);
        return Err(Invalid { at: Some(start..start), message });
    }
    let mut zones: Vec<Zone> = Vec::new();
    for (name, zone) in entries {
        check_name(name)?;
        let subnets = parse_subnets(zone)?;
        for (subnet, at) in &subnets {
            let clash = zones.iter().find(|other| other.subnets.iter().any(|s| overlap(s, subnet)));
            if let Some(other) = clash {
                let message =
                    format!("{subnet} overlaps a subnet of zone {}: expected one of its own", other.name);
                return Err(Invalid::new(at, message));
            }
        }
        let subnets = subnets.into_iter().map(|(subnet, _)| subnet).collect();
        zones.push(Zone { name: name.as_ref().clone(), subnets });
    }
    Ok(zones)
}

fn check_name(name: &Spanned<String>) -> Result<(), Invalid> {
    let text = name.as_ref();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(fine) || text.starts_with('-') {
        let message =
            format!("zone {text:?}: expected a name of letters, digits, _ and -, at most {NAME_BYTES_MAX}");
        return Err(Invalid::new(name, message));
    }
    Ok(())
}

fn parse_subnets(zone: &Spanned<RawZone>) -> Result<Vec<(IpNet, &Spanned<String>)>, Invalid> {
    let raw = zone.as_ref();
    let mut subnets = Vec::new();
    if let Some(text) = &raw.subnet {
        let expected = "expected an IPv4 subnet such as \"10.77.1.0/24\"";
        let net: Ipv4Net = text
            .as_ref()
            .parse()
            .map_err(|_| Invalid::new(text, format!("{:?}: {expected}", text.as_ref())))?;
        subnets.push((IpNet::V4(net), text));
    }
    if let Some(text) = &raw.subnet6 {
        let expected = "expected an IPv6 subnet such as \"fd77:0:0:1::/64\"";
        let net: Ipv6Net = text
            .as_ref()
            .parse()
            .map_err(|_| Invalid::new(text, format!("{:?}: {expected}", text.as_ref())))?;
        subnets.push((IpNet::V6(net), text));
    }
    if subnets.is_empty() {
        return Err(Invalid::new(
            zone,
            "a zone without addresses: expected subnet = \"10.77.1.0/24\" or subnet6",
        ));
    }
    for (net, text) in &subnets {
        if net.addr() != net.network() {
            let message = format!("{net} has bits beyond its prefix: expected {}", net.trunc());
            return Err(Invalid::new(text, message));
        }
    }
    Ok(subnets)
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// One-way entries win over two-way ones, whatever their order; two entries for one direction are a mistake.
fn parse_links(raw: &RawFile, zones: &[Zone]) -> Result<Vec<LinkProfile>, Invalid> {
    let count = zones.len();
    let mut both: Vec<Option<LinkProfile>> = vec![None; count * count];
    let mut one: Vec<Option<LinkProfile>> = vec![None; count * count];
    for link in &raw.link {
        let (table, from, to) = match ends(link, zones)? {
            Ends::Both(a, b) => (&mut both, a, b),
            Ends::OneWay(from, to) => (&mut one, from, to),
        };
        let profile = parse_profile(link)?;
        let there = from * count + to;
        let back = to * count + from;
        let cells =
            if link.as_ref().between.is_some() && there != back { vec![there, back] } else { vec![there] };
        for cell in cells {
            if table[cell].replace(profile).is_some() {
                let message = format!(
                    "a second link between {} and {}: expected one for each pair of zones",
                    zones[from].name, zones[to].name
                );
                return Err(Invalid::new(link, message));
            }
        }
    }
    let default = raw.default.as_ref().map(parse_default).transpose()?;
    let last = raw.link.last().map(Spanned::span).unwrap_or_default();
    (0..count * count)
        .map(|cell| {
            one[cell].or(both[cell]).or(default).ok_or_else(|| {
                let (from, to) = (&zones[cell / count].name, &zones[cell % count].name);
                let message = format!(
                    "no link from {from} to {to}: expected [[link]] with between = [\"{from}\", \"{to}\"], or a [default]"
                );
                Invalid { at: Some(last.clone()), message }
            })
        })
        .collect()
}

enum Ends {
    Both(usize, usize),
    OneWay(usize, usize),
}

fn ends(link: &Spanned<RawLink>, zones: &[Zone]) -> Result<Ends, Invalid> {
    let raw = link.as_ref();
    let find = |name: &Spanned<String>| {
        zones.iter().position(|zone| zone.name == *name.as_ref()).ok_or_else(|| {
            let known: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
            Invalid::new(name, format!("no zone {:?}: expected one of {}", name.as_ref(), known.join(", ")))
        })
    };
    match (&raw.between, &raw.from, &raw.to) {
        (Some(pair), None, None) => match pair.as_ref().as_slice() {
            [a, b] => Ok(Ends::Both(find(a)?, find(b)?)),
            other => Err(Invalid::new(
                pair,
                format!("{} zones: expected two, such as [\"FRA\", \"IAD\"]", other.len()),
            )),
        },
        (None, Some(from), Some(to)) => Ok(Ends::OneWay(find(from)?, find(to)?)),
        _ => Err(Invalid::new(
            link,
            "a link without its ends: expected between = [A, B], or from = A and to = B",
        )),
    }
}

fn parse_default(link: &Spanned<RawLink>) -> Result<LinkProfile, Invalid> {
    let raw = link.as_ref();
    if raw.between.is_some() || raw.from.is_some() || raw.to.is_some() {
        return Err(Invalid::new(
            link,
            "[default] is for every pair that has no [[link]]: expected no ends here",
        ));
    }
    parse_profile(link)
}

fn parse_profile(link: &Spanned<RawLink>) -> Result<LinkProfile, Invalid> {
    let raw = link.as_ref();
    let rtt = value(raw.rtt.as_ref(), parse_delay)?;
    let delay = value(raw.delay.as_ref(), parse_delay)?;
    let delay = match (rtt, delay) {
        (Some(rtt), None) => rtt / 2,
        (None, Some(delay)) => delay,
        (None, None) => {
            return Err(Invalid::new(link, "a link without a delay: expected rtt = \"90ms\", or delay"));
        }
        (Some(_), Some(_)) => {
            return Err(Invalid::new(link, "a link with both rtt and delay: expected one of them"));
        }
    };
    let profile = LinkProfile {
        delay,
        jitter: value(raw.jitter.as_ref(), parse_delay)?.unwrap_or_default(),
        distribution: raw.distribution.as_ref().map(parse_distribution).transpose()?.unwrap_or_default(),
        loss: value(raw.loss.as_ref(), parse_percent)?.unwrap_or_default(),
        loss_burst: raw.loss_burst.as_ref().map_or(1.0, |burst| *burst.as_ref()),
        duplicate: value(raw.duplicate.as_ref(), parse_percent)?.unwrap_or_default(),
        reorder: value(raw.reorder.as_ref(), parse_percent)?.unwrap_or_default(),
        rate: value(raw.rate.as_ref(), parse_rate)?,
    };
    profile.check().map_err(|message| Invalid::new(link, message))?;
    Ok(profile)
}

fn value<T>(
    text: Option<&Spanned<String>>,
    parse: impl Fn(&str) -> Result<T, UnitError>,
) -> Result<Option<T>, Invalid> {
    text.map(|text| parse(text.as_ref()).map_err(|error| Invalid::new(text, error.to_string()))).transpose()
}

fn parse_distribution(text: &Spanned<String>) -> Result<Distribution, Invalid> {
    match text.as_ref().as_str() {
        "uniform" => Ok(Distribution::Uniform),
        "normal" => Ok(Distribution::Normal),
        "pareto" => Ok(Distribution::Pareto),
        other => {
            Err(Invalid::new(text, format!("{other:?}: expected \"uniform\", \"normal\" or \"pareto\"")))
        }
    }
}
