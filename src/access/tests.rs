use std::time::Duration;

use hyper::header::AUTHORIZATION;

use super::*;

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    headers
}

struct Made {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

fn folder() -> Made {
    let folder = tempfile::tempdir().unwrap();
    Made { path: folder.path().join("tokens.toml"), _folder: folder }
}

impl Made {
    fn token(&self, name: &str, scopes: &[Scope], expires: Option<SystemTime>) -> String {
        let quota = Quota { uploads: Some("1/d".parse().unwrap()), ..Quota::default() };
        let new = NewToken { name: name.into(), scopes: scopes.to_vec(), expires, quota };
        TokenFile::create(&self.path, new).unwrap()
    }

    fn access(&self) -> Access {
        Access::new(Some(&self.read()))
    }

    fn read(&self) -> TokenFile {
        TokenFile::read(self.path.clone()).unwrap()
    }
}

#[test]
fn a_token_is_let_in_for_its_scopes_alone() {
    let made = folder();
    let (up, admin) = (made.token("up", &[Scope::Upload], None), made.token("root", &[Scope::Admin], None));
    let access = made.access();
    let name = |token: &str, needed: &[Scope]| {
        access.admit(&bearer(token), needed).map(|grant| grant.unwrap().name().to_owned())
    };
    assert_eq!(name(&up, &[Scope::Upload]), Ok("up".into()));
    assert_eq!(name(&up, &[Scope::Read, Scope::Upload]), Ok("up".into()));
    assert_eq!(
        name(&up, &[Scope::Read, Scope::Metrics]),
        Err(AccessError::Scope { name: "up".into(), has: "upload".into(), needed: "read or metrics".into() })
    );
    for scope in Scope::ALL {
        assert_eq!(name(&admin, &[scope]), Ok("root".into()));
    }
    let missing = access.admit(&HeaderMap::new(), &[Scope::Read]).unwrap_err();
    assert!(missing.to_string().contains("scope read"), "{missing}");
    for bad in [&up[1..], "", "starling_", &up.to_uppercase(), &TokenHash::of(&up).to_text()] {
        assert_eq!(name(bad, &[Scope::Upload]), Err(AccessError::Unknown), "{bad}");
    }
}

#[test]
fn without_a_file_everybody_is_let_in() {
    let open = Access::new(None);
    assert!(!open.is_on());
    assert!(open.admit(&HeaderMap::new(), &[Scope::Admin]).unwrap().is_none());
    assert!(open.admit(&bearer("x"), &[Scope::Admin]).unwrap().is_none());
}

#[test]
fn a_token_ends_at_its_time() {
    let made = folder();
    let end = humantime::parse_rfc3339("2030-01-31T00:00:00Z").unwrap();
    let token = made.token("guest", &[Scope::Read], Some(end));
    let access = made.access();
    let at = |now| access.admit_at(now, &bearer(&token), &[Scope::Read]).map(|_| ());
    assert_eq!(at(end - Duration::from_secs(1)), Ok(()));
    assert_eq!(
        at(end),
        Err(AccessError::Expired { name: "guest".into(), at: "2030-01-31T00:00:00Z".into() })
    );
}

#[test]
fn what_was_used_stays_used_when_the_file_is_read_again() {
    let made = folder();
    let token = made.token("ci", &[Scope::Upload], None);
    let access = made.access();
    let take = || {
        let grant = access.admit(&bearer(&token), &[Scope::Upload]).unwrap().unwrap();
        grant.ledger().enter(grant.name(), (None, Arc::default()), (1, 0), Instant::now()).map(drop)
    };
    assert_eq!(take(), Ok(()));
    assert!(take().is_err());
    let other = made.token("web", &[Scope::Read], None);
    assert_eq!(access.admit(&bearer(&other), &[Scope::Read]).unwrap_err(), AccessError::Unknown);
    access.replace(&made.read());
    assert!(access.admit(&bearer(&other), &[Scope::Read]).is_ok());
    assert!(take().is_err(), "a new file is no new day");
    TokenFile::revoke(&made.path, "ci").unwrap();
    access.replace(&made.read());
    assert_eq!(access.admit(&bearer(&token), &[Scope::Upload]).unwrap_err(), AccessError::Unknown);
}
