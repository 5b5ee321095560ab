//! Allow-lists of URLs (`callbacks`, `return_urls`): scheme, host and port compared as parsed, the path by whole
//! segments; a user name or password is refused always.
use std::str::FromStr;

use reqwest::Url;

/// One entry: a URL that opens itself and all below its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedUrl(Url);

/// Why an entry cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an http or https URL prefix such as https://idp.example/hooks, found {found:?}: {why}")]
pub struct AllowedUrlError {
    pub found: String,
    pub why: String,
}

/// Why a URL of a request is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlFault {
    #[error("expected an absolute URL such as https://idp.example/path: {0}")]
    NotUrl(String),
    #[error("the scheme must be https or http, found {0}")]
    Scheme(String),
    #[error("a user name or password in the URL is refused")]
    UserInfo,
    #[error("the URL is not in the profile's allow-list {0}")]
    NotListed(&'static str),
}

impl FromStr for AllowedUrl {
    type Err = AllowedUrlError;

    fn from_str(text: &str) -> Result<Self, AllowedUrlError> {
        let error = |why: String| AllowedUrlError {
            found: text.chars().take(200).collect(),
            why,
        };
        let url = parse(text).map_err(|fault| error(fault.to_string()))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(error("a prefix has no query and no fragment".to_owned()));
        }
        Ok(Self(url))
    }
}

impl AllowedUrl {
    /// Whether a request may name this URL.
    #[must_use]
    pub fn admits(&self, text: &str) -> bool {
        parse(text).is_ok_and(|url| self.opens(&url))
    }

    fn opens(&self, url: &Url) -> bool {
        let same_origin = self.0.scheme() == url.scheme()
            && self.0.host_str() == url.host_str()
            && self.0.port_or_known_default() == url.port_or_known_default();
        if !same_origin {
            return false;
        }
        // The parser has already resolved `.` and `..`, in the spelling `%2e` too.
        let segments = |url: &Url| -> Vec<String> {
            url.path()
                .split('/')
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect()
        };
        // An encoded or backward slash means one segment here and perhaps two at the receiver.
        if url.path().to_ascii_lowercase().contains("%2f") || url.path().to_ascii_lowercase().contains("%5c")
        {
            return false;
        }
        segments(url).starts_with(&segments(&self.0))
    }
}

/// Parses an absolute http(s) URL without userinfo.
pub(super) fn parse(text: &str) -> Result<Url, UrlFault> {
    let url = Url::parse(text).map_err(|e| UrlFault::NotUrl(e.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(UrlFault::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlFault::UserInfo);
    }
    Ok(url)
}

/// Accepts a URL that an entry opens; `list` names the list in the refusal.
pub(super) fn check(allowed: &[AllowedUrl], text: &str, list: &'static str) -> Result<Url, UrlFault> {
    let url = parse(text)?;
    if allowed.iter().any(|entry| entry.opens(&url)) {
        Ok(url)
    } else {
        Err(UrlFault::NotListed(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entry: &str, url: &str) -> bool {
        check(&[entry.parse().unwrap()], url, "callbacks").is_ok()
    }

    #[test]
    fn an_entry_opens_itself_and_what_lies_below_by_whole_segments() {
        for (entry, url) in [
            ("https://idp.example/", "https://idp.example"),
            ("https://idp.example", "https://idp.example/any/thing?x=1#y"),
            ("https://idp.example/hooks", "https://idp.example/hooks"),
            ("https://idp.example/hooks", "https://idp.example/hooks/"),
            ("https://idp.example/hooks/", "https://idp.example/hooks/a/b"),
            ("https://idp.example/hooks", "https://IDP.example:443/hooks/a"),
            ("https://idp.example/hooks", "https://idp.example/x/../hooks"),
            ("http://127.0.0.1:9000/", "http://127.1:9000/cb"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/x"),
        ] {
            assert!(allowed(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn neighbours_and_tricks_are_refused() {
        for (entry, url) in [
            ("https://idp.example/hooks", "https://idp.example/hooksevil"),
            ("https://idp.example/hooks", "https://idp.example/"),
            ("https://idp.example/hooks", "https://idp.example/hooks/../admin"),
            (
                "https://idp.example/hooks",
                "https://idp.example/hooks/%2e%2e/admin",
            ),
            (
                "https://idp.example/hooks",
                "https://idp.example/hooks/..%2fadmin",
            ),
            (
                "https://idp.example/hooks",
                "https://idp.example/hooks%5c..%5cadmin",
            ),
            ("https://idp.example/hooks", "http://idp.example/hooks"),
            ("https://idp.example/hooks", "https://idp.example:8443/hooks"),
            ("https://idp.example/", "https://idp.example.evil.test/"),
            ("https://idp.example/", "https://evil.test/https://idp.example/"),
            ("https://idp.example/", "https://idp.example@evil.test/"),
            ("https://idp.example/", "https://user@idp.example/"),
            ("https://idp.example/", "https://:pw@idp.example/"),
            ("https://idp.example/", "https://sub.idp.example/"),
            ("https://idp.example/", "javascript:alert(1)"),
            ("https://idp.example/", "//idp.example/"),
            ("https://idp.example/", "/hooks"),
        ] {
            assert!(!allowed(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn an_entry_must_be_a_plain_prefix() {
        for entry in [
            "idp.example",
            "ftp://idp.example/",
            "https://u@idp.example/",
            "https://idp.example/?a",
        ] {
            assert!(entry.parse::<AllowedUrl>().is_err(), "{entry}");
        }
    }
}
