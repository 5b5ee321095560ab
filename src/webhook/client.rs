//! The HTTP client: one connection pool per scheme, each with a resolver that lets through only what its scheme may
//! reach. Connections are kept and used again, so a busy receiver costs one handshake.
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Certificate, redirect};

use super::guard::{Guard, GuardedResolver, Scheme};
use crate::store::OutboxItem;

/// An answer is read to its end up to so many octets, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the webhook CA certificates are no PEM: {0}")]
    Ca(reqwest::Error),
    #[error("the webhook client cannot be set up: {0}")]
    Setup(reqwest::Error),
}

/// What counts of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
}

#[derive(Clone)]
pub(super) struct Client {
    guard: Guard,
    https: reqwest::Client,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(guard: Guard, timeout: Duration, ca_pem: Option<&[u8]>) -> Result<Self, ClientError> {
        let build = |scheme| -> Result<reqwest::Client, ClientError> {
            let mut builder = reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                // A proxy would connect where the guard cannot look.
                .no_proxy()
                .dns_resolver(GuardedResolver {
                    guard: guard.clone(),
                    scheme,
                })
                .https_only(scheme == Scheme::Https)
                .http1_only()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .timeout(timeout);
            if let Some(pem) = ca_pem {
                builder =
                    builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(ClientError::Ca)?);
            }
            builder.build().map_err(ClientError::Setup)
        };
        Ok(Self {
            https: build(Scheme::Https)?,
            http: build(Scheme::Http)?,
            guard,
        })
    }

    /// One try. An error is in words for the operator; it holds no body and no URL.
    pub(super) async fn post(
        &self,
        item: &OutboxItem,
        id: &str,
        timestamp_s: i64,
        signature: &str,
    ) -> Result<Answer, String> {
        let (url, scheme) = self
            .guard
            .check_url(&item.url)
            .map_err(|refused| refused.to_string())?;
        let client = match scheme {
            Scheme::Https => &self.https,
            Scheme::Http => &self.http,
        };
        let mut headers = HeaderMap::with_capacity(5);
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| "a header cannot be written".to_owned());
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", value(id)?);
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp_s));
        headers.insert("webhook-signature", value(signature)?);
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Ringproof/", env!("CARGO_PKG_VERSION"))),
        );
        let request = client.post(url).headers(headers).body(item.body.clone());
        let mut response = request.send().await.map_err(|e| in_words(&e))?;
        let answer = Answer {
            status: response.status().as_u16(),
            retry_after: response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned),
        };
        // The status has decided; a body that does not come only costs the connection.
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(answer)
    }
}

/// The chain of causes without the URL, which may carry a secret in its query.
fn in_words(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "connection failed"
    } else {
        "request failed"
    };
    let mut text = what.to_owned();
    let mut cause = std::error::Error::source(error);
    for _ in 0..8 {
        let Some(inner) = cause else {
            break;
        };
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}
