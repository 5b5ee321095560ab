//! The valid configuration. `config/ringproof.toml` documents every key with unit, default and reason.
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::contents::Contents;
use crate::model::{
    Cidr, Codec, Digit, Masked, Method, NumberValidation, ScreeningMode, SrtpPolicy, SrtpProfile,
};

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
    pub capture: Capture,
    /// Of the certificate files, when they were read.
    pub contents: Contents,
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
    pub listen: Vec<SipListener>,
    /// Of all listeners that have none of their own.
    pub public_address: Option<IpAddr>,
    pub user_agent: String,
    pub calls_max: usize,
    pub t1: Duration,
    /// Name servers that trunks are located with; empty: those of the system.
    pub dns: Vec<SocketAddr>,
    pub inbound: InboundCalls,
    /// Announcements at a time.
    pub inbound_max: u32,
    /// TCP and TLS connections at a time.
    pub connections_max: usize,
    /// Of them, those from one address that is no trunk's.
    pub connections_per_source: usize,
    /// Pause after which a connection of ours is pinged; `None`: never.
    pub keep_alive: Option<Duration>,
    /// What TLS listeners show.
    pub tls: Option<ServerTls>,
}

/// What somebody hears who calls the number back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundCalls {
    /// 603 to trunk peers.
    Decline,
    /// One sentence, then BYE.
    Announce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipListener {
    pub transport: Transport,
    pub address: SocketAddr,
    /// Static NAT; port 0 stands for the listener's own.
    pub public: Option<SocketAddr>,
}

impl fmt::Display for SipListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.name(), self.address)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls]
            .into_iter()
            .find(|transport| transport.name() == name)
    }
}

/// A certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub identity: TlsIdentity,
    /// Whoever connects must have a certificate of this authority.
    pub client_ca_file: Option<PathBuf>,
}

/// How a trunk's TLS servers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTls {
    /// Instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// For servers that ask for a client certificate.
    pub identity: Option<TlsIdentity>,
    /// The name that the certificate must have; the target's host when absent.
    pub name: Option<String>,
    pub rule: TlsNameRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsNameRule {
    /// RFC 5922: the whole name.
    Rfc5922,
    /// `*.carrier.example` stands for one label more.
    OneLabelWildcard,
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
    /// `sip:host[:port][;transport=…]`, tried in order.
    pub targets: Vec<TrunkTarget>,
    pub auth: Option<TrunkAuth>,
    /// `None`: the trunk knows us by our address.
    pub register: Option<Register>,
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
    /// Follow a callee whose RTP first comes from elsewhere than its SDP says (symmetric RTP).
    pub learn: bool,
    pub codecs: Vec<Codec>,
    /// Offer `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    pub srtp: SrtpPolicy,
    pub srtp_profile: SrtpProfile,
    pub rel100: bool,
    pub failover_on_timeout: bool,
    /// Between two OPTIONS to each target; zero: none.
    pub options: Duration,
    /// A request too long for UDP may go over TCP where the target names no transport.
    pub tcp_switch: bool,
    pub tls: TrunkTls,
}

impl Trunk {
    /// The keys of SRTP are in the SDP (RFC 4568 §7): whoever reads the signalling reads the audio. What to tell the
    /// operator where a target may be reached without TLS.
    #[must_use]
    pub fn srtp_warning(&self) -> Option<String> {
        let over_tls = |target: &TrunkTarget| target.is_secure || target.transport == Some(Transport::Tls);
        if self.srtp == SrtpPolicy::Off || self.targets.iter().all(over_tls) {
            return None;
        }
        Some(format!(
            "trunk.{}.srtp: the keys travel in the SDP, and a target may be reached without TLS: who reads the signalling can \
             read the audio. Use transport=tls in targets.",
            self.name
        ))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTarget {
    /// `sips:`: TLS, whatever the lookup says.
    pub is_secure: bool,
    pub host: String,
    /// `None`: by DNS (RFC 3263), or the usual one.
    pub port: Option<u16>,
    /// The transport parameter; `None`: by DNS.
    pub transport: Option<Transport>,
}

/// As it is written in the file.
impl fmt::Display for TrunkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "sips" } else { "sip" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}:[{}]", self.host)?,
            false => write!(f, "{scheme}:{}", self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, ";transport={}", transport.name()),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct TrunkAuth {
    pub username: String,
    pub password: Masked<String>,
    pub realm: Option<String>,
}

/// What is bound at the registrar, every default resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Asked for; the registrar grants.
    pub expires_s: u32,
    /// Where REGISTER goes; default: the first target.
    pub registrar: TrunkTarget,
    /// `sip:user@domain`; default: the username at the registrar.
    pub aor: String,
    /// User of Contact; default: that of `aor`.
    pub contact_user: String,
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
    /// New calls are refused while the server is late for want of CPU or disk.
    pub refuse_when_late: bool,
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
    /// Webhook address of requests that name none; of trunk events too, in the default profile.
    pub callback_url: Option<String>,
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
    /// What is done about a machine that answers.
    pub screening: ScreeningMode,
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
    pub callback_url: String,
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

/// The flight recorder.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The last so many calls are kept in memory; 0: none.
    pub calls: usize,
    pub rtp: CaptureRtp,
    /// RTP of one call, octets.
    pub rtp_octets_max: usize,
    /// What the callee says is kept too; else silence stands for it.
    pub callee_audio: bool,
}

/// What of a call's RTP is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureRtp {
    Off,
    Headers,
    Audio,
}

impl CaptureRtp {
    /// The word of the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Headers => "headers",
            Self::Audio => "audio",
        }
    }
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
