use std::net::SocketAddr;
use std::time::Duration;

use hyper::Uri;
use starling_overlay::Keyring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower_service::Service;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn ring(keys: &[u8]) -> Keyring {
    let lines: String = keys.iter().map(|key| Keyring::line(&[*key; 32]) + "\n").collect();
    Keyring::parse(&lines).unwrap()
}

fn peer(keys: &[u8]) -> Arc<PeerTls> {
    Arc::new(PeerTls::new(&ring(keys)).unwrap())
}

/// A certificate of its own for 127.0.0.1, in these files.
fn certificate(folder: &tempfile::TempDir) -> CertificateFiles {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let files =
        CertificateFiles { chain: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.chain, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

/// What came of one connection, at both its ends.
async fn meet(
    acceptor: Acceptor,
    connector: Connector,
    scheme: &str,
) -> (Result<Arrived, String>, Result<(), String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let served = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let (mut stream, arrived) = acceptor.accept(tcp).await.map_err(|error| error.to_string())?;
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.map_err(|error| error.to_string())?;
        stream.write_all(b"pong").await.map_err(|error| error.to_string())?;
        stream.shutdown().await.map_err(|error| error.to_string())?;
        assert_eq!(&asked, b"ping");
        Ok(arrived)
    };
    let uri: Uri = format!("{scheme}://{address}").parse().unwrap();
    let asked = async {
        let mut connector = connector;
        let stream = connector.call(uri).await.map_err(|error| error.to_string())?;
        let mut stream = stream.into_inner();
        stream.write_all(b"ping").await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
        if answer == b"pong" { Ok(()) } else { Err("no pong".to_owned()) }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(served, asked) }).await.unwrap()
}

fn peers(keys: &[u8]) -> Acceptor {
    Acceptor { certificate: None, peers: Some(peer(keys)) }
}

fn as_peer(keys: &[u8]) -> Connector {
    Connector::to_peers(peer(keys), PATIENCE)
}

#[tokio::test]
async fn peers_are_known_by_the_clusters_key_on_both_sides() {
    let (served, asked) = meet(peers(&[1]), as_peer(&[1]), "https").await;
    assert_eq!((served, asked), (Ok(Arrived::Member), Ok(())));
    let (served, asked) = meet(peers(&[1]), as_peer(&[2]), "https").await;
    let told = asked.unwrap_err();
    assert!(told.contains("another key than this cluster's: compare --key-file"), "{told}");
    assert!(served.is_err(), "{served:?}");
    // And one that does not look who answers gets no further: see `a_client_of_tls_is_no_peer`.
}

#[tokio::test]
async fn keys_rotate_without_a_refusal() {
    let steps = [&[1][..], &[1, 2], &[2, 1], &[2]];
    for pair in steps.windows(2) {
        for (at, from) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let (served, asked) = meet(peers(at), as_peer(from), "https").await;
            assert_eq!((served, asked), (Ok(Arrived::Member), Ok(())), "{at:?} {from:?}");
        }
    }
    let changing = peer(&[1]);
    changing.set_keys(&ring(&[2])).unwrap();
    let acceptor = Acceptor { certificate: None, peers: Some(changing) };
    assert_eq!(meet(acceptor.clone(), as_peer(&[2]), "https").await.0, Ok(Arrived::Member));
    assert!(meet(acceptor, as_peer(&[1]), "https").await.0.is_err());
}

#[tokio::test]
async fn clients_see_the_certificate_and_peers_the_key_at_one_port() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(&folder);
    let roots = Roots::of_file(&files.chain).unwrap();
    let certificate = Arc::new(Certificate::read(files).unwrap());
    let acceptor = Acceptor { certificate: Some(certificate), peers: Some(peer(&[1])) };
    let client = Connector::to_nodes(roots, PATIENCE);
    let (served, asked) = meet(acceptor.clone(), client, "https").await;
    assert_eq!((served, asked), (Ok(Arrived::Anybody), Ok(())));
    let (served, asked) = meet(acceptor.clone(), as_peer(&[1]), "https").await;
    assert_eq!((served, asked), (Ok(Arrived::Member), Ok(())));
    // Another root, and none.
    let other = tempfile::tempdir().unwrap();
    let strange = Connector::to_nodes(Roots::of_file(&self::certificate(&other).chain).unwrap(), PATIENCE);
    let (_, asked) = meet(acceptor.clone(), strange, "https").await;
    let told = asked.unwrap_err();
    assert!(told.contains("invalid peer certificate"), "{told}");
    let (served, _) = meet(acceptor, Connector::to_nodes(Roots::default(), PATIENCE), "http").await;
    assert!(served.unwrap_err().contains("plain HTTP came"));
}

#[tokio::test]
async fn a_client_of_tls_is_no_peer() {
    let folder = tempfile::tempdir().unwrap();
    let client = || Connector::to_nodes(Roots::of_file(&certificate(&folder).chain).unwrap(), PATIENCE);
    let (served, asked) = meet(peers(&[1]), client(), "https").await;
    assert!(served.unwrap_err().contains("give --tls-cert") && asked.is_err());
    // Without a certificate plain HTTP is what clients speak, key or not.
    assert_eq!(meet(peers(&[1]), client(), "http").await, (Ok(Arrived::Anybody), Ok(())));
    assert_eq!(meet(Acceptor::default(), client(), "http").await, (Ok(Arrived::Anybody), Ok(())));
}

#[test]
fn a_certificate_changes_while_it_is_used_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(&folder);
    let shown = |certificate: &Certificate| certificate.shown();
    let used = Certificate::read(files.clone()).unwrap();
    let first = shown(&used);
    assert!(!used.again(false).unwrap());
    certificate(&folder);
    assert!(used.again(false).unwrap());
    let second = shown(&used);
    assert_ne!(first, second);
    // The key of another one.
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(self::certificate(&other).key, &files.key).unwrap();
    let error = used.again(false).unwrap_err().to_string();
    assert!(error.contains("can't be used together") && error.contains("--tls-key"), "{error}");
    assert_eq!(shown(&used), second);
    assert!(!used.again(false).unwrap(), "told of once");
    std::fs::write(&files.chain, "").unwrap();
    assert!(used.again(true).unwrap_err().to_string().contains("no certificate in it"));
    let none = CertificateFiles { chain: "/nowhere".into(), ..files };
    let error = Certificate::read(none).unwrap_err().to_string();
    assert!(error.contains("--tls-cert (STARLING_TLS_CERT): /nowhere"), "{error}");
}
