use proptest::prelude::*;

use super::*;

const ZONES: &[&str] = &["FRA", "IAD", "BOM"];
const NODES: &[&str] = &["node1", "node3", "worker-1", "worker-1-FRA"];

fn resolve(name: &str) -> Result<Selector, SelectError> {
    if name == "all" {
        Ok(Selector::All)
    } else if ZONES.contains(&name) {
        Ok(Selector::Zone(name.to_owned()))
    } else if NODES.contains(&name) {
        Ok(Selector::Node(name.to_owned()))
    } else {
        Err(SelectError::Unknown { name: name.to_owned(), expected: "one of FRA, IAD, BOM".to_owned() })
    }
}

fn links(text: &str) -> Links {
    Links::parse(text, false, &resolve).unwrap()
}

fn groups(text: &str) -> Links {
    Links::parse_groups(text, &resolve).unwrap()
}

fn node<'a>(node: &'a str, zone: &'a str) -> Place<'a> {
    Place { node: Some(node), zone }
}

fn any(zone: &str) -> Place<'_> {
    Place { node: None, zone }
}

#[test]
fn links_are_read_as_people_write_them() {
    let shown: Vec<String> = [
        "FRA-BOM",
        "FRA,IAD-BOM",
        "FRA,IAD / BOM",
        "node1-FRA",
        "worker-1-BOM",
        "worker-1/FRA",
        "FRA-FRA",
        "node3",
        "worker-1",
        "all",
    ]
    .map(|text| format!("{text}: {}", links(text)))
    .to_vec();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn what_selects_nothing_says_why() {
    let error = |text: &str| Links::parse(text, false, &resolve).unwrap_err().to_string();
    let group_error = |text: &str| Links::parse_groups(text, &resolve).unwrap_err().to_string();
    let shown = [
        error("FRA-SYD"),
        error("SYD-FRA"),
        error("SYD"),
        error(""),
        error("FRA/"),
        error("worker-1-FRA"),
        group_error(""),
        group_error("FRA / "),
        group_error("all / FRA"),
        group_error("FRA,IAD /"),
        group_error("FRA / BOM,FRA"),
        error("node1-node1"),
    ];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_link_goes_both_ways_unless_told_otherwise() {
    assert!(links("FRA-BOM").contains(any("FRA"), any("BOM")));
    assert!(links("FRA-BOM").contains(node("node3", "BOM"), node("node1", "FRA")));
    assert!(!links("FRA-BOM").contains(any("FRA"), any("IAD")));
    assert!(!links("FRA-BOM").contains(any("FRA"), any("FRA")));
    let one_way = Links::parse("FRA-BOM", true, &resolve).unwrap();
    assert!(one_way.contains(any("FRA"), any("BOM")) && !one_way.contains(any("BOM"), any("FRA")));
}

#[test]
fn one_name_alone_means_all_its_links() {
    assert!(links("node3").contains(node("node3", "BOM"), any("BOM")));
    assert!(links("node3").contains(any("FRA"), node("node3", "BOM")));
    assert!(!links("node3").contains(any("BOM"), any("FRA")));
    assert!(!links("FRA").contains(any("FRA"), any("FRA")), "within the zone nothing changes");
    assert!(links("FRA-FRA").contains(any("FRA"), any("FRA")));
    assert!(links("all").contains(any("FRA"), any("FRA")));
}

#[test]
fn groups_lose_each_other_and_nobody_else() {
    let cut = groups("FRA,IAD / BOM");
    assert!(cut.contains(any("FRA"), any("BOM")) && cut.contains(any("BOM"), any("IAD")));
    assert!(!cut.contains(any("FRA"), any("IAD")) && !cut.contains(any("BOM"), any("BOM")));
    let some = groups("FRA / BOM");
    assert!(!some.contains(any("IAD"), any("BOM")), "who is in no group sees all");
    let alone = groups("node3");
    assert!(
        alone.contains(node("node3", "BOM"), any("BOM")) && alone.contains(any("IAD"), node("node3", "BOM"))
    );
    assert!(!alone.contains(any("IAD"), any("BOM")));
    let nested = groups("node1 / FRA");
    assert!(nested.contains(node("node1", "FRA"), any("FRA")), "a node's own group counts before its zone's");
}

#[test]
fn changes_come_on_top_of_the_link_and_of_each_other() {
    let ms = std::time::Duration::from_millis;
    let mut link =
        crate::LinkProfile { delay: ms(100), loss: 0.1, loss_burst: 5.0, ..crate::LinkProfile::PERFECT };
    let more = LinkChange { delay: Some(Shift::parse("+50ms").unwrap()), ..LinkChange::default() };
    more.apply(&mut link);
    more.apply(&mut link);
    assert_eq!((link.delay, link.loss), (ms(200), 0.1));
    LinkChange { delay: Some(Shift::parse("20ms").unwrap()), loss: Some(0.3), ..LinkChange::default() }
        .apply(&mut link);
    assert_eq!((link.delay, link.loss, link.loss_burst), (ms(20), 0.3, 1.0));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[A-Za-z0-9,/ -]{0,40}") {
        // Either is fine.
        let _links = Links::parse(&text, false, &resolve);
        let _groups = Links::parse_groups(&text, &resolve);
    }

    #[test]
    fn links_both_ways_are_symmetric(a in 0usize..3, b in 0usize..3, c in 0usize..3, d in 0usize..3) {
        for links in [links(&format!("{}-{}", ZONES[a], ZONES[b])), groups(&format!("{}/{}", ZONES[a], ZONES[(a + 1 + b % 2) % 3]))] {
            prop_assert_eq!(
                links.contains(any(ZONES[c]), any(ZONES[d])),
                links.contains(any(ZONES[d]), any(ZONES[c]))
            );
        }
    }
}
