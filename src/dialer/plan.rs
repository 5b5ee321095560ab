//! Trunk + profile + verification → everything that one [`Call`](crate::call::Call) needs.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Shared;
use super::call_task::TaskEnd;
use super::target::{Target, TargetError};
use crate::call::{CallSpec, CallTimings, SpecError};
use crate::ivr::Script;
use crate::media::command::DtmfMode;
use crate::model::{Cidr, Codec, Destination as Called, Outcome, Reason, Verification};
use crate::net::media_engine::Refusal;
use crate::net::sip_net::{Local, RegisterError, TlsPolicy};
use crate::prompt::{MessageError, Wanted, brand_variable, message_vars};
use crate::sip::digest::Credentials;
use crate::sip::invite::InviteConfig;
use crate::sip::message::NameAddr;
use crate::sip::peer::IpNet;
use crate::sip::transaction::timer::TimerConfig;
use crate::sip::transport::Destination;
use crate::sip::uri::{Host, Uri};

/// One trunk as the dialer uses it.
#[derive(Debug, Clone)]
pub struct Trunk {
    pub name: String,
    pub targets: Vec<Target>,
    pub credentials: Option<Credentials>,
    /// Further sources of in-dialog requests.
    pub peers: Vec<Cidr>,
    pub number_format: NumberFormat,
    pub tech_prefix: String,
    /// By ISO region.
    pub caller_id: BTreeMap<String, String>,
    pub caller_id_default: String,
    /// Domain of From; the target's address when absent.
    pub from_domain: Option<Host>,
    /// `P-Asserted-Identity`, `P-Preferred-Identity` (RFC 3325), or none.
    pub identity_header: Option<&'static str>,
    pub headers: Vec<(String, String)>,
    /// New calls per second.
    pub cps: f64,
    pub calls_max: u32,
    pub dtmf: DtmfMode,
    pub codecs: Vec<Codec>,
    /// Offer `a=rtcp-mux`.
    pub rtcp_mux: bool,
    pub rel100: bool,
    pub failover_on_timeout: bool,
    /// Long requests may leave UDP, where the target leaves the transport open.
    pub tcp_switch: bool,
    /// For targets over TLS.
    pub tls: Option<Arc<TlsPolicy>>,
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
}

/// What the calls of one profile say and wait for.
#[derive(Debug, Clone)]
pub struct ProfilePlan {
    pub script: Script,
    pub timings: CallTimings,
    pub brand: String,
    pub locale: String,
    /// A prompt set to use whatever the locale says.
    pub prompts: Option<String>,
}

impl ProfilePlan {
    /// Which language a call speaks: request, its language only, country, profile. A prompt set of the profile's own
    /// goes before them all.
    #[must_use]
    pub fn wanted<'a>(&'a self, request: Option<&'a str>, country: Option<&'a str>) -> Wanted<'a> {
        Wanted {
            request: self.prompts.as_deref().or(request),
            country,
            profile: Some(&self.locale),
        }
    }
}

/// Why an attempt cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("the message cannot be spoken: {0}")]
    Message(#[from] MessageError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("no route to the trunk: {0}")]
    NoRoute(std::io::Error),
    #[error("media: {0}")]
    Media(Refusal),
    #[error("signalling: {0}")]
    Sip(RegisterError),
    #[error("{0}")]
    Entropy(String),
    #[error("profile {0:?} is not configured any more")]
    Profile(String),
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl PlanError {
    /// Whether the attempt stays due: another trunk may be reached, and a Call-ID finds its place in a moment.
    pub(super) const fn stays_due(&self) -> Option<TaskEnd> {
        match self {
            Self::Target(_) | Self::NoRoute(_) => Some(TaskEnd::Unreachable),
            Self::Sip(_) => Some(TaskEnd::StaysDue),
            Self::Media(_) | Self::Entropy(_) | Self::Profile(_) | Self::Spec(_) | Self::Message(_) => None,
        }
    }

    /// What the platform is told: the trunk's fault, or ours for want of room.
    pub(super) const fn outcome(&self) -> Outcome {
        Outcome::new(match self {
            Self::Target(_) | Self::NoRoute(_) => Reason::TrunkDown,
            Self::Media(_) | Self::Sip(_) => Reason::Congestion,
            Self::Entropy(_) | Self::Profile(_) | Self::Spec(_) | Self::Message(_) => Reason::Internal,
        })
    }
}

impl Trunk {
    /// The number that the phone of this country shows.
    #[must_use]
    pub fn caller_id_for(&self, country: Option<&str>) -> &str {
        country
            .and_then(|c| self.caller_id.get(c))
            .unwrap_or(&self.caller_id_default)
    }

    /// The called number as this trunk wants it.
    fn user_part(&self, to: &Called) -> String {
        let number = match to {
            Called::Internal(number) => number.clone(),
            Called::E164(number) => {
                let digits = number.reveal().trim_start_matches('+');
                match self.number_format {
                    NumberFormat::PlusE164 => format!("+{digits}"),
                    NumberFormat::E164 => digits.to_owned(),
                    NumberFormat::DoubleZero => format!("00{digits}"),
                }
            }
        };
        format!("{}{number}", self.tech_prefix)
    }
}

/// What the shell took for this call.
pub(super) struct Wire {
    pub(super) call_id: String,
    pub(super) destination: Destination,
    /// Sources of in-dialog requests beside the target.
    pub(super) peers: Vec<SocketAddr>,
    pub(super) local_sip: Local,
    pub(super) local_media: SocketAddr,
}

pub(super) fn call_spec(
    shared: &Shared,
    trunk: &Trunk,
    verification: &Verification,
    wire: Wire,
) -> Result<CallSpec, PlanError> {
    let profile = shared
        .config
        .profiles
        .get(&verification.profile)
        .ok_or_else(|| PlanError::Profile(verification.profile.clone()))?;
    let brand = verification
        .brand
        .clone()
        .unwrap_or_else(|| profile.brand.clone());
    let voice = shared
        .voices
        .voice(profile.wanted(verification.locale.as_deref(), verification.to.country()));
    let message = if verification.message.is_empty() {
        BTreeMap::new()
    } else {
        message_vars(&voice, &verification.message)?
    };
    let public = wire.local_sip.public.map(|public| public.ip());
    let public = public.or(shared.config.public_address);
    let advertised = |ip: IpAddr| public.filter(|p| p.is_ipv4() == ip.is_ipv4()).unwrap_or(ip);
    // A socket bound to all addresses says where it really is: what the kernel picks for this target.
    let media_ip = if wire.local_media.ip().is_unspecified() {
        wire.local_sip.address.ip()
    } else {
        wire.local_media.ip()
    };
    let spec = CallSpec {
        invite: invite(shared, trunk, verification, &wire),
        local_media: SocketAddr::new(advertised(media_ip), wire.local_media.port()),
        codecs: trunk.codecs.clone(),
        rtcp_mux: trunk.rtcp_mux,
        dtmf: trunk.dtmf,
        method: verification.method,
        code: verification.code.clone(),
        extension: verification.extension.clone(),
        script: profile.script.clone(),
        voice,
        brand: Some(brand_variable(&brand)),
        timings: profile.timings,
        message,
    };
    // Whatever this call may have to say must exist before a phone rings.
    spec.check()?;
    Ok(spec)
}

fn invite(shared: &Shared, trunk: &Trunk, verification: &Verification, wire: &Wire) -> InviteConfig {
    let user = trunk.user_part(&verification.to);
    let to = &wire.destination;
    let usual = to.transport.default_port();
    let port = (to.address.port() != usual).then(|| to.address.port());
    let host: Host = to.host.parse().unwrap_or_else(|_| to.address.ip().into());
    let request_uri = Uri::sip(Some(&user), host.clone(), port);
    let caller = trunk.caller_id_for(verification.to.country());
    let from_uri = match &trunk.from_domain {
        Some(domain) => Uri::sip(Some(caller), domain.clone(), None),
        None => Uri::sip(Some(caller), host, None),
    };
    let mut extra_headers = trunk.headers.clone();
    if let Some(header) = trunk.identity_header {
        extra_headers.push((header.to_owned(), NameAddr::new(from_uri.clone()).to_string()));
    }
    InviteConfig {
        target: to.address,
        local: wire.local_sip.address,
        public: wire.local_sip.public,
        transport: to.transport,
        request_uri: request_uri.clone(),
        from: NameAddr::new(from_uri),
        to: NameAddr::new(request_uri),
        contact_user: caller.trim_start_matches('+').to_owned(),
        route: Vec::new(),
        extra_headers,
        user_agent: shared.config.user_agent.clone(),
        call_id: wire.call_id.clone(),
        credentials: trunk.credentials.clone(),
        peers: trunk
            .peers
            .iter()
            .filter_map(|block| block.to_string().parse().ok())
            .chain(
                wire.peers
                    .iter()
                    .map(|peer| IpNet::host(peer.ip().to_canonical())),
            )
            .collect(),
        rel100: trunk.rel100,
        timers: TimerConfig {
            t1: shared.config.t1,
            ..TimerConfig::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NumberValidation, PhoneNumber};
    use crate::prompt::{Catalogue, CatalogueOptions};

    fn plan(prompts: Option<&str>) -> ProfilePlan {
        ProfilePlan {
            script: Script::default(),
            timings: CallTimings::default(),
            brand: "Contoso".to_owned(),
            locale: "en-US".to_owned(),
            prompts: prompts.map(str::to_owned),
        }
    }

    #[test]
    fn the_country_chooses_the_language_of_a_request_that_names_none() {
        let (voices, _) = Catalogue::load(&CatalogueOptions::default()).unwrap();
        let spoken = |prompts: Option<&str>, request: Option<&str>, to: &str| {
            let to = Called::E164(PhoneNumber::parse(to, None, NumberValidation::Shape).unwrap());
            voices
                .voice(plan(prompts).wanted(request, to.country()))
                .locale
                .clone()
        };
        assert_eq!(spoken(None, None, "+442079460123"), "en-GB");
        assert_eq!(spoken(None, None, "+14255550123"), "en-US");
        assert_eq!(spoken(None, Some("en-US"), "+442079460123"), "en-US");
        // No set of prompts is made for this country: the profile decides.
        assert_eq!(spoken(None, None, "+81312345678"), "en-US");
        assert_eq!(
            spoken(Some("lab"), Some("en-US"), "+14255550123"),
            spoken(None, Some("lab"), "+14255550123")
        );
    }
}
