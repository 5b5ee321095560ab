//! Address ranges of the peers that a trunk names: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! It holds what is allowed; it resolves nothing.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address range by prefix length. The bits behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpNet {
    network: IpAddr,
    prefix_len: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpNetError {
    #[error("expected an IPv4 or IPv6 address with an optional `/prefix`, got `{0}`")]
    Address(String),
    #[error("expected a prefix of 0 to {max} bits, got `{got}`")]
    Prefix { max: u8, got: String },
}

impl IpNet {
    /// The range of this one address.
    #[must_use]
    pub const fn host(ip: IpAddr) -> Self {
        Self {
            network: ip,
            prefix_len: bits_max(&ip),
        }
    }

    /// IPv4 addresses mapped into IPv6 (`::ffff:10.0.0.1`, as a dual-stack socket reports them) count as IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        masked(ip.to_canonical(), self.prefix_len).is_some_and(|network| network == self.network)
    }
}

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, IpNetError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = address
            .parse()
            .map_err(|_| IpNetError::Address(text.to_owned()))?;
        let max = bits_max(&ip);
        let prefix_len = match prefix {
            None => max,
            Some(prefix) => parse_prefix(prefix, max)?,
        };
        let network = masked(ip, prefix_len).ok_or_else(|| IpNetError::Address(text.to_owned()))?;
        Ok(Self { network, prefix_len })
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

fn parse_prefix(text: &str, max: u8) -> Result<u8, IpNetError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u8>() {
        Ok(prefix) if digits && prefix <= max => Ok(prefix),
        _ => Err(IpNetError::Prefix {
            max,
            got: text.to_owned(),
        }),
    }
}

const fn bits_max(ip: &IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `None` where the prefix is longer than the address (an IPv6 range asked about an IPv4 address).
fn masked(ip: IpAddr, prefix_len: u8) -> Option<IpAddr> {
    let prefix_len = u32::from(prefix_len);
    match ip {
        IpAddr::V4(ip) => {
            let host_bits = 32u32.checked_sub(prefix_len)?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask)))
        }
        IpAddr::V6(ip) => {
            let host_bits = 128u32.checked_sub(prefix_len)?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_its_addresses_and_no_other() {
        for (net, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("192.0.2.128/25", "192.0.2.200", "192.0.2.127"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("2001:db8::/32", "2001:db8:1::9", "2001:db9::1"),
            ("::1", "::1", "0.0.0.1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
        ] {
            let net: IpNet = net.parse().unwrap();
            assert!(net.contains(inside.parse().unwrap()), "{inside} in {net}");
            assert!(!net.contains(outside.parse().unwrap()), "{outside} not in {net}");
        }
    }

    #[test]
    fn the_host_bits_are_cleared_and_the_text_comes_back() {
        assert_eq!("10.9.8.7/8".parse::<IpNet>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(
            IpNet::host("10.9.8.7".parse().unwrap()).to_string(),
            "10.9.8.7/32"
        );
    }

    #[test]
    fn a_bad_range_is_refused_with_what_was_expected() {
        for (text, message) in [
            (
                "",
                "expected an IPv4 or IPv6 address with an optional `/prefix`, got ``",
            ),
            (
                "example.com",
                "expected an IPv4 or IPv6 address with an optional `/prefix`, got `example.com`",
            ),
            ("10.0.0.0/33", "expected a prefix of 0 to 32 bits, got `33`"),
            ("10.0.0.0/", "expected a prefix of 0 to 32 bits, got ``"),
            ("10.0.0.0/+8", "expected a prefix of 0 to 32 bits, got `+8`"),
            ("::/129", "expected a prefix of 0 to 128 bits, got `129`"),
        ] {
            assert_eq!(text.parse::<IpNet>().unwrap_err().to_string(), message);
        }
    }
}
