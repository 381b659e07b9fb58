//! A request's head, as lines of `name: value` after its target: `scripts/fuzz-target.sh fuzz headers`.
#![no_main]

use std::time::{Duration, Instant};

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use libfuzzer_sys::fuzz_target;
use starling::auth::{AuthError, Authority};
use starling::config::DEADLINE_MAX;
use starling::content::{ContentId, parse_digest, repr_digest};

use starling::fuzzing::{Answer, answer, content_sha256, deadline, etag, filename, is_form, profile};
use starling::gate::{Gate, Hosts, Origins};
use starling_overlay::{BootEpoch, Identity, Keyring, Versions};

const DEFAULT: Duration = Duration::from_secs(40);
/// The length of the result that is asked for.
const TOTAL: u64 = 1000;
const PATH: &str = "/internal/offers";

fn head(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut request = Request::new(());
    *request.uri_mut() = Uri::try_from(lines.next()?).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
        request.headers_mut().append(HeaderName::from_bytes(name).ok()?, value);
    }
    Some(request.into_parts().0)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(head) = head(bytes) else { return };
    upload(&head);
    result(&head);
    proof(&head);
    gate(&head);
});

fn upload(head: &Parts) {
    let now = Instant::now();
    if let Ok(deadline) = deadline(head, DEFAULT, DEADLINE_MAX, now) {
        assert!(deadline.allowed <= DEADLINE_MAX && deadline.at == now + deadline.allowed);
    }
    if let Ok(Some(name)) = profile(head) {
        let query = head.uri.query().unwrap_or_default();
        // One that was made safe for a query is told as it was before; a name alone has an empty value.
        let bare = name.is_empty() && query.split('&').any(|field| field == "profile");
        let asked = bare || query.contains(&format!("profile={name}")) || query.contains(['%', '+']);
        let header = head.headers.get("x-profile").and_then(|value| value.to_str().ok());
        assert!(asked || header == Some(&name));
    }
    if let Ok(Some(id)) = content_sha256(head) {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(parse_digest(&repr_digest(&id)), Some(id));
    }
    if let Some(name) = filename(head) {
        // It is put into a header of the answer, and into folders by the client.
        assert!(!name.is_empty() && name.len() <= 200 && !name.starts_with('.'));
        assert!(!name.chars().any(char::is_control) && !name.contains(['"', '\\', '/']));
    }
    if let Some(kind) = head.headers.get("content-type").and_then(|value| value.to_str().ok()) {
        assert_eq!(is_form(kind), is_form(&kind.to_uppercase()));
    }
}

fn result(head: &Parts) {
    let id = ContentId::of(b"x");
    let hex = id.to_string();
    let asked = |name: &str| head.headers.contains_key(name);
    let own = |name: &str| {
        let lists = head.headers.get_all(name);
        lists.iter().any(|list| list.as_bytes().windows(64).any(|tag| hex.as_bytes() == tag))
    };
    let any = |name: &str| head.headers.get_all(name).iter().any(|list| list.as_bytes().contains(&b'*'));
    match answer(&Method::GET, &head.headers, &etag(&id), TOTAL) {
        Answer::Whole => {}
        Answer::Part(part) => {
            assert!(asked("range") && part.bytes > 0 && part.start + part.bytes <= TOTAL);
            assert!(part.content_range(TOTAL).parse::<HeaderValue>().is_ok());
            assert!(!asked("if-range") || own("if-range"));
        }
        Answer::NotModified => assert!(own("if-none-match") || any("if-none-match")),
        Answer::PreconditionFailed => assert!(asked("if-match")),
        Answer::Unsatisfiable => assert!(asked("range")),
    }
}

/// Whoever is let in asked for a name that the node has, or an address, and is no page of another site.
fn gate(head: &Parts) {
    let gate = Gate::new(
        Hosts::of(["node1"]).expect("it is a name"),
        Origins::of(["https://app.example"]).expect("it is an origin"),
    );
    let request = Request::from_parts(head.clone(), ());
    let Ok(passed) = gate.check(&request, |name| name == "node2") else { return };
    let target = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let mut hosts = head.headers.get_all("host").iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).expect("HTTP/1.1 has a host");
    assert!(hosts.next().is_none());
    let asked = target.unwrap_or_else(|| host.to_owned()).to_ascii_lowercase();
    let name = asked.rsplit_once(':').map_or(asked.as_str(), |(name, _)| name).trim_end_matches('.');
    let is_address = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let known = ["node1", "node2", "localhost"].contains(&name) || name.ends_with(".localhost");
    assert!(known || is_address(name) || is_address(&asked), "{asked}");
    let Some(origin) = head.headers.get("origin") else { return };
    let own = origin.to_str().is_ok_and(|origin| origin.to_ascii_lowercase().ends_with(&format!("://{asked}")));
    assert!(own || passed.allow_origin.as_ref() == Some(origin));
}

/// `authorization` is a stranger's; `x-damage` is `at:byte`, by which a member's proof is spoiled.
fn proof(head: &Parts) {
    let Some(given) = head.headers.get("authorization").and_then(|value| value.to_str().ok()) else { return };
    let identity = identity();
    let member = Authority::new(identity.name.clone(), identity.boot, Some(&Keyring::new([1; 32])));
    let refused = member.check(&Method::POST, PATH, Some(given));
    assert!(matches!(refused, Err(AuthError::Missing | AuthError::Wrong)), "a stranger is let in");
    let asked = member.sign(&identity, &Method::POST, PATH, None);
    assert!(member.check_answer(&asked, StatusCode::OK, Some(given)).is_err(), "a stranger's answer is believed");

    let damage = head.headers.get("x-damage").map_or(&b""[..], HeaderValue::as_bytes);
    let body = b"{}";
    let signed = member.sign(&identity, &Method::POST, PATH, Some(body));
    let mut signed = signed.header().expect("there is a key").as_bytes().to_vec();
    for pair in damage.chunks_exact(2) {
        let at = usize::from(pair[0]) % signed.len();
        signed[at] = pair[1];
    }
    let Ok(signed) = String::from_utf8(signed) else { return };
    // A digit's case or a sign may change what is written, never what it says.
    let check = |method| member.check(&method, PATH, Some(&signed)).map(|admission| admission.body());
    if let Ok(promised) = check(Method::POST) {
        assert_eq!(promised, Some(ContentId::of(body)));
        assert_eq!(check(Method::POST), Err(AuthError::Replayed));
        assert_eq!(check(Method::GET), Err(AuthError::Wrong));
    }
}

fn identity() -> Identity {
    Identity {
        name: "node1".parse().expect("it is a name"),
        boot: BootEpoch(1),
        gossip: ([127, 0, 0, 1], 1).into(),
        http_port: 1,
        zone: "FRA".parse().expect("it is a zone"),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    }
}
