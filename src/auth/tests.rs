use starling_overlay::Versions;

use super::*;

/// A boot of the node `b`.
fn node(name: &str, boot: u64) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(boot),
        gossip: "127.0.0.1:1".parse().unwrap(),
        http_port: 1,
        zone: "FRA".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    }
}

fn of(identity: &Identity, keys: Option<&Keyring>) -> Authority {
    Authority::new(identity.name.clone(), identity.boot, keys)
}

/// Of the first boot of `b`.
fn authority(key: u8) -> Authority {
    of(&node("b", 1), Some(&Keyring::new([key; 32])))
}

/// A proof for the first boot of `b`.
fn sign(by: &Authority, method: &Method, path: &str, body: Option<&[u8]>) -> String {
    by.sign(&node("b", 1), method, path, body).header().unwrap().to_owned()
}

fn check(at: &Authority, header: Option<&str>) -> Result<Option<ContentId>, AuthError> {
    at.check(&Method::POST, PATH, header).map(|admission| admission.body())
}

const PATH: &str = "/internal/offers";

#[test]
fn a_member_is_let_in_once() {
    let (a, b) = (authority(1), authority(1));
    let header = sign(&a, &Method::POST, PATH, Some(b"{}"));
    assert_eq!(check(&b, Some(&header)), Ok(Some(ContentId::of(b"{}"))));
    assert_eq!(check(&b, Some(&header)), Err(AuthError::Replayed));
    let streamed = sign(&a, &Method::POST, PATH, None);
    assert_eq!(check(&b, Some(&streamed)), Ok(None));
}

#[test]
fn nobody_else_is() {
    let b = authority(1);
    assert_eq!(check(&b, None), Err(AuthError::Missing));
    for garbage in ["", "Basic x", "Starling", "Starling t=1,n=2,b=-", "Starling t=1,n=2,b=-,m=zz"] {
        assert_eq!(check(&b, Some(garbage)), Err(AuthError::Missing), "{garbage}");
    }
    let stranger = sign(&authority(2), &Method::POST, PATH, None);
    assert_eq!(check(&b, Some(&stranger)), Err(AuthError::Wrong));
    let elsewhere = sign(&b, &Method::POST, "/internal/jobs/1", None);
    assert_eq!(check(&b, Some(&elsewhere)), Err(AuthError::Wrong));
    let other_method = sign(&b, &Method::GET, PATH, None);
    assert_eq!(check(&b, Some(&other_method)), Err(AuthError::Wrong));
}

#[test]
fn a_proof_for_one_node_is_none_for_another_nor_after_a_restart() {
    let key = Keyring::new([1; 32]);
    let (b, c) = (authority(1), of(&node("c", 1), Some(&key)));
    let header = sign(&c, &Method::POST, PATH, None);
    assert_eq!(check(&c, Some(&header)), Err(AuthError::Wrong));
    assert_eq!(check(&b, Some(&header)), Ok(None));
    // It has forgotten which nonces it saw.
    assert_eq!(check(&of(&node("b", 2), Some(&key)), Some(&header)), Err(AuthError::Wrong));
}

#[test]
fn a_proof_has_its_time() {
    let b = authority(1);
    let header = sign(&b, &Method::POST, PATH, None);
    let check = |now_s| b.check_at(now_s, &Method::POST, PATH, Some(&header)).map(|_| ());
    for off in [CLOCK_SKEW_S_MAX + 5, CLOCK_SKEW_S_MAX + 3600] {
        for (now_s, told) in [(now_s() + off, "behind"), (now_s() - off, "ahead of")] {
            let error = check(now_s).unwrap_err();
            let AuthError::Stale { ahead_s } = error else { panic!("{error}") };
            let right = ahead_s.unsigned_abs().abs_diff(off) <= 2 && (ahead_s > 0) == (told == "ahead of");
            assert!(right, "{error}");
            let text = format!("{} s {told} this node's", ahead_s.unsigned_abs());
            assert!(error.to_string().contains(&text), "{error}");
        }
    }
}

#[test]
fn an_answer_is_proved_as_its_request_is() {
    let (a, b) = (authority(1), authority(1));
    let ask = || a.sign(&node("b", 1), &Method::POST, PATH, Some(b"{}"));
    let signed = ask();
    let admission = b.check(&Method::POST, PATH, signed.header()).unwrap();
    let (ok, digest) = (StatusCode::OK, ContentId::of(b"answer"));
    let header = admission.prove(ok, &digest).unwrap();
    assert_eq!(a.check_answer(&signed, ok, Some(&header)), Ok(Some(digest)));
    // Another status, another body, another request, none.
    let wrong = Err(AnswerError::Wrong);
    assert_eq!(a.check_answer(&signed, StatusCode::CREATED, Some(&header)), wrong);
    let changed = header.replace(&digest.to_string(), &ContentId::of(b"another").to_string());
    assert_eq!(a.check_answer(&signed, ok, Some(&changed)), wrong);
    assert_eq!(a.check_answer(&ask(), ok, Some(&header)), wrong);
    let elsewhere = a.sign(&node("b", 2), &Method::POST, PATH, Some(b"{}"));
    assert_eq!(a.check_answer(&elsewhere, ok, Some(&header)), wrong);
    for none in [None, Some(""), Some("Starling d=00,m=00"), signed.header()] {
        assert_eq!(a.check_answer(&signed, ok, none), Err(AnswerError::Missing), "{none:?}");
    }
    // One with another key can't prove anything.
    let stranger = authority(2);
    let asked = stranger.sign(&node("b", 1), &Method::POST, PATH, None);
    let admitted = stranger.check(&Method::POST, PATH, asked.header()).unwrap();
    assert_eq!(a.check_answer(&signed, ok, admitted.prove(ok, &digest).as_deref()), wrong);
}

#[test]
fn keys_rotate_without_a_refusal() {
    let [old, new] = [[1; 32], [2; 32]].map(|key| Keyring::line(&key));
    let ring = |lines: &[&String]| {
        Keyring::parse(&lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")).unwrap()
    };
    let steps = [ring(&[&old]), ring(&[&old, &new]), ring(&[&new, &old]), ring(&[&new])];
    // At any time, a node of one step speaks with nodes of the steps beside it.
    for pair in steps.windows(2) {
        let (a, b) = (of(&node("b", 1), Some(&pair[0])), of(&node("b", 1), Some(&pair[1])));
        for (from, to) in [(&a, &b), (&b, &a)] {
            let signed = from.sign(&node("b", 1), &Method::POST, PATH, None);
            let admission = to.check(&Method::POST, PATH, signed.header()).unwrap();
            let digest = ContentId::of(b"");
            let proof = admission.prove(StatusCode::OK, &digest);
            assert_eq!(from.check_answer(&signed, StatusCode::OK, proof.as_deref()), Ok(Some(digest)));
        }
    }
}

#[test]
fn without_a_key_everything_is_let_in_and_nothing_signed() {
    let open = of(&node("b", 1), None);
    let signed = open.sign(&node("b", 1), &Method::POST, PATH, None);
    assert_eq!(signed.header(), None);
    let admission = open.check(&Method::POST, PATH, None).unwrap();
    assert_eq!((admission.body(), admission.prove(StatusCode::OK, &ContentId::of(b""))), (None, None));
    assert_eq!(open.check_answer(&signed, StatusCode::OK, None), Ok(None));
}
