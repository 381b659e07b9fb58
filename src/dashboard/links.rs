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
                loss: loss(a, b, figures, view),
                cut: a != b && is_cut(from, to, figures, view),
            });
        }
    }
    links
}

/// What nodes at either end told of the link between both zones.
fn told<'a>(
    (a, b): (&'a str, &'a str),
    figures: &'a [(String, Figures)],
    which: fn(&Figures) -> &[(String, String, f64)],
) -> impl Iterator<Item = f64> + 'a {
    let between = move |from: &str, to: &str| (from, to) == (a, b) || (from, to) == (b, a);
    let all = figures.iter().flat_map(move |(_, figures)| which(figures));
    all.filter(move |(from, to, _)| between(from, to)).map(|(_, _, value)| *value)
}

/// The median of what the nodes of both ends say.
fn rtt_ms(a: &str, b: &str, figures: &[(String, Figures)]) -> Option<f64> {
    let mut rtts: Vec<f64> = told((a, b), figures, |figures| &figures.zone_rtts).collect();
    rtts.sort_by(f64::total_cmp);
    rtts.get(rtts.len() / 2).map(|seconds| rounded(seconds * 1e3, 100.0))
}

/// The part of the pings over the link that stay without an answer: the mean of what the nodes of both ends say; where none of them could
/// be asked, of this node's own pings, which it has for the links of its own zone alone.
fn loss(a: &str, b: &str, figures: &[(String, Figures)], view: &View) -> Option<f64> {
    let mut losses: Vec<f64> = told((a, b), figures, |figures| &figures.zone_losses).collect();
    if losses.is_empty() {
        let own = view.local.identity.zone.as_str();
        let other = match (a == own, b == own) {
            (true, _) => b,
            (_, true) => a,
            (false, false) => return None,
        };
        let of_link = |peer: &&Member| peer.state.is_live() && peer.identity.zone.as_str() == other;
        losses.extend(view.peers.iter().filter(of_link).filter_map(|peer| peer.loss).map(f64::from));
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use starling_overlay::{BootEpoch, Identity, Incarnation, MemberState, Stats, Versions};

    use super::*;

    fn member(name: &str, zone: &str, loss: Option<f32>) -> Member {
        let identity = Identity {
            name: name.parse().unwrap(),
            boot: BootEpoch(1),
            gossip: "10.77.1.1:5000".parse().unwrap(),
            http_port: 5000,
            zone: zone.parse().unwrap(),
            capacity_jobs: 1,
            versions: Versions::SPOKEN,
        };
        Member {
            identity: Arc::new(identity),
            state: MemberState::Alive,
            incarnation: Incarnation(0),
            rtt: None,
            load: None,
            damping: None,
            heard_at: None,
            loss,
        }
    }

    /// As a monitor in FRA sees it, whose own pings to IAD and BOM stay without an answer to these parts.
    fn view() -> View {
        View {
            at: Instant::now(),
            local: member("watcher", "FRA", None),
            peers: vec![
                member("node1", "FRA", Some(0.0)),
                member("node2", "IAD", Some(0.5)),
                member("node3", "BOM", Some(0.1)),
            ],
            cluster: None,
            converged: None,
            stats: Stats::default(),
        }
    }

    fn zones() -> Vec<ZoneState> {
        let zone =
            |name: &str| ZoneState { name: name.to_owned(), members: 1, alive: 1, ..ZoneState::default() };
        ["BOM", "FRA", "IAD"].map(zone).into()
    }

    fn figures(zone: &str, losses: &[(&str, f64)], live: &[&str]) -> (String, Figures) {
        let losses = losses.iter().map(|(to, loss)| (zone.to_owned(), (*to).to_owned(), *loss));
        let live = live.iter().map(|zone| ((*zone).to_owned(), 1));
        (
            zone.to_owned(),
            Figures { zone_losses: losses.collect(), zone_live: live.collect(), ..Figures::default() },
        )
    }

    fn of<'a>(links: &'a [LinkState], from: &str, to: &str) -> &'a LinkState {
        links.iter().find(|link| (link.from.as_str(), link.to.as_str()) == (from, to)).unwrap()
    }

    #[test]
    fn what_is_lost_is_told_of_links_far_from_the_teller() {
        let all = ["BOM", "FRA", "IAD"];
        let figures = [
            figures("IAD", &[("BOM", 0.3), ("FRA", 0.02)], &all),
            figures("BOM", &[("IAD", 0.4)], &all),
            figures("FRA", &[("IAD", 0.04)], &all),
        ];
        let links = links(&zones(), &figures, &view());
        assert_eq!(of(&links, "BOM", "IAD").loss, Some(0.35), "of both ends, neither of them the teller's");
        assert_eq!(
            of(&links, "FRA", "IAD").loss,
            Some(0.03),
            "what the nodes say counts, not the monitor's own pings"
        );
        assert_eq!(of(&links, "BOM", "FRA").loss, Some(0.1), "the teller's own pings where no node says it");
        assert_eq!(of(&links, "BOM", "BOM").loss, None);
        assert!(links.iter().all(|link| !link.cut));
    }

    #[test]
    fn alone_a_node_tells_of_the_links_of_its_own_zone() {
        let links = links(&zones(), &[], &view());
        assert_eq!(of(&links, "FRA", "IAD").loss, Some(0.5));
        assert_eq!(of(&links, "FRA", "FRA").loss, Some(0.0));
        assert_eq!(of(&links, "BOM", "IAD").loss, None);
    }

    #[test]
    fn a_link_is_cut_where_neither_end_hears_the_other() {
        let cut = |iad: &[&str], bom: &[&str]| {
            let figures = [figures("IAD", &[], iad), figures("BOM", &[], bom)];
            of(&links(&zones(), &figures, &view()), "BOM", "IAD").cut
        };
        assert!(cut(&["IAD", "FRA"], &["BOM"]));
        assert!(!cut(&["IAD", "BOM"], &["BOM"]), "one end hears the other still");
        assert!(!cut(&["IAD"], &["BOM", "IAD"]), "so does this one");
    }
}
