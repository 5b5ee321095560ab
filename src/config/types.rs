//! The valid configuration. `config/ringproof.toml` documents every key with unit, default and reason.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Cidr, Codec, Digit, Masked, Method, NumberValidation};

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub store: Store,
    pub sip: Sip,
    pub media: Media,
    pub trunks: Vec<Trunk>,
    pub policy: Policy,
    pub profiles: BTreeMap<String, Profile>,
    pub prompts: Prompts,
    pub webhook: Webhook,
    pub enrollment: Enrollment,
    pub telemetry: Telemetry,
}

#[derive(Debug, Clone)]
pub struct Server {
    /// HTTP: API, wizard.
    pub listen: SocketAddr,
    /// `/metrics` on an address of its own.
    pub admin_listen: Option<SocketAddr>,
    /// Without a trailing slash.
    pub public_url: String,
    /// Time that live calls get after SIGTERM.
    pub drain: Duration,
    /// Name of this node in `dialing(node)` rows.
    pub node: String,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

#[derive(Debug, Clone)]
pub struct Store {
    pub url: String,
    /// How long a finished verification's number is kept. An idempotency key has its own 24 h.
    pub retention: Duration,
}

#[derive(Debug, Clone)]
pub struct Sip {
    /// UDP listeners.
    pub listen: Vec<SocketAddr>,
    pub public_address: Option<IpAddr>,
    pub user_agent: String,
    pub calls_max: usize,
    pub t1: Duration,
    pub inbound: InboundCalls,
    /// Announcements at a time.
    pub inbound_max: u32,
}

/// What somebody hears who calls the number back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundCalls {
    /// 603 to trunk peers.
    Decline,
    /// One sentence, then BYE.
    Announce,
}

#[derive(Debug, Clone)]
pub struct Media {
    /// First and last RTP port; RTCP takes the odd port above each even one.
    pub rtp_ports: (u16, u16),
    pub threads: usize,
    /// Address to bind; the advertised one is `sip.public_address` or the one that the kernel picks.
    pub bind: Option<IpAddr>,
    pub calls_max: usize,
    pub pin: bool,
}

#[derive(Debug, Clone)]
pub struct Trunk {
    pub name: String,
    /// `sip:host[:port][;transport=udp]`, tried in order.
    pub targets: Vec<TrunkTarget>,
    pub auth: Option<TrunkAuth>,
    pub peers: Vec<Cidr>,
    pub number_format: NumberFormat,
    /// Whose dialling `national` follows; the called country when absent.
    pub home_country: Option<String>,
    pub tech_prefix: String,
    /// By ISO region; `default` for the rest.
    pub caller_id: BTreeMap<String, String>,
    pub caller_id_default: String,
    /// Of caller IDs that begin with `+`; as they are written when absent.
    pub caller_id_format: Option<NumberFormat>,
    /// User of From; default: the caller ID.
    pub from_user: Option<String>,
    /// Domain of From; default: host of the target.
    pub from_domain: Option<String>,
    pub display_name: Option<String>,
    pub identity: Identity,
    /// Value of Privacy (RFC 3323).
    pub privacy: Option<String>,
    pub diversion: Option<Diversion>,
    /// Parameters of Request-URI and To; an empty value: the name alone.
    pub uri_params: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    /// New calls per second.
    pub cps: f64,
    pub calls_max: u32,
    pub dtmf: Dtmf,
    pub codecs: Vec<Codec>,
    /// Offer `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    pub rel100: bool,
    pub failover_on_timeout: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTarget {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone)]
pub struct TrunkAuth {
    pub username: String,
    pub password: Masked<String>,
    pub realm: Option<String>,
}

/// How the number is written in the Request-URI and To.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFormat {
    /// `+14255550123`
    PlusE164,
    /// `14255550123`
    E164,
    /// `0014255550123`
    DoubleZero,
    /// As it is dialled in the country: `030123456`
    National,
}

/// RFC 5806.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    pub number: String,
    pub reason: String,
}

/// Which header carries the caller ID beside From.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    None,
    /// RFC 3325, trusted trunk.
    Asserted,
    Preferred,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtmf {
    Auto,
    Rfc4733,
    Inband,
}

#[derive(Debug, Clone)]
pub struct Policy {
    pub countries: Vec<String>,
    pub number_validation: NumberValidation,
    pub internal_numbers: Vec<String>,
    pub per_number: NumberLimits,
    /// Zero: unlimited, here and below.
    pub per_user_per_hour: u32,
    pub per_ip_per_hour: u32,
    pub per_key_per_hour: u32,
    pub per_prefix_per_hour: u32,
    /// Verifications in progress at the same time.
    pub pending_max: u32,
    /// How long a number that reported fraud is not called; zero: it is not blocked.
    pub fraud_block: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct NumberLimits {
    pub per_hour: u32,
    pub per_day: u32,
    pub again_after: Duration,
}

#[derive(Debug, Clone)]
pub struct Profile {
    pub name: String,
    pub brand: String,
    pub locale: String,
    /// Prompt set to use whatever the locale says, such as `lab`.
    pub prompts: Option<String>,
    /// Which of these exist is known only to who loads the prompts.
    pub written: ProfilePlaces,
    pub confirm_key: Digit,
    pub repeat_key: Digit,
    /// Makes `speak_code` say the code.
    pub reveal_key: Digit,
    /// `None`: this profile takes no fraud reports by key.
    pub fraud_key: Option<Digit>,
    pub methods: Vec<Method>,
    pub callbacks: Vec<String>,
    pub return_urls: Vec<String>,
    pub plays: u32,
    pub wait_key: Duration,
    pub first_word: Duration,
    pub invalid_keys_max: u32,
    /// `random_key`.
    pub wrong_keys_max: u32,
    /// `match_code`.
    pub wrong_codes_max: u32,
    /// From the fraud key to the confirm key.
    pub fraud_window: Duration,
    /// `random_key`: no other key in this time before the right one…
    pub quiet_before: Duration,
    /// …nor in this time after it.
    pub quiet_after: Duration,
    pub fraud_sentence: bool,
    pub goodbye: bool,
    pub ring: Duration,
    pub no_18x: Duration,
    pub ring_hard: Duration,
    pub answered_max: Duration,
    pub expires_in: Duration,
}

/// Where keys of a profile are written: `FILE:LINE`, or an environment variable. The profile itself where one is absent.
#[derive(Debug, Clone)]
pub struct ProfilePlaces {
    pub locale: String,
    pub prompts: String,
}

#[derive(Debug, Clone)]
pub struct Prompts {
    /// Directory that is laid over the built-in prompts.
    pub directory: Option<PathBuf>,
    /// Voice engine that speaks brands without a recording: `flite` or `espeak-ng`; none by default.
    pub brand_engine: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Webhook {
    /// `whsec_…` or `whsk_…`, the newest first; all sign while rotating.
    pub secrets: Vec<Masked<String>>,
    pub allow_private: Vec<Cidr>,
    /// Progress events that are sent besides the terminal ones and `fraud.reported`.
    pub progress_events: Vec<String>,
    pub workers: usize,
}

#[derive(Debug, Clone)]
pub struct Enrollment {
    /// Ed25519 seed, 32 octets in base64; made and kept beside the store when absent.
    pub signing_key: Option<Masked<String>>,
}

#[derive(Debug, Clone)]
pub struct Telemetry {
    pub metrics: bool,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter in the syntax of tracing.
    pub log: String,
    pub log_json: bool,
    pub hep: Option<Hep>,
}

/// A capture server that gets every SIP message by HEP version 3 over UDP.
#[derive(Debug, Clone)]
pub struct Hep {
    pub host: String,
    pub port: u16,
    /// Our number among the server's capture agents.
    pub id: u32,
    pub password: Option<Masked<String>>,
    /// Telephone numbers are masked; credentials and keys always are.
    pub mask: bool,
}
