//! TLS of the SIP transports: whom we believe, and who we are (RFC 3261 §26.2, RFC 5922).
//!
//! The chain is checked against the system's roots or a trunk's own file; the name by [`name`]. Verification cannot be
//! switched off.
//!
//! Invariants:
//! - A certificate is believed for the name that was configured, never for one that a lookup or the peer gave.
//! - A private key stays in this file's values; no error or log line holds more than its path.
mod name;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use self::name::{NameError, NameRule};

/// Files of our own certificate, in PEM: the chain with the leaf first, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// How one trunk's servers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPolicyConfig {
    /// Of the trunk: two trunks never share a connection.
    pub name: String,
    /// Instead of the system's roots.
    pub ca_file: Option<PathBuf>,
    /// For servers that ask for a client certificate.
    pub identity: Option<Identity>,
    /// The name that the certificate must have; the target's host when absent.
    pub expected: Option<String>,
    pub rule: NameRule,
}

/// How our TLS listeners present themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsServerConfig {
    pub identity: Identity,
    /// Whoever connects must have a certificate of this authority.
    pub client_ca_file: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path} as PEM: {problem}")]
    File { path: String, problem: String },
    #[error("expected at least one certificate in {path}, found none")]
    Empty { path: String },
    #[error("the system has no certificate authorities: name a ca_file")]
    NoRoots,
    #[error("expected a host name or an address to check the certificate against, got {0:?}")]
    Name(String),
    #[error("TLS: {0}")]
    Setup(String),
}

/// [`TlsPolicyConfig`] with its files read.
pub struct TlsPolicy {
    name: String,
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    expected: Option<String>,
    rule: NameRule,
    provider: Arc<CryptoProvider>,
}

impl TlsPolicy {
    pub fn load(config: &TlsPolicyConfig) -> Result<Arc<Self>, TlsError> {
        let roots = match &config.ca_file {
            Some(path) => roots_of(path)?,
            None => system_roots()?,
        };
        let identity = config.identity.as_ref().map(read_identity).transpose()?;
        Ok(Arc::new(Self {
            name: config.name.clone(),
            roots: Arc::new(roots),
            identity,
            expected: config.expected.clone(),
            rule: config.rule,
            provider: Arc::new(default_provider()),
        }))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A connector that believes only the server of this host, and the name for SNI.
    pub(super) fn connector(&self, host: &str) -> Result<(TlsConnector, ServerName<'static>), TlsError> {
        let expected = self.expected.as_deref().unwrap_or(host);
        let bare = expected.trim_start_matches('[').trim_end_matches(']');
        let server_name = match bare.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(bare.trim_end_matches('.').to_owned())
                .map_err(|_| TlsError::Name(expected.to_owned()))?,
        };
        let verifier = NameVerifier {
            roots: Arc::clone(&self.roots),
            expected: bare.to_owned(),
            rule: self.rule,
            provider: Arc::clone(&self.provider),
        };
        let setup = |error: Error| TlsError::Setup(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(setup)?,
            None => builder.with_no_client_auth(),
        };
        Ok((TlsConnector::from(Arc::new(config)), server_name))
    }
}

impl fmt::Debug for TlsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPolicy")
            .field("name", &self.name)
            .field("expected", &self.expected)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

/// Reads the files of the listeners, as the start will.
pub fn check_server(config: &TlsServerConfig) -> Result<(), TlsError> {
    acceptor(config).map(drop)
}

/// The listeners' side.
pub(super) fn acceptor(config: &TlsServerConfig) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(default_provider());
    let setup = |error: Error| TlsError::Setup(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let builder = match &config.client_ca_file {
        Some(path) => {
            let roots = Arc::new(roots_of(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| TlsError::Setup(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = read_identity(&config.identity)?;
    let server = builder.with_single_cert(chain, key).map_err(setup)?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// Chain by the roots, name by RFC 5922.
#[derive(Debug)]
struct NameVerifier {
    roots: Arc<RootCertStore>,
    expected: String,
    rule: NameRule,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NameVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        name::check(end_entity.as_ref(), &self.expected, self.rule)
            .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What went wrong in a handshake, for whoever has to put it right.
pub(super) fn in_words(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) => inner.to_string(),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "the peer's certificate has expired".to_owned(),
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the peer's certificate was issued by an authority that is not believed: name its ca_file"
                .to_owned()
        }
        Some(Error::InvalidCertificate(reason)) => format!("the peer's certificate is not valid: {reason}"),
        Some(Error::AlertReceived(alert)) => format!("the peer ended the handshake: {alert:?}"),
        Some(other) => other.to_string(),
        None => error.to_string(),
    }
}

fn read_identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&identity.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key_file)
        .map_err(|error| file_error(&identity.key_file, error))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(path, error))?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            path: path.display().to_string(),
        });
    }
    Ok(found)
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file_error(path, error))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    Ok(roots)
}

fn file_error(path: &Path, problem: impl fmt::Display) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}
