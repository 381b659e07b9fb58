//! How the cluster is, in one sentence, and what is to blame: a pure function of what the page shows beside it.

use super::state::{Blame, Level, LinkState, NodeState, Verdict, ZoneState};

/// Names that one sentence has.
const NAMED_MAX: usize = 3;
/// A queue that is filled to this part is as good as full.
const QUEUE_FULL: f64 = 0.9;
/// A live member's load that is older than this is not known any more; or than so much for each member: what gossip carries in a second
/// does not grow with the cluster, so that loads are older in a larger one (of 500 the oldest is of two minutes).
const LOAD_STALE_MS: u64 = 30_000;
const LOAD_STALE_PER_MEMBER_MS: u64 = 500;
/// Fewest uploads in a minute from which a success rate is told, and the one that is no more than a warning.
const UPLOADS_TOLD_MIN: u64 = 5;
const SUCCESS_MIN: f64 = 0.95;

/// What a verdict is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub nodes: &'a [NodeState],
    pub zones: &'a [ZoneState],
    pub links: &'a [LinkState],
    /// Who tells it, and whether it hears nobody of those that it believes alive.
    pub teller: &'a str,
    pub alone: bool,
    /// Uploads in the last minute that had a result, and all that could have had one.
    pub uploads: (u64, u64),
}

pub(super) fn verdict(evidence: &Evidence<'_>) -> Verdict {
    let mut blame = Vec::new();
    if evidence.alone {
        let why = "is cut off: it hears none of the members that it believes alive".to_owned();
        blame.push(Blame { kind: "node".into(), name: evidence.teller.to_owned(), level: Level::Bad, why });
    }
    zones(evidence, &mut blame);
    nodes(evidence, &mut blame);
    links(evidence, &mut blame);
    // Stable: zones stay before their nodes, nodes before links.
    blame.sort_by_key(|blame| std::cmp::Reverse(blame.level));
    let level = blame.iter().map(|blame| blame.level).max().unwrap_or(Level::Ok);
    let sentence = match level {
        Level::Ok => well(evidence),
        _ => told(&blame, level),
    };
    let mut verdict = Verdict { level, sentence, blame };
    if let Some(told) = failing_uploads(evidence.uploads) {
        verdict.level = verdict.level.max(Level::Warn);
        verdict.sentence = if level == Level::Ok { told } else { format!("{} {told}", verdict.sentence) };
    }
    verdict
}

/// A zone of several members of which none is left; its members are not told of one by one then.
fn zones(evidence: &Evidence<'_>, blame: &mut Vec<Blame>) {
    let others_live = |name: &str| evidence.zones.iter().any(|zone| zone.name != name && zone.alive > 0);
    for zone in evidence.zones.iter().filter(|zone| zone.alive + zone.suspect == 0 && zone.members > 1) {
        let cut =
            others_live(&zone.name) && evidence.links.iter().any(|link| link.cut && link.has(&zone.name));
        let what = if cut { "is cut off or down" } else { "is down" };
        let why = format!("{what}: none of its {} nodes answers", zone.members);
        blame.push(Blame { kind: "zone".into(), name: zone.name.clone(), level: Level::Bad, why });
    }
}

fn nodes(evidence: &Evidence<'_>, blame: &mut Vec<Blame>) {
    let zone_is_blamed =
        |blame: &[Blame], zone: &str| blame.iter().any(|blame| blame.kind == "zone" && blame.name == zone);
    let mut told = Vec::new();
    let stale_ms = LOAD_STALE_MS.max(LOAD_STALE_PER_MEMBER_MS * evidence.nodes.len() as u64);
    for node in evidence.nodes {
        let (level, why) = match node.state.as_str() {
            "dead" if zone_is_blamed(blame, &node.zone) => continue,
            "dead" => (Level::Bad, "has failed".to_owned()),
            "suspect" => (Level::Warn, "is suspected: it does not answer".to_owned()),
            "left" => continue,
            _ => match trouble(node, stale_ms) {
                Some(why) => (Level::Warn, why),
                None => continue,
            },
        };
        told.push(Blame { kind: "node".into(), name: node.name.clone(), level, why });
    }
    blame.append(&mut told);
}

/// What is the matter with a member that lives.
fn trouble(node: &NodeState, stale_ms: u64) -> Option<String> {
    if let Some(ms) = node.damped_ms {
        return Some(format!("comes and goes: it gets no work for {} s", ms.div_ceil(1000)));
    }
    if let (Some(queued), Some(capacity)) = (node.queued, node.queue_capacity)
        && capacity > 0
        && queued as f64 >= capacity as f64 * QUEUE_FULL
    {
        return Some(format!("is full: {queued} of {capacity} places in its queue are taken"));
    }
    if let Some(age) = node.load_age_ms.filter(|age| *age > stale_ms) {
        return Some(format!("has told nothing of its load for {} s", age / 1000));
    }
    if let Some(address) = &node.heard_at {
        return Some(format!("answers from {address}, which is not the address that it tells"));
    }
    node.scrape_error.as_ref().map(|error| format!("gives no metrics: {error}"))
}

/// What is cut. Pings that stay without an answer are shown on the map and not held against a link: where a machine is busy many are
/// late, and nothing is the matter with the line.
fn links(evidence: &Evidence<'_>, blame: &mut Vec<Blame>) {
    let lives =
        |name: &str| evidence.zones.iter().any(|zone| zone.name == name && zone.alive + zone.suspect > 0);
    for link in evidence.links {
        let name = format!("{}–{}", link.from, link.to);
        if link.cut && lives(&link.from) && lives(&link.to) {
            let why = "is cut: the nodes at its ends do not hear each other".to_owned();
            blame.push(Blame { kind: "link".into(), name, level: Level::Bad, why });
        }
    }
}

impl LinkState {
    fn has(&self, zone: &str) -> bool {
        self.from == zone || self.to == zone
    }
}

/// All is well.
fn well(evidence: &Evidence<'_>) -> String {
    let live = evidence.nodes.iter().filter(|node| node.state == "alive");
    let (observers, workers): (Vec<_>, Vec<_>) = live.partition(|node| node.observer);
    let sum = |figure: fn(&NodeState) -> Option<u64>| workers.iter().filter_map(|n| figure(n)).sum::<u64>();
    let nodes = match workers.len() {
        0 => "No node that works is here".to_owned(),
        1 => "The one node is well".to_owned(),
        count => format!("All {count} nodes are well"),
    };
    let zones = evidence.zones.iter().filter(|zone| zone.alive > 0).count();
    let place = if zones > 1 { format!(", in {zones} zones") } else { String::new() };
    let watched = if observers.is_empty() { "" } else { ", and watched" };
    let (running, queued) = (sum(|node| node.running), sum(|node| node.queued));
    let jobs = match (running, queued) {
        (0, 0) => "no job runs".to_owned(),
        (running, 0) => format!("{} and none waits", counted(running, "runs", "run")),
        (running, queued) => {
            format!(
                "{} and {queued} {}",
                counted(running, "runs", "run"),
                if queued == 1 { "waits" } else { "wait" }
            )
        }
    };
    format!("{nodes}{place}{watched}; {jobs}.")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no job {one}"),
        1 => format!("1 job {one}"),
        count => format!("{count} jobs {many}"),
    }
}

/// The worst of it: names with the same trouble together.
fn told(blame: &[Blame], level: Level) -> String {
    let worst: Vec<_> = blame.iter().filter(|blame| blame.level == level).collect();
    let Some(first) = worst.first() else { return String::new() };
    let same: Vec<_> =
        worst.iter().filter(|blame| (&blame.kind, &blame.why) == (&first.kind, &first.why)).collect();
    let prefix = match (&*first.kind, same.len()) {
        ("zone", _) => "Zone ",
        ("link", _) => "The link ",
        _ => "",
    };
    let head = match same.len() {
        1 => format!("{prefix}{} {}", first.name, first.why),
        count => {
            let names: Vec<_> = same.iter().take(NAMED_MAX).map(|blame| blame.name.as_str()).collect();
            let more = count.saturating_sub(NAMED_MAX);
            let names =
                if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") };
            format!("{count} {}s: {names}. Each {}", first.kind, first.why)
        }
    };
    match blame.len() - same.len() {
        0 => format!("{head}."),
        1 => format!("{head}; one thing more is below."),
        more => format!("{head}; {more} things more are below."),
    }
}

fn failing_uploads((ok, all): (u64, u64)) -> Option<String> {
    (all >= UPLOADS_TOLD_MIN && (ok as f64) < all as f64 * SUCCESS_MIN)
        .then(|| format!("{} of {all} uploads of the last minute had no result.", all - ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, zone: &str, state: &str) -> NodeState {
        NodeState {
            name: name.to_owned(),
            zone: zone.to_owned(),
            state: state.to_owned(),
            running: Some(0),
            queued: Some(0),
            queue_capacity: Some(10),
            ..NodeState::default()
        }
    }

    fn said(nodes: &[NodeState], cut: &[(&str, &str)], uploads: (u64, u64)) -> Verdict {
        let mut zones: Vec<ZoneState> = Vec::new();
        for node in nodes.iter().filter(|node| node.state != "left") {
            if !zones.iter().any(|zone| zone.name == node.zone) {
                zones.push(ZoneState { name: node.zone.clone(), ..ZoneState::default() });
            }
            let zone = zones.iter_mut().find(|zone| zone.name == node.zone).unwrap();
            zone.members += 1;
            zone.alive += usize::from(node.state == "alive");
            zone.suspect += usize::from(node.state == "suspect");
        }
        let links: Vec<_> = cut
            .iter()
            .map(|(from, to)| LinkState {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                cut: true,
                ..LinkState::default()
            })
            .collect();
        verdict(&Evidence { nodes, zones: &zones, links: &links, teller: "node1", alone: false, uploads })
    }

    fn five(states: [&str; 5]) -> Vec<NodeState> {
        let zones = ["FRA", "IAD", "BOM", "FRA", "IAD"];
        (0..5).map(|n| node(&format!("node{}", n + 1), zones[n], states[n])).collect()
    }

    #[test]
    fn all_is_well() {
        let mut nodes = five(["alive"; 5]);
        assert_eq!(said(&nodes, &[], (0, 0)).sentence, "All 5 nodes are well, in 3 zones; no job runs.");
        nodes[0].running = Some(2);
        nodes[1].queued = Some(1);
        nodes[4].state = "left".to_owned();
        let verdict = said(&nodes, &[], (9, 9));
        assert_eq!(verdict.sentence, "All 4 nodes are well, in 3 zones; 2 jobs run and 1 waits.");
        assert_eq!((verdict.level, verdict.blame), (Level::Ok, vec![]));
        let one = [node("a", "default", "alive")];
        assert_eq!(said(&one, &[], (0, 0)).sentence, "The one node is well; no job runs.");
    }

    #[test]
    fn loads_may_be_as_old_as_the_cluster_is_large() {
        let of = |count: usize, age: u64| {
            let mut nodes: Vec<_> = (0..count).map(|n| node(&format!("n{n}"), "FRA", "alive")).collect();
            nodes[1].load_age_ms = Some(age);
            said(&nodes, &[], (0, 0))
        };
        assert_eq!(of(5, 30_000).level, Level::Ok);
        assert_eq!(of(5, 31_000).sentence, "n1 has told nothing of its load for 31 s.");
        assert_eq!(of(500, 122_000).level, Level::Ok);
        assert_eq!(of(500, 251_000).level, Level::Warn);
    }

    #[test]
    fn a_failed_node_is_named_and_a_failed_zone_rather_than_its_nodes() {
        let verdict = said(&five(["alive", "alive", "dead", "alive", "alive"]), &[("FRA", "BOM")], (0, 0));
        assert_eq!((verdict.level, &*verdict.sentence), (Level::Bad, "node3 has failed."));
        let verdict = said(
            &five(["alive", "dead", "alive", "alive", "dead"]),
            &[("BOM", "IAD"), ("FRA", "IAD")],
            (0, 0),
        );
        assert_eq!(verdict.sentence, "Zone IAD is cut off or down: none of its 2 nodes answers.");
        assert_eq!(verdict.blame.len(), 1);
        let verdict = said(&five(["alive", "suspect", "dead", "alive", "alive"]), &[], (0, 0));
        assert_eq!(verdict.sentence, "node3 has failed; one thing more is below.");
        let many: Vec<_> = (0..9)
            .map(|n| node(&format!("n{n}"), &format!("Z{}", n % 2), if n > 1 { "dead" } else { "alive" }))
            .collect();
        assert_eq!(said(&many, &[], (0, 0)).sentence, "7 nodes: n2, n3, n4 and 4 more. Each has failed.");
    }

    #[test]
    fn a_link_is_to_blame_where_both_ends_live() {
        let verdict = said(&five(["alive"; 5]), &[("BOM", "FRA")], (0, 0));
        assert_eq!(
            verdict.sentence,
            "The link BOM–FRA is cut: the nodes at its ends do not hear each other."
        );
        assert_eq!(verdict.blame[0].kind, "link");
    }

    #[test]
    fn what_is_full_or_fails_is_told() {
        let mut nodes = five(["alive"; 5]);
        nodes[2].queued = Some(9);
        let verdict = said(&nodes, &[], (3, 6));
        assert_eq!(
            (verdict.level, &*verdict.sentence),
            (
                Level::Warn,
                "node3 is full: 9 of 10 places in its queue are taken. 3 of 6 uploads of the last minute had no result."
            )
        );
        assert_eq!(said(&five(["alive"; 5]), &[], (3, 4)).level, Level::Ok, "too few to tell");
    }
}
