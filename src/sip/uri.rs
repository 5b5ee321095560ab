//! URIs of SIP: `sip:` and `sips:` (RFC 3261 §19.1), `tel:` (RFC 3966), and any other scheme kept as text.
//!
//! User, password, parameters and headers are kept as written, escapes included, so that a URI goes back on the
//! wire unchanged (`+`, `%40` and the order of parameters survive). [`Uri::equivalent`] compares by RFC 3261
//! §19.1.4; `==` compares what was written.
//!
//! It does not resolve names (RFC 3263) and does not judge telephone numbers.
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

mod compare;
mod host;
mod params;
mod scan;

pub use host::Host;
pub(crate) use host::HostPart;
pub use params::{Param, Params};

pub(crate) use params::HeaderParams;
pub(crate) use scan::{check, host_port};

#[derive(Clone, PartialEq, Eq)]
pub enum Uri {
    Sip(SipUri),
    Tel(TelUri),
    /// A scheme we do not speak: legal in From and To, refused as a target.
    Absolute(AbsoluteUri),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Other,
}

#[derive(Clone, PartialEq, Eq)]
pub struct SipUri {
    /// `sips:`
    pub secure: bool,
    /// As written, escapes included.
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: Host,
    pub port: Option<u16>,
    pub params: Params,
    /// What follows `?`, as written: `Subject=hello&Priority=urgent`.
    pub headers: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct TelUri {
    /// As written, with `+` and visual separators.
    pub number: String,
    pub params: Params,
}

#[derive(Clone, PartialEq, Eq)]
pub struct AbsoluteUri {
    pub scheme: String,
    pub opaque: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected {expected} in a URI")]
pub struct UriError {
    pub expected: &'static str,
}

impl Uri {
    /// `sip:user@host:port`. The user is escaped where the grammar asks for it.
    #[must_use]
    pub fn sip(user: Option<&str>, host: impl Into<Host>, port: Option<u16>) -> Self {
        Self::Sip(SipUri {
            secure: false,
            user: user
                .filter(|user| !user.is_empty())
                .map(|user| scan::escape_user(user).into_owned()),
            password: None,
            host: host.into(),
            port,
            params: Params::default(),
            headers: None,
        })
    }

    #[must_use]
    pub fn tel(number: &str) -> Self {
        Self::Tel(TelUri {
            number: number.chars().filter(|c| scan::is_tel_char(*c)).collect(),
            params: Params::default(),
        })
    }

    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Sip(sip) if sip.secure => Scheme::Sips,
            Self::Sip(_) => Scheme::Sip,
            Self::Tel(_) => Scheme::Tel,
            Self::Absolute(_) => Scheme::Other,
        }
    }

    /// The user part as written; the number of a `tel:` URI.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Sip(sip) => sip.user.as_deref(),
            Self::Tel(tel) => Some(&tel.number),
            Self::Absolute(_) => None,
        }
    }

    /// The user part with its escapes undone.
    #[must_use]
    pub fn user_decoded(&self) -> Option<Cow<'_, str>> {
        self.user().map(scan::unescape)
    }

    #[must_use]
    pub const fn host(&self) -> Option<&Host> {
        match self {
            Self::Sip(sip) => Some(&sip.host),
            Self::Tel(_) | Self::Absolute(_) => None,
        }
    }

    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Sip(sip) => sip.port,
            Self::Tel(_) | Self::Absolute(_) => None,
        }
    }

    /// The written port, or the default of the scheme.
    #[must_use]
    pub const fn port_or_default(&self) -> u16 {
        match (self.port(), self.scheme()) {
            (Some(port), _) => port,
            (None, Scheme::Sips) => 5061,
            (None, Scheme::Sip | Scheme::Tel | Scheme::Other) => 5060,
        }
    }

    #[must_use]
    pub const fn params(&self) -> Option<&Params> {
        match self {
            Self::Sip(sip) => Some(&sip.params),
            Self::Tel(tel) => Some(&tel.params),
            Self::Absolute(_) => None,
        }
    }

    /// The value of a URI parameter; empty for one without a value, such as `lr`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params()?.get(name)
    }

    #[must_use]
    pub fn has_param(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    #[must_use]
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        match &mut self {
            Self::Sip(sip) => sip.params.set(name, value),
            Self::Tel(tel) => tel.params.set(name, value),
            Self::Absolute(_) => {}
        }
        self
    }

    /// The form a Request-URI may have: RFC 3261 §19.1.1 forbids headers and the `method` parameter there.
    #[must_use]
    pub fn into_request_uri(mut self) -> Self {
        if let Self::Sip(sip) = &mut self {
            sip.headers = None;
            sip.params.remove("method");
        }
        self
    }

    /// Loose routing is asked for by `lr` (RFC 3261 §16.4).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.has_param("lr")
    }

    /// RFC 3261 §19.1.4 and RFC 3966 §4; other schemes compare by text.
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        compare::equivalent(self, other)
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let parts = scan::scan(text)?;
        Ok(match parts {
            scan::Parts::Sip(parts) => Self::Sip(SipUri {
                secure: parts.secure,
                user: parts.user.map(str::to_owned),
                password: parts.password.map(str::to_owned),
                host: parts.host.into(),
                port: parts.port,
                params: Params::from_uri_text(parts.params)?,
                headers: parts.headers.map(str::to_owned),
            }),
            scan::Parts::Tel { number, params } => Self::Tel(TelUri {
                number: number.to_owned(),
                params: Params::from_uri_text(params)?,
            }),
            scan::Parts::Absolute { scheme, opaque } => Self::Absolute(AbsoluteUri {
                scheme: scheme.to_owned(),
                opaque: opaque.to_owned(),
            }),
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(sip) => sip.fmt(f),
            Self::Tel(tel) => write!(f, "tel:{}{}", tel.number, tel.params),
            Self::Absolute(other) => write!(f, "{}:{}", other.scheme, other.opaque),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

/// Masked: a user part is often a telephone number.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::wire::mask_numbers(&self.to_string()))
    }
}

#[cfg(test)]
mod tests;
