use hyper::Request;

use super::*;

fn request(method: Method, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn gate(hosts: &str, origins: &str) -> Gate {
    let mut hosts = Hosts::of(items(hosts)).unwrap();
    hosts.add("node1");
    hosts.add_machine("Box.lan.example");
    Gate::new(hosts, Origins::of(items(origins)).unwrap())
}

fn is_member(name: &str) -> bool {
    ["node2", "evil.example"].contains(&name)
}

fn asked(gate: &Gate, host: &str) -> Result<Passed, GateError> {
    gate.check(&request(Method::GET, "/health", &[("host", host)]), is_member)
}

#[test]
fn a_node_answers_to_addresses_and_to_its_own_names() {
    let gate = gate("transcode.example.com,.cluster.example", "");
    for host in [
        "127.0.0.1:5001",
        "192.0.2.7",
        "[::1]:5000",
        "[fd00::2]",
        "localhost:5001",
        "LOCALHOST",
        "a.localhost:1",
        "node1:5000",
        "Node1.",
        "node2:5000",
        "box",
        "box.local:5000",
        "box.lan.example",
        "transcode.example.com:443",
        "cluster.example",
        "a.b.cluster.example",
    ] {
        assert!(asked(&gate, host).is_ok(), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:5001",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "node3",
        "node1.evil.example",
        "badcluster.example",
        "other.local",
        "a.transcode.example.com",
        "2130706433.example",
    ] {
        let error = asked(&gate, host).unwrap_err();
        let name = host.split(':').next().unwrap();
        assert_eq!(error, GateError::UnknownHost(name.to_owned()), "{host}");
        assert!(error.to_string().contains(&format!("--allow-host {name} ")), "{error}");
    }
    assert!(asked(&super::tests::gate("*", ""), "evil.example").is_ok());
}

#[test]
fn a_request_has_one_host() {
    let gate = gate("", "");
    let mut old = request(Method::GET, "/health", &[]);
    assert_eq!(gate.check(&old, is_member), Err(GateError::BadHost("this one has none")));
    *old.version_mut() = Version::HTTP_10;
    assert!(gate.check(&old, is_member).is_ok());
    let two = request(Method::GET, "/health", &[("host", "node1"), ("host", "node1")]);
    assert_eq!(gate.check(&two, is_member), Err(GateError::BadHost("this one has several")));
    for host in ["", ":5000", "a b", "user@node1", "[::1", "node1:port", "node1/x", "node1:1:2"] {
        assert_eq!(asked(&gate, host), Err(GateError::BadHost("this one's is neither")), "{host:?}");
    }
    // In the absolute form the target is what counts.
    let absolute = |uri| gate.check(&request(Method::GET, uri, &[("host", "node1")]), is_member);
    assert!(absolute("http://node1:5000/health").is_ok());
    assert_eq!(absolute("http://evil.example/health"), Err(GateError::UnknownHost("evil.example".into())));
}

const CROSS: [(&str, &str); 3] =
    [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];

#[test]
fn pages_of_other_sites_are_turned_away_and_links_are_followed() {
    let gate = gate("", "");
    let ask = |method: Method, headers: &[(&str, &str)]| {
        let headers = [&[("host", "127.0.0.1:5001")], headers].concat();
        gate.check(&request(method, "/upload", &headers), is_member)
    };
    for origin in ["http://evil.example", "https://127.0.0.1", "http://127.0.0.1:3000", "null", "file://"] {
        let error = ask(Method::POST, &[("origin", origin)]).unwrap_err();
        assert_eq!(error, GateError::ForeignOrigin(origin.to_owned()));
        assert!(ask(Method::GET, &[("origin", origin)]).is_err());
        assert!(ask(Method::OPTIONS, &[("origin", origin)]).is_err());
    }
    for site in ["same-origin", "same-site", "none"] {
        assert!(ask(Method::GET, &[("sec-fetch-site", site)]).is_ok(), "{site}");
    }
    for origin in ["http://127.0.0.1:5001", "HTTP://127.0.0.1:5001", "https://127.0.0.1:5001"] {
        let passed = ask(Method::POST, &[("origin", origin), ("sec-fetch-site", "same-origin")]).unwrap();
        assert_eq!((passed.allow_origin, passed.varies), (None, false), "{origin}");
    }
    assert_eq!(ask(Method::POST, &CROSS), Err(GateError::CrossSite));
    assert_eq!(ask(Method::GET, &CROSS), Err(GateError::CrossSite));
    let link =
        |dest| [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", dest)];
    assert!(ask(Method::GET, &link("document")).is_ok());
    assert_eq!(ask(Method::GET, &link("iframe")), Err(GateError::CrossSite));
    assert_eq!(ask(Method::POST, &link("document")), Err(GateError::CrossSite), "a form is no link");
    let two = [("origin", "http://127.0.0.1:5001"), ("origin", "http://evil.example")];
    assert_eq!(ask(Method::POST, &two), Err(GateError::CrossSite));
    // What curl and the other nodes send.
    assert!(ask(Method::POST, &[]).is_ok() && Gate::check_no_browser(&HeaderMap::new()).is_ok());
    for name in ["origin", "sec-fetch-site"] {
        let page = request(Method::POST, "/", &[(name, "same-origin")]);
        assert_eq!(Gate::check_no_browser(page.headers()), Err(GateError::Browser));
    }
}

#[test]
fn pages_that_are_allowed_are_told_so() {
    let ask = |gate: &Gate, headers: &[(&str, &str)]| {
        let headers = [&[("host", "node1")], headers].concat();
        gate.check(&request(Method::POST, "/upload", &headers), is_member)
    };
    let some = gate("", "https://App.example:443/, http://localhost:3000");
    for origin in ["https://app.example", "http://localhost:3000"] {
        let passed = ask(&some, &[("origin", origin), ("sec-fetch-site", "cross-site")]).unwrap();
        assert_eq!(passed.allow_origin.unwrap(), origin);
        assert!(passed.varies && !passed.any_origin);
    }
    assert!(ask(&some, &[]).unwrap().varies, "a cache must not give this to a page");
    for origin in ["https://app.example.evil.example", "http://app.example", "http://localhost:3001", "null"]
    {
        assert_eq!(ask(&some, &[("origin", origin)]), Err(GateError::ForeignOrigin(origin.to_owned())));
    }
    assert_eq!(ask(&some, &CROSS), Err(GateError::CrossSite));
    let any = gate("", "*");
    assert_eq!(ask(&any, &[("origin", "null")]).unwrap().allow_origin.unwrap(), "*");
    assert!(ask(&any, &CROSS).unwrap().any_origin);
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    for bad in ["http://node1", "node1:5000", "a b", "..", "*.example.com", "[::1]"] {
        assert!(Hosts::of([bad]).unwrap_err().to_string().contains(bad), "{bad}");
    }
    for bad in ["example.com", "https://", "https://a/path", "https://a?q", "https://u@a", "*.example.com"] {
        assert_eq!(Origins::of([bad]), Err(OriginError::Malformed(bad.to_owned())), "{bad}");
    }
    assert_eq!(Origins::of(["null"]), Err(OriginError::Null));
    assert_eq!(Hosts::of([]), Ok(Hosts::default()));
}
