//! Trunk + profile + verification → everything that one [`Call`](crate::call::Call) needs.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::call_task::TaskEnd;
use super::presentation::Presentation;
use super::reach::{Place, TargetError};
use super::registrar::Register;
use super::{DialerConfig, InForce};
use crate::call::{CallSpec, CallTimings, SpecError};
use crate::ivr::Script;
use crate::media::command::DtmfMode;
use crate::model::{
    Cidr, Codec, Destination as Called, Outcome, Reason, SrtpPolicy, SrtpProfile, Verification,
};
use crate::net::media_engine::Refusal;
use crate::net::sip_net::{Local, RegisterError, TlsPolicy};
use crate::prompt::{MessageError, Wanted, brand_variable, message_vars};
use crate::sip::digest::Credentials;
use crate::sip::invite::{Failover, Hop, InviteConfig};
use crate::sip::locate::Target;
use crate::sip::message::NameAddr;
use crate::sip::peer::IpNet;
use crate::sip::transaction::timer::TimerConfig;

/// One trunk as the dialer uses it.
#[derive(Debug, Clone)]
pub struct Trunk {
    pub name: String,
    pub targets: Vec<Target>,
    pub credentials: Option<Credentials>,
    /// `None`: it knows us by our address.
    pub register: Option<Register>,
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
    /// Follow a callee whose RTP first comes from elsewhere than its SDP says.
    pub learn: bool,
    pub codecs: Vec<Codec>,
    /// Offer `a=rtcp-mux`.
    pub rtcp_mux: bool,
    pub srtp: SrtpPolicy,
    pub srtp_profile: SrtpProfile,
    pub rel100: bool,
    pub failover_on_timeout: bool,
    /// Between two OPTIONS to the same target; `None`: no OPTIONS.
    pub options_every: Option<Duration>,
    /// Long requests may leave UDP, where the target leaves the transport open.
    pub tcp_switch: bool,
    /// For targets over TLS.
    pub tls: Option<Arc<TlsPolicy>>,
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
    /// Whether the attempt stays due: another trunk may be reached, and a Call-ID or a media leg finds its place in a
    /// moment.
    pub(super) const fn stays_due(&self) -> Option<TaskEnd> {
        match self {
            Self::Target(_) | Self::NoRoute(_) => Some(TaskEnd::Unreachable),
            // It was promised a place: what is in the way of it goes away.
            Self::Sip(_) | Self::Media(_) => Some(TaskEnd::StaysDue),
            Self::Entropy(_) | Self::Profile(_) | Self::Spec(_) | Self::Message(_) => None,
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
    /// The first target to try.
    pub(crate) first: Place,
    /// The others, each with what it knows us by.
    pub(crate) further: Vec<(Place, Local)>,
    /// Sources of in-dialog requests beside the target.
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) local_sip: Local,
    pub(crate) local_media: SocketAddr,
}

/// `route`: preloaded, of the trunk's registration.
pub(super) fn call_spec(
    in_force: &InForce,
    trunk: &Trunk,
    verification: &Verification,
    route: Vec<NameAddr>,
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
    let public = wire.local_sip.public.map(|public| public.ip());
    let public = public.or(in_force.config.public_address);
    let advertised = |ip: IpAddr| public.filter(|p| p.is_ipv4() == ip.is_ipv4()).unwrap_or(ip);
    // A socket bound to all addresses says where it really is: what the kernel picks for this target.
    let media_ip = if wire.local_media.ip().is_unspecified() {
        wire.local_sip.address.ip()
    } else {
        wire.local_media.ip()
    };
    let mut invite = invite(&in_force.config, trunk, &verification.to, &wire);
    invite.route = route;
    let spec = CallSpec {
        invite,
        local_media: SocketAddr::new(advertised(media_ip), wire.local_media.port()),
        codecs: trunk.codecs.clone(),
        rtcp_mux: trunk.rtcp_mux,
        srtp: trunk.srtp,
        srtp_profile: trunk.srtp_profile,
        dtmf: trunk.dtmf,
        learn: trunk.learn,
        // Given by who has a place to keep it.
        tape: None,
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
pub(crate) fn invite(config: &DialerConfig, trunk: &Trunk, to: &Called, wire: &Wire) -> InviteConfig {
    let target = &wire.first.destination;
    let caller = trunk.caller_id_for(to.country());
    let presented = trunk
        .presentation
        .present(to, caller, &wire.first.host(), wire.first.uri_port());
    InviteConfig {
        target: target.address,
        local: wire.local_sip.address,
        public: wire.local_sip.public,
        transport: target.transport,
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
        failover: Failover {
            further: wire
                .further
                .iter()
                .map(|(place, local)| Hop {
                    destination: place.destination.clone(),
                    local: local.address,
                    public: local.public,
                    request_uri: trunk
                        .presentation
                        .request_uri(to, &place.host(), place.uri_port()),
                })
                .collect(),
            on_silence: trunk.failover_on_timeout,
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
