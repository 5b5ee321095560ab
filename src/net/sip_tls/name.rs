//! Which name a certificate proves: RFC 5922 §7.1 (identities) and §7.2 (comparison).
//!
//! Identities are the `sip:` URIs of the subjectAltName; its DNS names only where there are none. The common name is not
//! looked at.
use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameRule {
    /// §7.2: the whole name, no wildcards.
    #[default]
    Rfc5922,
    /// A DNS name of the form `*.carrier.example` also stands for exactly one label before `carrier.example`.
    OneLabelWildcard,
}

/// Why a certificate does not prove the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("expected a certificate for {expected:?}, it is for {}", listed(found))]
    Other { expected: String, found: Vec<String> },
    #[error("expected an X.509 certificate, the peer's cannot be read")]
    Unreadable,
}

/// A certificate may name hundreds of hosts; a log line names a few.
const NAMES_TOLD: usize = 8;

fn listed(found: &[String]) -> String {
    if found.is_empty() {
        return "no name at all".to_owned();
    }
    let told = found.iter().take(NAMES_TOLD).map(String::as_str);
    let more = if found.len() > NAMES_TOLD { ", …" } else { "" };
    format!("{}{more}", told.collect::<Vec<_>>().join(", "))
}

/// Whether the certificate proves `expected`.
pub(super) fn check(der: &[u8], expected: &str, rule: NameRule) -> Result<(), NameError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| NameError::Unreadable)?;
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|_| NameError::Unreadable)?;
    let mut uris = Vec::new();
    let mut names = Vec::new();
    let mut addresses = Vec::new();
    for name in alternative.iter().flat_map(|found| &found.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.extend(sip_domain(uri)),
            GeneralName::DNSName(name) => names.push((*name).to_owned()),
            GeneralName::IPAddress(octets) => addresses.extend(address_of(octets)),
            _ => {}
        }
    }
    if let Ok(ip) = expected.parse::<IpAddr>() {
        if addresses.contains(&ip.to_canonical()) || uris.iter().any(|uri| uri == expected) {
            return Ok(());
        }
    } else if !uris.is_empty() {
        if uris.iter().any(|uri| same(uri, expected)) {
            return Ok(());
        }
    } else if names.iter().any(|name| stands_for(name, expected, rule)) {
        return Ok(());
    }
    let uris = uris.into_iter().map(|domain| format!("sip:{domain}"));
    let addresses = addresses.iter().map(IpAddr::to_string);
    Err(NameError::Other {
        expected: expected.to_owned(),
        found: uris.chain(names).chain(addresses).collect(),
    })
}

/// §7.1: a `sip` URI without a user part; the scheme `sips` is none.
fn sip_domain(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let host = rest.split([';', '?']).next()?;
    (scheme.eq_ignore_ascii_case("sip") && !host.is_empty() && !host.contains('@')).then(|| host.to_owned())
}

fn address_of(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('.')
        .eq_ignore_ascii_case(b.trim_end_matches('.'))
}

fn stands_for(name: &str, expected: &str, rule: NameRule) -> bool {
    if same(name, expected) {
        return true;
    }
    match (rule, name.strip_prefix("*."), expected.split_once('.')) {
        // "*.example" would stand for every name under a top-level domain.
        (NameRule::OneLabelWildcard, Some(suffix), Some((label, rest))) => {
            suffix.contains('.') && !label.is_empty() && same(suffix, rest)
        }
        _ => false,
    }
}
