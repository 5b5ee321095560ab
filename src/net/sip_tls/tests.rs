use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::net::sip_net::{Inbound, SipNet, SipNetConfig};
use crate::sip::transport::{Destination, SipTransport};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// An authority with its files.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca_file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        // Two authorities of one name would be told apart by their signature only.
        let name = directory.path().display().to_string();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            directory,
            issuer: Issuer::new(params, key),
            ca_file,
        }
    }

    fn issue(&self, file: &str, names: Vec<SanType>, has_expired: bool) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if has_expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.directory.path().join(format!("{file}.{end}"));
        let identity = Identity {
            cert_file: path("pem"),
            key_file: path("key"),
        };
        std::fs::write(&identity.cert_file, certificate.pem()).unwrap();
        std::fs::write(&identity.key_file, key.serialize_pem()).unwrap();
        identity
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn server(identity: Identity, client_ca_file: Option<PathBuf>) -> (SipNet, mpsc::Receiver<Inbound>) {
    let mut config = SipNetConfig::plain([(SipTransport::Tls, LOOPBACK)], 8, Arc::new(|_| true));
    config.tls = Some(TlsServerConfig {
        identity,
        client_ca_file,
    });
    SipNet::bind(config).unwrap()
}

fn policy(ca_file: &Path, rule: NameRule, identity: Option<Identity>) -> Arc<TlsPolicy> {
    TlsPolicy::load(&TlsPolicyConfig {
        name: "carrier".to_owned(),
        ca_file: Some(ca_file.to_owned()),
        identity,
        expected: None,
        rule,
    })
    .unwrap()
}

const OPTIONS: &[u8] =
    b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKx\r\n\
    Max-Forwards: 70\r\nFrom: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: c\r\n\
    CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// Sends an OPTIONS to `host` at this server: whether it came, or why not.
async fn says(
    (server, requests): &mut (SipNet, mpsc::Receiver<Inbound>),
    host: &str,
    policy: &Arc<TlsPolicy>,
) -> Result<(), String> {
    let client = SipNetConfig::plain([(SipTransport::Udp, LOOPBACK)], 8, Arc::new(|_| true));
    let (client, _answers) = SipNet::bind(client).unwrap();
    let to = Destination {
        transport: SipTransport::Tls,
        address: server.local_of(SipTransport::Tls).unwrap(),
        host: host.to_owned(),
    };
    let sent = client.send(&to, Some(policy), OPTIONS).await;
    let connection = sent.map_err(|error| error.to_string())?.unwrap();
    tokio::select! {
        inbound = timeout(PATIENCE, requests.recv()) => {
            let inbound = inbound.unwrap().unwrap();
            assert_eq!(inbound.flow.transport(), SipTransport::Tls);
            Ok(())
        }
        () = connection.lost() => Err("closed".to_owned()),
    }
}

#[tokio::test]
async fn a_certificate_is_believed_for_its_own_name_only() {
    let authority = Authority::new();
    let strict = policy(&authority.ca_file, NameRule::Rfc5922, None);
    let wide = policy(&authority.ca_file, NameRule::OneLabelWildcard, None);
    let table = [
        (
            vec![dns("sip.carrier.example")],
            "SIP.carrier.example",
            &strict,
            true,
        ),
        (
            vec![dns("sip.carrier.example")],
            "carrier.example",
            &strict,
            false,
        ),
        (
            vec![dns("*.carrier.example")],
            "acme.carrier.example",
            &strict,
            false,
        ),
        (
            vec![dns("*.carrier.example")],
            "acme.carrier.example",
            &wide,
            true,
        ),
        (
            vec![dns("*.carrier.example")],
            "a.b.carrier.example",
            &wide,
            false,
        ),
        (vec![dns("*.carrier.example")], "carrier.example", &wide, false),
        (vec![dns("*.example")], "carrier.example", &wide, false),
        (
            vec![uri("sip:carrier.example"), dns("host.example")],
            "carrier.example",
            &strict,
            true,
        ),
        // RFC 5922 §7.1: DNS names count only where there is no sip URI.
        (
            vec![uri("sip:carrier.example"), dns("host.example")],
            "host.example",
            &strict,
            false,
        ),
        (
            vec![uri("sip:user@carrier.example")],
            "carrier.example",
            &strict,
            false,
        ),
        (
            vec![SanType::IpAddress(LOOPBACK.ip())],
            "127.0.0.1",
            &strict,
            true,
        ),
        (
            vec![SanType::IpAddress(LOOPBACK.ip())],
            "127.0.0.2",
            &strict,
            false,
        ),
    ];
    for (n, (names, host, policy, believed)) in table.into_iter().enumerate() {
        let told = format!("{names:?} {host} {policy:?}");
        let mut server = server(authority.issue(&format!("row{n}"), names, false), None);
        let came = says(&mut server, host, policy).await;
        assert_eq!(came.is_ok(), believed, "{told}: {came:?}");
        if let Err(error) = came {
            assert!(
                error.contains(&format!("expected a certificate for {host:?}")),
                "{told}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_and_an_unknown_authority_are_named_in_words() {
    let authority = Authority::new();
    let names = || vec![dns("sip.carrier.example")];
    let policy_of = |ca: &Path| policy(ca, NameRule::Rfc5922, None);
    let mut old = server(authority.issue("old", names(), true), None);
    let error = says(&mut old, "sip.carrier.example", &policy_of(&authority.ca_file)).await;
    assert_eq!(error, Err("the peer's certificate has expired".to_owned()));
    let other = Authority::new();
    let mut good = server(authority.issue("good", names(), false), None);
    let error = says(&mut good, "sip.carrier.example", &policy_of(&other.ca_file)).await;
    assert!(
        error
            .clone()
            .is_err_and(|e| e.contains("an authority that is not believed")),
        "{error:?}"
    );
    assert_eq!(good.0.stream_metrics().received, 0);
}

#[tokio::test]
async fn a_listener_that_asks_for_a_client_certificate_takes_only_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.issue("server", vec![dns("sip.carrier.example")], false);
    let ca = Some(authority.ca_file.clone());
    let client = |from: &Authority| Some(from.issue("client", vec![dns("client.example")], false));
    for (identity_of_client, believed) in [(client(&authority), true), (client(&other), false), (None, false)]
    {
        let mut server = server(identity.clone(), ca.clone());
        let policy = policy(&authority.ca_file, NameRule::Rfc5922, identity_of_client);
        let came = says(&mut server, "sip.carrier.example", &policy).await;
        assert_eq!(came.is_ok(), believed, "{came:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = TlsPolicy::load(&TlsPolicyConfig {
        name: "carrier".to_owned(),
        ca_file: Some("/nowhere/ca.pem".into()),
        identity: None,
        expected: None,
        rule: NameRule::Rfc5922,
    });
    let error = missing.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read /nowhere/ca.pem as PEM: "),
        "{error}"
    );
}
