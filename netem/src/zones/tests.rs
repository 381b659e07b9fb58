use std::time::Duration;

use super::*;

const TWO: &str = r#"
[zones.A]
subnet = "10.0.1.0/24"
[zones.B]
subnet = "10.0.2.0/24"
subnet6 = "fd00:2::/64"
[default]
rtt = "10ms"
"#;

fn error(text: &str) -> String {
    Zones::parse(text, "zones.toml").unwrap_err().to_string()
}

#[test]
fn the_builtin_matrix_is_the_papers() {
    let zones = Zones::builtin();
    let rtt = |a, b| (zones.link(a, b).unwrap().delay + zones.link(b, a).unwrap().delay).as_millis();
    assert_eq!(zones.names(), "FRA, IAD, BOM");
    assert_eq!([rtt("FRA", "FRA"), rtt("IAD", "IAD"), rtt("BOM", "BOM")], [10, 10, 10], "inside a zone");
    assert_eq!([rtt("FRA", "IAD"), rtt("FRA", "BOM"), rtt("IAD", "BOM")], [90, 200, 250], "between zones");
    assert_eq!(zones.zone_of("10.77.3.9".parse().unwrap()).unwrap().name, "BOM");
    assert_eq!(zones.zone_of("fd77:0:0:2::5".parse().unwrap()).unwrap().name, "IAD");
    assert_eq!(zones.zone_of("10.78.3.9".parse().unwrap()), None);
}

#[test]
fn a_one_way_entry_wins_over_a_two_way_one() {
    let text = format!(
        "{TWO}[[link]]\nfrom = \"B\"\nto = \"A\"\ndelay = \"70ms\"\nloss = \"2%\"\n[[link]]\nbetween = [\"A\", \"B\"]\nrtt = \"20ms\"\n"
    );
    let zones = Zones::parse(&text, "t").unwrap();
    assert_eq!(zones.link("A", "B").unwrap().delay, Duration::from_millis(10));
    assert_eq!(zones.link("B", "A").unwrap().delay, Duration::from_millis(70));
    assert!((zones.link("B", "A").unwrap().loss - 0.02).abs() < f64::EPSILON);
    assert_eq!(zones.link("A", "A").unwrap().delay, Duration::from_millis(5), "from [default]");
}

#[test]
fn every_property_of_a_link_is_read() {
    let text = format!(
        "{TWO}[[link]]\nbetween = [\"A\", \"B\"]\ndelay = \"45ms\"\njitter = \"2ms\"\ndistribution = \"pareto\"\nloss = \"1%\"\n\
         loss_burst = 5.0\nduplicate = \"0.1%\"\nreorder = \"0.2%\"\nrate = \"200mbit\"\n"
    );
    insta::assert_debug_snapshot!(Zones::parse(&text, "t").unwrap().link("A", "B").unwrap());
}

#[test]
fn errors_name_the_line_and_what_was_expected() {
    let link = |body: &str| format!("{TWO}[[link]]\nbetween = [\"A\", \"B\"]\n{body}\n");
    let cases = [
        ("unit", link("rtt = \"90\"")),
        ("percent", link("rtt = \"9ms\"\nloss = \"0.3\"")),
        ("rate", link("rtt = \"9ms\"\nrate = \"20mbps\"")),
        ("distribution", link("rtt = \"9ms\"\ndistribution = \"gauss\"")),
        ("unknown key", link("rtt = \"9ms\"\nlatency = \"9ms\"")),
        ("type", link("rtt = 90")),
        ("both delays", link("rtt = \"9ms\"\ndelay = \"9ms\"")),
        ("no delay", link("loss = \"1%\"")),
        ("crowded bursts", link("rtt = \"9ms\"\nloss = \"90%\"\nloss_burst = 2.0")),
        ("unknown zone", format!("{TWO}[[link]]\nbetween = [\"A\", \"C\"]\nrtt = \"9ms\"\n")),
        ("three ends", format!("{TWO}[[link]]\nbetween = [\"A\", \"B\", \"A\"]\nrtt = \"9ms\"\n")),
        ("no ends", format!("{TWO}[[link]]\nfrom = \"A\"\nrtt = \"9ms\"\n")),
        ("twice", format!("{}[[link]]\nbetween = [\"B\", \"A\"]\nrtt = \"9ms\"\n", link("rtt = \"9ms\""))),
        ("default with ends", TWO.replace("rtt", "from = \"A\"\nrtt")),
        (
            "no link",
            TWO.replace("[default]\nrtt = \"10ms\"", "[[link]]\nbetween = [\"A\", \"B\"]\nrtt = \"1ms\""),
        ),
        ("host bits", TWO.replace("10.0.1.0/24", "10.0.1.7/24")),
        ("not a subnet", TWO.replace("10.0.1.0/24", "10.0.1.0")),
        ("v4 as v6", TWO.replace("fd00:2::/64", "10.0.3.0/24")),
        ("overlap", TWO.replace("10.0.2.0/24", "10.0.0.0/16")),
        ("no subnet", TWO.replace("subnet = \"10.0.1.0/24\"\n", "")),
        ("name", TWO.replace("[zones.A]", "[zones.\"A B\"]")),
        ("no zones", "zones = {}\n".to_owned()),
        ("not toml", "[zones.A\n".to_owned()),
        ("empty", String::new()),
    ];
    let all: Vec<String> = cases.iter().map(|(name, text)| format!("{name}: {}", error(text))).collect();
    insta::assert_snapshot!(all.join("\n"));
}
