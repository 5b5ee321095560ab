//! `ringproof serve` with one trunk, whose place the test takes, at listeners of every transport.
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::served::{Served, program};

/// Of the certificate.
pub(super) const NAME: &str = "ringproof.example";

pub(super) struct Server {
    pub(super) served: Served,
    certificate: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        let (config, certificate, key) = (path("ringproof.toml"), path("sip.pem"), path("sip.key"));
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite://{}/torture.db"
[sip]
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"]
tls = {{ cert_file = "sip.pem", key_file = "sip.key" }}
[media]
rtp_ports = "48000-48099"
[[trunk]]
name = "carrier"
targets = ["sip:127.0.0.1:5999"]
caller_id = {{ default = "+18005550199" }}
[policy]
countries = ["US"]
[profile.default]
brand = "Contoso"
callbacks = ["http://127.0.0.1:9/"]
[webhook]
secret = "whsec_cmluZ3Byb29mLWV4YW1wbGUtc2VjcmV0LTAx"
allow_private = ["127.0.0.0/8"]
[telemetry]
log = "error"
"#,
            scratch.path().display()
        );
        std::fs::write(&config, text).unwrap();
        Self {
            served: Served::start(&mut program(&config, &["serve", "--json"])),
            certificate,
            _scratch: scratch,
        }
    }

    /// A client that believes the certificate of the TLS listener, and no other.
    pub(super) fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        roots.add(certificate).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}
