//! Plain values from which the API is built; `app` makes them from the configuration file.
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::AllowedUrl;
use crate::model::{Digit, Masked, Method};
use crate::policy::Policy;
use crate::store::Subscription;

/// All that the API and the pages need to know. Replaced as a whole on reload.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// `https://calls.example`, without a slash at the end: issuer of results and root of links.
    pub public_url: String,
    /// Profile of a request that names none.
    pub default_profile: String,
    pub profiles: BTreeMap<String, Profile>,
    pub policy: Policy,
    /// In order of preference. Empty: every call is refused with `no_trunk_available`.
    pub trunks: Vec<CallerIds>,
    /// Seed of the ed25519 key that signs enrolment results; also keys browser and form tokens.
    pub signing_seed: Masked<[u8; 32]>,
    /// The pages offer *Call again* after so long: `policy.per_number.again_after_s`.
    pub call_again_after_s: u32,
    /// Addresses of reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    pub limits: HttpLimits,
    /// Whether the values of a transaction can be spoken.
    pub message_check: MessageCheck,
}

/// The values of a transaction, and what chooses the voice that shall speak them.
#[derive(Debug, Clone, Copy)]
pub struct SpokenMessage<'a> {
    pub profile: &'a str,
    /// As the request named it.
    pub locale: Option<&'a str>,
    /// Of the number, ISO 3166-1 alpha-2.
    pub country: Option<&'a str>,
    pub message: &'a BTreeMap<String, String>,
}

/// A value that cannot be spoken. The detail does not hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFault {
    /// `message.amount`
    pub param: &'static str,
    pub detail: String,
}

type CheckFn = dyn Fn(SpokenMessage<'_>) -> Result<(), MessageFault> + Send + Sync;

/// Judges a message by the rules of the recordings, which this room does not know: `app` brings them together.
#[derive(Clone)]
pub struct MessageCheck(Arc<CheckFn>);

impl MessageCheck {
    pub fn new(
        check: impl Fn(SpokenMessage<'_>) -> Result<(), MessageFault> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(check))
    }

    pub(super) fn judge(&self, message: SpokenMessage<'_>) -> Result<(), MessageFault> {
        (self.0)(message)
    }
}

impl fmt::Debug for MessageCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageCheck")
    }
}

/// One profile: who speaks, in which language, and where answers may go.
#[derive(Debug, Clone)]
pub struct Profile {
    pub brand: Option<String>,
    pub confirm_key: Digit,
    /// Where webhooks may go. Empty: nowhere.
    pub callbacks: Vec<AllowedUrl>,
    /// Where the enrolment pages may return to. Empty: nowhere.
    pub return_urls: Vec<AllowedUrl>,
    /// Methods that a request may ask for; the first is the default.
    pub methods: Vec<Method>,
    /// Webhook address of requests that name none.
    pub callback_url: Option<String>,
    /// Which progress events the callback gets beside the terminal ones.
    pub subscription: Subscription,
    /// Life of a verification that says nothing, seconds.
    pub expires_in_s: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            brand: None,
            confirm_key: Digit::POUND,
            callbacks: Vec::new(),
            return_urls: Vec::new(),
            methods: Method::ALL.to_vec(),
            callback_url: None,
            subscription: Subscription::terminal_only(),
            expires_in_s: 120,
        }
    }
}

/// The identities that one trunk may present.
#[derive(Debug, Clone)]
pub struct CallerIds {
    pub trunk: String,
    pub default: String,
    /// By ISO 3166-1 alpha-2 region of the destination.
    pub by_country: BTreeMap<String, String>,
}

impl CallerIds {
    #[must_use]
    pub fn for_country(&self, country: Option<&str>) -> &str {
        country
            .and_then(|c| self.by_country.get(c))
            .unwrap_or(&self.default)
    }
}

/// Bounds of the HTTP side.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    pub body_bytes_max: usize,
    /// Longest `?wait=`, seconds.
    pub wait_s_max: u32,
    /// Long polls and event streams open at once.
    pub streams_max: usize,
    /// Requests in work at once, streams aside; one more gets 503.
    pub requests_max: usize,
    /// Time for a whole request that does not wait, seconds.
    pub request_timeout_s: u64,
    /// Time for the head of a request, the pause before it on a kept connection included, seconds.
    pub head_timeout_s: u64,
    /// Connections open at once; further ones wait in the kernel's backlog.
    pub connections_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            wait_s_max: 60,
            streams_max: 10_000,
            requests_max: 2_000,
            request_timeout_s: 15,
            head_timeout_s: 30,
            connections_max: 8_000,
        }
    }
}
