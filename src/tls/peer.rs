//! TLS between nodes: both ends show the key that the cluster's key gives.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use parking_lot::RwLock;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use sha2::Sha256;
use starling_overlay::Keyring;

use super::{PEER_PROTOCOL, provider};

/// PKCS #8 of an Ed25519 key (RFC 8410, section 7), but for the 32 bytes of the key itself.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Both sides of TLS between nodes, by the keys that the cluster has now.
#[derive(Debug)]
pub struct PeerTls(RwLock<Configs>);

#[derive(Clone, Debug)]
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// The other end has none of the cluster's keys.
const ANOTHER_KEY: &str = "the other node has another key than this cluster's: compare --key-file on both";

impl PeerTls {
    /// By these keys: the first one is shown, each is taken.
    pub fn new(keys: &Keyring) -> Result<Self, Error> {
        Ok(Self(RwLock::new(configs(keys)?)))
    }

    /// Changes the keys: for connections that are made from now on.
    pub fn set_keys(&self, keys: &Keyring) -> Result<(), Error> {
        let made = configs(keys)?;
        *self.0.write() = made;
        Ok(())
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().server)
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.read().client)
    }
}

/// The key pair that every node with this key of the cluster's has.
fn signing_key(cluster_key: &[u8; 32]) -> Result<Arc<dyn SigningKey>, Error> {
    let mut mac: Hmac<Sha256> =
        Hmac::new_from_slice(cluster_key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(b"starling peer tls 1");
    let seed: [u8; 32] = mac.finalize().into_bytes().into();
    let der = PrivatePkcs8KeyDer::from([&PKCS8_ED25519[..], &seed].concat());
    rustls::crypto::ring::sign::any_eddsa_type(&der)
}

fn public_key(key: &dyn SigningKey) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    key.public_key()
        .map(SubjectPublicKeyInfoDer::into_owned)
        .ok_or(Error::General("a key has no public part".into()))
}

fn configs(keys: &Keyring) -> Result<Configs, Error> {
    let keys = keys.keys().iter().map(signing_key).collect::<Result<Vec<_>, _>>()?;
    let known = keys.iter().map(|key| public_key(&**key)).collect::<Result<Vec<_>, _>>()?;
    let own = keys.into_iter().next().ok_or(Error::General("the cluster has no key".into()))?;
    let shown = public_key(&*own)?.as_ref().to_vec();
    let own = Arc::new(CertifiedKey::new(vec![CertificateDer::from(shown)], own));
    let provider = provider();
    let verifier = Arc::new(KnownKeys { known, algorithms: provider.signature_verification_algorithms });
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifier) as _)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&own))));
    server.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own)));
    client.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
    // The address says nothing: the key does.
    client.enable_sni = false;
    Ok(Configs { server: Arc::new(server), client: Arc::new(client) })
}

/// Takes whoever proves to have one of these keys.
#[derive(Debug)]
struct KnownKeys {
    known: Vec<SubjectPublicKeyInfoDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KnownKeys {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        if self.known.iter().any(|known| known.as_ref() == shown.as_ref()) {
            return Ok(());
        }
        Err(Error::General(ANOTHER_KEY.into()))
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

/// TLS 1.2 is not offered, so nothing is signed in it.
fn not_offered() -> Error {
    Error::General("nodes speak TLS 1.3 with each other".into())
}

impl ServerCertVerifier for KnownKeys {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_offered())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for KnownKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_offered())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
