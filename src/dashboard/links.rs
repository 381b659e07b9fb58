//! What lies between zones: round trips, loss, and whether either side hears the other.

use starling_overlay::{Member, View};

use super::board::rounded;
use super::figures::Figures;
use super::state::{LinkState, ZoneState};

/// Zones between which links are told: with more, a map shows nothing.
const ZONES_MAX: usize = 24;

/// The links among these zones. `figures` are those of the nodes that could be asked, each with its zone.
pub(super) fn links(zones: &[ZoneState], figures: &[(String, Figures)], view: &View) -> Vec<LinkState> {
    let zones = &zones[..zones.len().min(ZONES_MAX)];
    let mut links = Vec::new();
    for (index, from) in zones.iter().enumerate() {
        for to in &zones[index..] {
            let (a, b) = (from.name.as_str(), to.name.as_str());
            links.push(LinkState {
                from: a.to_owned(),
                to: b.to_owned(),
                rtt_ms: rtt_ms(a, b, figures),
                loss: loss(a, b, view),
                cut: a != b && is_cut(from, to, figures, view),
            });
        }
    }
    links
}

/// The median of what the nodes of both ends say.
fn rtt_ms(a: &str, b: &str, figures: &[(String, Figures)]) -> Option<f64> {
    let all = figures.iter().flat_map(|(_, figures)| &figures.zone_rtts);
    let between = |from: &str, to: &str| (from, to) == (a, b) || (from, to) == (b, a);
    let mut rtts: Vec<f64> = all.filter(|(from, to, _)| between(from, to)).map(|(_, _, s)| *s).collect();
    rtts.sort_by(f64::total_cmp);
    rtts.get(rtts.len() / 2).map(|seconds| rounded(seconds * 1e3, 100.0))
}

/// The part of this node's own pings over the link that stay without an answer; known for the links of its own zone alone.
fn loss(a: &str, b: &str, view: &View) -> Option<f64> {
    let own = view.local.identity.zone.as_str();
    let other = match (a == own, b == own) {
        (true, _) => b,
        (_, true) => a,
        (false, false) => return None,
    };
    let of_link = |peer: &&Member| peer.state.is_live() && peer.identity.zone.as_str() == other;
    let losses: Vec<f64> =
        view.peers.iter().filter(of_link).filter_map(|peer| peer.loss).map(f64::from).collect();
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    (!losses.is_empty()).then(|| rounded(mean, 100.0))
}

/// Whether the nodes of one end see none of the other alive, and there are some that should be. By the figures of the nodes of either
/// end; where none of an end can be asked, by this node's own view.
fn is_cut(from: &ZoneState, to: &ZoneState, figures: &[(String, Figures)], view: &View) -> bool {
    let sees = |from: &ZoneState, to: &ZoneState| {
        let told = figures
            .iter()
            .filter(|(zone, _)| *zone == from.name)
            .map(|(_, figures)| figures.zone_live.iter().any(|(zone, live)| *zone == to.name && *live > 0));
        told.reduce(|one, other| one || other)
    };
    let of_view = |zone: &str| {
        view.members().any(|member| {
            let identity = &member.identity;
            member.state.is_live() && !identity.is_observer() && identity.zone.as_str() == zone
        })
    };
    match (sees(from, to), sees(to, from)) {
        (None, None) => of_view(&from.name) != of_view(&to.name),
        (there, back) => !there.unwrap_or_default() && !back.unwrap_or_default(),
    }
}
