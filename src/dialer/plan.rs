//! Trunk + profile + verification → everything that one [`Call`](crate::call::Call) needs.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::call_task::TaskEnd;
use super::presentation::Presentation;
use super::target::{Target, TargetError};
use super::{DialerConfig, InForce};
use crate::call::{CallSpec, CallTimings, SpecError};
use crate::ivr::Script;
use crate::media::command::DtmfMode;
use crate::model::{Cidr, Codec, Destination, Outcome, Reason, Verification};
use crate::net::media_engine::Refusal;
use crate::net::sip_udp::RegisterError;
use crate::prompt::{MessageError, Wanted, brand_variable, message_vars};
use crate::sip::digest::Credentials;
use crate::sip::invite::{InviteConfig, Transport};
use crate::sip::peer::IpNet;
use crate::sip::transaction::timer::TimerConfig;
use crate::sip::uri::Host;

/// One trunk as the dialer uses it.
#[derive(Debug, Clone)]
pub struct Trunk {
    pub name: String,
    pub targets: Vec<Target>,
    pub credentials: Option<Credentials>,
    /// Further sources of in-dialog requests.
    pub peers: Vec<Cidr>,
    /// By ISO region.
    pub caller_id: BTreeMap<String, String>,
    pub caller_id_default: String,
    /// What its INVITEs say.
    pub presentation: Presentation,
    /// New calls per second.
    pub cps: f64,
    pub calls_max: u32,
    pub dtmf: DtmfMode,
    pub codecs: Vec<Codec>,
    /// Offer `a=rtcp-mux`.
    pub rtcp_mux: bool,
    pub rel100: bool,
    pub failover_on_timeout: bool,
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
}

/// What the shell took for this call.
pub(crate) struct Wire {
    pub(crate) call_id: String,
    /// Of the target, as configured.
    pub(crate) host: String,
    pub(crate) target: SocketAddr,
    /// Sources of in-dialog requests beside the target.
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) local_sip: SocketAddr,
    pub(crate) local_media: SocketAddr,
}

pub(super) fn call_spec(
    in_force: &InForce,
    trunk: &Trunk,
    verification: &Verification,
    wire: Wire,
) -> Result<CallSpec, PlanError> {
    let profile = in_force
        .config
        .profiles
        .get(&verification.profile)
        .ok_or_else(|| PlanError::Profile(verification.profile.clone()))?;
    let brand = verification
        .brand
        .clone()
        .unwrap_or_else(|| profile.brand.clone());
    let voice = in_force
        .voices
        .voice(profile.wanted(verification.locale.as_deref(), verification.to.country()));
    let message = if verification.message.is_empty() {
        BTreeMap::new()
    } else {
        message_vars(&voice, &verification.message)?
    };
    let public = in_force.config.public_address;
    let advertised = |ip: IpAddr| public.filter(|p| p.is_ipv4() == ip.is_ipv4()).unwrap_or(ip);
    // A socket bound to all addresses says where it really is: what the kernel picks for this target.
    let media_ip = if wire.local_media.ip().is_unspecified() {
        wire.local_sip.ip()
    } else {
        wire.local_media.ip()
    };
    let spec = CallSpec {
        invite: invite(&in_force.config, trunk, &verification.to, &wire),
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

/// The INVITE that this trunk gets for this number.
pub(crate) fn invite(config: &DialerConfig, trunk: &Trunk, to: &Destination, wire: &Wire) -> InviteConfig {
    let port = (wire.target.port() != 5060).then(|| wire.target.port());
    let host: Host = wire.host.parse().unwrap_or_else(|_| wire.target.ip().into());
    let caller = trunk.caller_id_for(to.country());
    let presented = trunk.presentation.present(to, caller, &host, port);
    InviteConfig {
        target: wire.target,
        local: wire.local_sip,
        public: config
            .public_address
            .filter(|ip| ip.is_ipv4() == wire.target.is_ipv4())
            .map(|ip| SocketAddr::new(ip, wire.local_sip.port())),
        transport: Transport::Udp,
        request_uri: presented.request_uri,
        from: presented.from,
        to: presented.to,
        contact_user: caller.trim_start_matches('+').to_owned(),
        route: Vec::new(),
        extra_headers: presented.headers,
        user_agent: config.user_agent.clone(),
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
            t1: config.t1,
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
            let to = Destination::E164(PhoneNumber::parse(to, None, NumberValidation::Shape).unwrap());
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
