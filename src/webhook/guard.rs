//! Where a webhook may go: the guard against server-side request forgery (SAFETY 9).
//!
//! A callback URL names a host; what counts is the address that is connected to. So a literal address is
//! checked when the URL is parsed, and a name is checked in the resolver that the HTTP client itself uses:
//! only addresses that passed are handed to `connect`, so a second look-up cannot give another answer
//! (DNS rebinding). One refused address among several refuses the name.
//!
//! `https` may go to any public address and to `allow_private`; `http` only to `allow_private`.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Cidr;

/// Why nothing is sent to a callback URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the callback is no URL: {0}")]
    NotUrl(String),
    #[error("the callback scheme must be https, or http to an address in webhook.allow_private; found {0}")]
    Scheme(String),
    #[error("the callback URL must not hold a user name or password")]
    UserInfo,
    #[error("the callback URL has no host")]
    NoHost,
    #[error("the callback address {address} is {kind} and not in webhook.allow_private")]
    Address { address: IpAddr, kind: &'static str },
    #[error("the callback address {0} is reached by http, which only webhook.allow_private may be")]
    PlainPublic(IpAddr),
    #[error("the callback host {0} has no address")]
    NoAddress(String),
}

/// Which of the two clients carries a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

/// The rule, with the operator's exceptions.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow_private: Arc<[Cidr]>,
}

impl Guard {
    #[must_use]
    pub fn new(allow_private: Vec<Cidr>) -> Self {
        Self {
            allow_private: allow_private.into(),
        }
    }

    /// Parses a callback URL and refuses what can be refused without a look-up.
    pub(super) fn check_url(&self, text: &str) -> Result<(Url, Scheme), Refused> {
        let url = Url::parse(text).map_err(|e| Refused::NotUrl(e.to_string()))?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => return Err(Refused::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        // The URL parser has already brought every spelling of a literal (`0x7f.1`, `2130706433`,
        // `[::ffff:7f00:1]`) to one form, and `host_str` shows it.
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or(Refused::NoHost)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            self.check_address(address, scheme)?;
        }
        Ok((url, scheme))
    }

    pub(super) fn check_address(&self, address: IpAddr, scheme: Scheme) -> Result<(), Refused> {
        if self.allow_private.iter().any(|range| range.contains(address)) {
            return Ok(());
        }
        match (special_kind(address), scheme) {
            (Some(kind), _) => Err(Refused::Address { address, kind }),
            (None, Scheme::Http) => Err(Refused::PlainPublic(address)),
            (None, Scheme::Https) => Ok(()),
        }
    }
}

/// The resolver of one client: looks a name up and lets through only addresses that the guard permits.
#[derive(Debug, Clone)]
pub(super) struct GuardedResolver {
    pub(super) guard: Guard,
    pub(super) scheme: Scheme,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0))
                .await?
                .take(32)
                .collect();
            if found.is_empty() {
                return Err(Refused::NoAddress(host).into());
            }
            for address in &found {
                this.guard.check_address(address.ip(), this.scheme)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Names the special-purpose block of an address (IANA registries, RFC 6890); `None` for a public unicast one.
fn special_kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_kind_v4(v4),
        IpAddr::V6(v6) => special_kind_v6(v6),
    }
}

fn special_kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Some("private"),
        [100, 64..=127, ..] => Some("shared (carrier-grade NAT)"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 0, _] | [192, 88, 99, _] => Some("reserved for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("reserved for documentation"),
        [198, 18..=19, ..] => Some("reserved for benchmarks"),
        [224..=239, ..] => Some("multicast"),
        [255, 255, 255, 255] => Some("broadcast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn special_kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        special_kind_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // IPv4-mapped (RFC 4291 §2.5.5.2) and NAT64 (RFC 6052): judged by the IPv4 address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0xfc00..=0xfdff, ..] => Some("unique local"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("reserved for documentation"),
        [0x2001, 0..=0x01ff, ..] => Some("reserved for protocols"),
        [0x2002, high, low, ..] => embedded(high, low).or(Some("a 6to4 tunnel")),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every spelling that should be refused without an exception, with a word of the reason.
    const REFUSED: &[(&str, &str)] = &[
        ("https://127.0.0.1/hook", "loopback"),
        ("https://127.1/hook", "loopback"),
        ("https://2130706433/", "loopback"),
        ("https://0x7f000001/", "loopback"),
        ("https://0x7f.0.0.1/", "loopback"),
        ("https://0177.0.0.1/", "loopback"),
        ("https://127.0.0.1.:8443/", "loopback"),
        ("https://①②⑦.⓪.⓪.①/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[0:0:0:0:0:0:0:1]:8443/x", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[::ffff:7f00:1]/", "loopback"),
        ("https://[64:ff9b::7f00:1]/", "loopback"),
        ("https://[2002:7f00:1::]/", "loopback"),
        ("https://[2002:808:808::1]/", "6to4"),
        ("https://0.0.0.0/", "unspecified"),
        ("https://0/", "unspecified"),
        ("https://[::]/", "unspecified"),
        ("https://10.1.2.3/", "private"),
        ("https://172.16.0.1/", "private"),
        ("https://172.31.255.255/", "private"),
        ("https://192.168.0.1/", "private"),
        ("https://[::ffff:192.168.0.1]/", "private"),
        ("https://[::ffff:a00:1]/", "private"),
        ("https://100.64.0.1/", "carrier-grade"),
        ("https://169.254.169.254/latest/meta-data", "link-local"),
        ("https://0xa9fea9fe/", "link-local"),
        ("https://[fe80::1]/", "link-local"),
        ("https://[fec0::1]/", "site-local"),
        ("https://[fd00:ec2::254]/", "unique local"),
        ("https://[fc00::1]/", "unique local"),
        ("https://224.0.0.1/", "multicast"),
        ("https://[ff02::1]/", "multicast"),
        ("https://255.255.255.255/", "broadcast"),
        ("https://240.0.0.1/", "reserved"),
        ("https://192.0.2.1/", "documentation"),
        ("https://198.18.0.1/", "benchmarks"),
        ("https://192.0.0.170/", "protocols"),
        ("https://[2001:db8::1]/", "documentation"),
        ("https://[2001::1]/", "protocols"),
        ("https://[::127.0.0.1]/", "reserved"),
        ("https://[64:ff9b:1::1]/", "reserved"),
        ("http://93.184.215.14/", "reached by http"),
        ("http://127.0.0.1/", "loopback"),
        ("ftp://93.184.215.14/", "scheme must be https"),
        ("file:///etc/passwd", "scheme must be https"),
        ("gopher://127.0.0.1:6379/_x", "scheme must be https"),
        ("https://user@93.184.215.14/", "user name"),
        ("https://93.184.215.14:pw@127.0.0.1/", "user name"),
        ("https://93.184.215.14:x/", "no URL"),
        ("/hooks", "no URL"),
        ("https://", "no URL"),
    ];

    #[test]
    fn no_spelling_of_an_inner_address_passes() {
        let guard = Guard::default();
        for (url, word) in REFUSED {
            let error = guard.check_url(url).unwrap_err().to_string();
            assert!(error.contains(word), "{url}: {error}");
        }
    }

    #[test]
    fn public_addresses_and_names_pass_by_https() {
        let guard = Guard::default();
        for url in [
            "https://93.184.215.14/",
            "https://[2606:4700::1111]/x",
            "https://idp.example:8443/a?b",
        ] {
            assert!(guard.check_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn an_exception_opens_its_range_only_and_for_both_schemes() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(guard.check_url("http://127.0.0.1:9/").unwrap().1, Scheme::Http);
        assert_eq!(
            guard.check_url("https://[::ffff:127.0.0.1]/").unwrap().1,
            Scheme::Https
        );
        assert!(guard.check_url("http://10.0.0.1/").is_err());
        assert!(guard.check_url("http://[::1]/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_an_inner_address_is_refused() {
        let resolve = |guard: Guard, scheme| async move {
            GuardedResolver { guard, scheme }
                .resolve("localhost".parse().unwrap())
                .await
                .map(Iterator::count)
        };
        let error = resolve(Guard::default(), Scheme::Https)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("loopback"), "{error}");
        let lab = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        assert!(resolve(lab, Scheme::Http).await.unwrap() > 0);
    }
}
