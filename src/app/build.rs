//! The configuration → each room's own plain values. Only here do both sides meet.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::AppError;
use super::announcer::{AnnouncerConfig, LINGERING_PER_CALL};
use crate::api::{AllowedUrl, ApiConfig, CallerIds, HttpLimits, MessageCheck, MessageFault, Profile};
use crate::call::CallTimings;
use crate::config::{self, Config};
use crate::dialer::{
    DialerConfig, Diversion, NumberFormat, Presentation, ProfilePlan, Register, Trunk, TrunkNotices,
};
use crate::ivr::{FraudKeys, Keys, Script, phrase};
use crate::media::command::DtmfMode;
use crate::model::{Entropy, Masked};
use crate::net::media_engine::EngineConfig;
use crate::net::resolver::{Resolver, ResolverConfig};
use crate::net::sip_net::{
    Listen, PeerCheck, SipNetConfig, StreamLimits, TlsPolicy, TlsServerConfig, routes_for,
};
use crate::net::sip_tls::{self, Identity, NameRule, TlsError, TlsPolicyConfig};
use crate::policy::{NumberLimits, Policy, PolicySettings};
use crate::prompt::{Catalogue, brand_variable, check_message};
use crate::sip::digest::Credentials;
use crate::sip::locate::{Families, Scheme, Target};
use crate::sip::transport::SipTransport;
use crate::sip::uri::Host;
use crate::store::{EventType, Retention, Subscription};
use crate::webhook::{Guard, Signer, WebhookConfig};

pub(super) fn public_url(config: &Config, http: SocketAddr) -> String {
    // Port 0 in the file: the address is known only now.
    if config.server.listen.port() == 0 && config.server.public_url.ends_with(":0") {
        return format!("http://{http}");
    }
    config.server.public_url.clone()
}

pub(super) fn engine(config: &Config, entropy: Entropy) -> EngineConfig {
    let media = &config.media;
    EngineConfig {
        threads: media.threads,
        ports: media.rtp_ports.0..=media.rtp_ports.1,
        bind: media.bind.unwrap_or_else(|| default_media_bind(config)),
        // Announcements come on top: they take nothing from the calls that are placed.
        calls_max: media.calls_max + inbound_max(config),
        refuse_when_late: true,
        files_max: None,
        pin: media.pin.then(|| (0..media.threads).collect()),
        entropy,
    }
}

/// Announcements at a time; 0 where callers are declined.
pub(super) fn inbound_max(config: &Config) -> usize {
    match config.sip.inbound {
        config::InboundCalls::Decline => 0,
        config::InboundCalls::Announce => config.sip.inbound_max as usize,
    }
}

/// `None` where callers are declined.
pub(super) fn announcer(config: &Config, voices: &Catalogue) -> Result<Option<AnnouncerConfig>, AppError> {
    if config.sip.inbound == config::InboundCalls::Decline {
        return Ok(None);
    }
    let profile = config
        .profiles
        .get("default")
        .or_else(|| config.profiles.values().next());
    let Some(profile) = profile else {
        let message =
            "sip.inbound: expected a [profile.default] whose language \"announce\" speaks, found none";
        return Err(AppError::Config(message.to_owned()));
    };
    let plan = profile_plan(profile)?;
    let voice = voices.voice(plan.wanted(None, None));
    let vars = BTreeMap::from([("brand".to_owned(), brand_variable(&plan.brand))]);
    let clips = voice
        .clips(phrase::ANNOUNCEMENT, &vars)
        .map_err(|error| AppError::Config(format!("sip.inbound: \"announce\": {error}")))?;
    let blocks = config.trunks.iter().flat_map(|trunk| &trunk.peers);
    Ok(Some(AnnouncerConfig {
        calls_max: inbound_max(config),
        clips,
        user_agent: config.sip.user_agent.clone(),
        public_address: config.sip.public_address,
        peers: blocks
            .filter_map(|block| block.to_string().parse().ok())
            .collect(),
        t1: config.sip.t1,
    }))
}

/// The addresses that SIP listens on when they are one, else all.
fn default_media_bind(config: &Config) -> IpAddr {
    match config.sip.listen.as_slice() {
        [only] => only.address.ip(),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

pub(super) fn dialer(config: &Config) -> Result<DialerConfig, AppError> {
    let trunks = config.trunks.iter().map(trunk).collect::<Result<_, _>>()?;
    let profiles = config
        .profiles
        .values()
        .map(|profile| Ok((profile.name.clone(), profile_plan(profile)?)))
        .collect::<Result<_, AppError>>()?;
    Ok(DialerConfig {
        node: config.server.node.clone(),
        trunks,
        profiles,
        user_agent: config.sip.user_agent.clone(),
        public_address: config.sip.public_address,
        t1: config.sip.t1,
        calls_max: config.sip.calls_max,
        fraud_block: config.policy.fraud_block,
        trunk_notices: trunk_notices(config),
        recording: None,
    })
}

/// To the address of the default profile, else to each of its callbacks as it is written: these events belong to no
/// verification.
fn trunk_notices(config: &Config) -> TrunkNotices {
    let wanted = |kind: &EventType| matches!(kind, EventType::TrunkDown | EventType::TrunkUp);
    TrunkNotices {
        profile: "default".to_owned(),
        urls: config
            .profiles
            .get("default")
            .map(|profile| match &profile.callback_url {
                Some(url) => vec![url.clone()],
                None => profile.callbacks.clone(),
            })
            .unwrap_or_default(),
        kinds: config
            .webhook
            .progress_events
            .iter()
            .filter_map(|event| event.parse().ok())
            .filter(wanted)
            .collect(),
    }
}

pub(super) fn resolver(config: &Config, entropy: Entropy) -> Result<Resolver, AppError> {
    let listens = |v4: bool| {
        config
            .sip
            .listen
            .iter()
            .any(|listener| listener.address.is_ipv4() == v4)
    };
    let v4_first = config
        .sip
        .listen
        .first()
        .is_none_or(|listener| listener.address.is_ipv4());
    let families = match (listens(true), listens(false)) {
        (true, false) => Families::V4Only,
        (false, true) => Families::V6Only,
        _ if v4_first => Families::V4First,
        _ => Families::V6First,
    };
    Ok(Resolver::new(
        ResolverConfig {
            servers: config.sip.dns.clone(),
            families,
            transports: transports(config),
        },
        entropy,
    )?)
}

/// Connections leave without a listener, datagrams do not.
fn transports(config: &Config) -> Vec<SipTransport> {
    let listeners = &config.sip.listen;
    let has_datagrams = listeners
        .iter()
        .any(|listener| listener.transport == config::Transport::Udp);
    let datagrams = has_datagrams.then_some(SipTransport::Udp);
    datagrams
        .into_iter()
        .chain([SipTransport::Tcp, SipTransport::Tls])
        .collect()
}

fn target(target: &config::TrunkTarget) -> Target {
    Target {
        scheme: if target.is_secure {
            Scheme::Sips
        } else {
            Scheme::Sip
        },
        host: target.host.clone(),
        port: target.port,
        transport: target.transport.map(transport),
    }
}

fn trunk(trunk: &config::Trunk) -> Result<Trunk, AppError> {
    let from_domain = match &trunk.from_domain {
        Some(domain) => Some(domain.parse().map_err(|_| {
            AppError::Config(format!(
                "trunk.{}.from_domain: expected a host name, found {domain:?}",
                trunk.name
            ))
        })?),
        None => None,
    };
    Ok(Trunk {
        name: trunk.name.clone(),
        targets: trunk.targets.iter().map(target).collect(),
        credentials: trunk.auth.as_ref().map(|auth| Credentials {
            username: auth.username.clone(),
            password: auth.password.clone(),
            realm: auth.realm.clone(),
        }),
        register: trunk
            .register
            .as_ref()
            .map(|wanted| register(&trunk.name, wanted))
            .transpose()?,
        peers: trunk.peers.clone(),
        caller_id: trunk.caller_id.clone(),
        caller_id_default: trunk.caller_id_default.clone(),
        presentation: presentation(trunk, from_domain),
        cps: trunk.cps,
        calls_max: trunk.calls_max,
        dtmf: match trunk.dtmf {
            config::Dtmf::Auto => DtmfMode::Auto,
            config::Dtmf::Rfc4733 => DtmfMode::Rfc4733,
            config::Dtmf::Inband => DtmfMode::Inband,
        },
        learn: trunk.learn,
        codecs: trunk.codecs.clone(),
        rtcp_mux: trunk.rtcp_mux,
        srtp: trunk.srtp,
        srtp_profile: trunk.srtp_profile,
        rel100: trunk.rel100,
        failover_on_timeout: trunk.failover_on_timeout,
        options_every: (!trunk.options.is_zero()).then_some(trunk.options),
        tcp_switch: trunk.tcp_switch,
        tls: tls_policy(trunk)?,
    })
}

fn register(trunk: &str, register: &config::Register) -> Result<Register, AppError> {
    let aor = register.aor.parse().map_err(|error| {
        AppError::Config(format!(
            "trunk.{trunk}.register.aor: {error}, found {:?}",
            register.aor
        ))
    })?;
    Ok(Register {
        registrar: target(&register.registrar),
        aor,
        contact_user: register.contact_user.clone(),
        expires_s: register.expires_s,
    })
}

fn presentation(trunk: &config::Trunk, from_domain: Option<Host>) -> Presentation {
    Presentation {
        number_format: number_format(trunk.number_format),
        home_country: trunk.home_country.clone(),
        tech_prefix: trunk.tech_prefix.clone(),
        caller_id_format: trunk.caller_id_format.map(number_format),
        from_user: trunk.from_user.clone(),
        from_domain,
        display_name: trunk.display_name.clone(),
        identity_header: match trunk.identity {
            config::Identity::None => None,
            config::Identity::Asserted => Some("P-Asserted-Identity"),
            config::Identity::Preferred => Some("P-Preferred-Identity"),
        },
        privacy: trunk.privacy.clone(),
        diversion: trunk.diversion.as_ref().map(|diversion| Diversion {
            number: diversion.number.clone(),
            reason: diversion.reason.clone(),
        }),
        uri_params: trunk
            .uri_params
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone()).filter(|v| !v.is_empty())))
            .collect(),
        headers: trunk
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

const fn number_format(format: config::NumberFormat) -> NumberFormat {
    match format {
        config::NumberFormat::PlusE164 => NumberFormat::PlusE164,
        config::NumberFormat::E164 => NumberFormat::E164,
        config::NumberFormat::DoubleZero => NumberFormat::DoubleZero,
        config::NumberFormat::National => NumberFormat::National,
    }
}

/// Read at start, so that a bad file stops the server and no call. Where only DNS may lead to TLS, a system without
/// authorities leaves TLS out.
fn tls_policy(trunk: &config::Trunk) -> Result<Option<Arc<TlsPolicy>>, AppError> {
    let tls = &trunk.tls;
    let asks = |t: &config::TrunkTarget| t.is_secure || t.transport == Some(config::Transport::Tls);
    let leaves_open = |t: &config::TrunkTarget| t.transport.is_none() && t.port.is_none();
    // The registrar is reached with the same policy.
    let registrar = trunk.register.as_ref().map(|register| &register.registrar);
    let mut targets = trunk.targets.iter().chain(registrar);
    let is_asked = targets.clone().any(asks);
    if !is_asked && !targets.any(leaves_open) {
        return Ok(None);
    }
    let policy = TlsPolicy::load(&TlsPolicyConfig {
        name: trunk.name.clone(),
        ca_file: tls.ca_file.clone(),
        identity: tls.identity.as_ref().map(identity),
        expected: tls.name.clone(),
        rule: match tls.rule {
            config::TlsNameRule::Rfc5922 => NameRule::Rfc5922,
            config::TlsNameRule::OneLabelWildcard => NameRule::OneLabelWildcard,
        },
    });
    match policy {
        Ok(policy) => Ok(Some(policy)),
        Err(TlsError::NoRoots) if !is_asked => Ok(None),
        Err(error) => Err(AppError::Config(format!("trunk.{}.tls: {error}", trunk.name))),
    }
}

fn identity(files: &config::TlsIdentity) -> Identity {
    Identity {
        cert_file: files.cert_file.clone(),
        key_file: files.key_file.clone(),
    }
}

const fn transport(transport: config::Transport) -> SipTransport {
    match transport {
        config::Transport::Udp => SipTransport::Udp,
        config::Transport::Tcp => SipTransport::Tcp,
        config::Transport::Tls => SipTransport::Tls,
    }
}

/// Whether the TLS listeners could show their certificate.
pub(super) fn server_tls(config: &Config) -> Result<(), AppError> {
    match &config.sip.tls {
        Some(tls) => sip_tls::check_server(&server_files(tls))
            .map_err(|error| AppError::Config(format!("sip.tls: {error}"))),
        None => Ok(()),
    }
}

fn server_files(tls: &config::ServerTls) -> TlsServerConfig {
    TlsServerConfig {
        identity: identity(&tls.identity),
        client_ca_file: tls.client_ca_file.clone(),
    }
}

/// The SIP transports.
pub(super) fn sip_net(config: &Config, is_peer: PeerCheck) -> SipNetConfig {
    let sip = &config.sip;
    SipNetConfig {
        listen: sip
            .listen
            .iter()
            .map(|listener| Listen {
                transport: transport(listener.transport),
                address: listener.address,
                public: listener.public,
            })
            .collect(),
        public_address: sip.public_address,
        routes_max: routes_for(sip.calls_max) + inbound_max(config) * (1 + LINGERING_PER_CALL),
        is_peer,
        limits: StreamLimits {
            connections_max: sip.connections_max,
            per_source_max: sip.connections_per_source,
            keep_alive: sip.keep_alive,
            ..StreamLimits::default()
        },
        tls: sip.tls.as_ref().map(server_files),
    }
}

fn profile_plan(profile: &config::Profile) -> Result<ProfilePlan, AppError> {
    let small = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let script = Script {
        keys: Keys {
            confirm: profile.confirm_key,
            repeat: profile.repeat_key,
            reveal: profile.reveal_key,
            fraud: profile.fraud_key.map(|first| FraudKeys {
                first,
                second: profile.confirm_key,
            }),
        },
        first_word: profile.first_word,
        key_wait: profile.wait_key,
        plays_max: small(profile.plays),
        invalid_keys_max: small(profile.invalid_keys_max),
        wrong_keys_max: small(profile.wrong_keys_max),
        wrong_codes_max: small(profile.wrong_codes_max),
        fraud_window: profile.fraud_window,
        quiet_before: profile.quiet_before,
        quiet_after: profile.quiet_after,
        answered_max: profile.answered_max,
        fraud_sentence: profile.fraud_sentence,
        goodbye: profile.goodbye,
        screening: profile.screening,
        ..Script::default()
    };
    script
        .check()
        .map_err(|e| AppError::Config(format!("profile.{}: {e}", profile.name)))?;
    Ok(ProfilePlan {
        script,
        timings: CallTimings {
            ring_max: profile.ring,
            trying_max: profile.no_18x,
            unanswered_max: profile.ring_hard,
            ..CallTimings::default()
        },
        brand: profile.brand.clone(),
        locale: profile.locale.clone(),
        prompts: profile.prompts.clone(),
    })
}

/// The rules by which the dialer will speak, for the API: what is accepted can be said.
pub(super) fn message_check(profiles: BTreeMap<String, ProfilePlan>, voices: Arc<Catalogue>) -> MessageCheck {
    MessageCheck::new(move |spoken| {
        // A profile that is gone is refused elsewhere, under its own name.
        let Some(plan) = profiles.get(spoken.profile) else {
            return Ok(());
        };
        let voice = voices.voice(plan.wanted(spoken.locale, spoken.country));
        check_message(&voice, spoken.message).map_err(|error| MessageFault {
            param: error.param(),
            detail: error.to_string(),
        })
    })
}

pub(super) fn api(
    config: &Config,
    public_url: String,
    seed: [u8; 32],
    message_check: MessageCheck,
) -> Result<ApiConfig, AppError> {
    let policy = Policy::new(policy(&config.policy, live_max(config)))?;
    // The tables of the number library are read with the first number: now, not while the first request waits.
    drop(policy.read("+12025550123", None));
    let profiles = config
        .profiles
        .values()
        .map(|p| Ok((p.name.clone(), profile(config, p)?)))
        .collect::<Result<BTreeMap<_, _>, AppError>>()?;
    Ok(ApiConfig {
        public_url,
        default_profile: "default".to_owned(),
        profiles,
        policy,
        call_again_after_s: u32::try_from(config.policy.per_number.again_after.as_secs()).unwrap_or(u32::MAX),
        trunks: config
            .trunks
            .iter()
            .map(|t| CallerIds {
                trunk: t.name.clone(),
                default: t.caller_id_default.clone(),
                by_country: t.caller_id.clone(),
            })
            .collect(),
        signing_seed: Masked::new(seed),
        trusted_proxies: config.server.trusted_proxies.clone(),
        limits: HttpLimits::default(),
        message_check,
    })
}

/// Calls that both the signalling and the media of this process carry.
fn live_max(config: &Config) -> u32 {
    u32::try_from(config.sip.calls_max.min(config.media.calls_max)).unwrap_or(u32::MAX)
}

fn policy(policy: &config::Policy, live_max: u32) -> PolicySettings {
    PolicySettings {
        countries: policy.countries.clone(),
        number_validation: policy.number_validation,
        internal_numbers: policy.internal_numbers.clone(),
        per_number: NumberLimits {
            per_hour: policy.per_number.per_hour,
            per_day: policy.per_number.per_day,
            again_after_s: u32::try_from(policy.per_number.again_after.as_secs()).unwrap_or(u32::MAX),
        },
        per_end_user_per_hour: policy.per_user_per_hour,
        per_ip_per_hour: policy.per_ip_per_hour,
        per_key_per_hour: policy.per_key_per_hour,
        per_prefix_per_hour: policy.per_prefix_per_hour,
        pending_max: policy.pending_max,
        live_max,
        ..PolicySettings::default()
    }
}

fn profile(config: &Config, profile: &config::Profile) -> Result<Profile, AppError> {
    let urls = |key: &str, list: &[String]| {
        list.iter()
            .map(|url| {
                url.parse::<AllowedUrl>()
                    .map_err(|e| AppError::Config(format!("profile.{}.{key}: {e}", profile.name)))
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let mut subscription = Subscription::terminal_only();
    for event in config
        .webhook
        .progress_events
        .iter()
        .filter_map(|e| e.parse::<EventType>().ok())
    {
        subscription = subscription.with(event);
    }
    Ok(Profile {
        brand: (!profile.brand.is_empty()).then(|| profile.brand.clone()),
        confirm_key: profile.confirm_key,
        callbacks: urls("callbacks", &profile.callbacks)?,
        return_urls: urls("return_urls", &profile.return_urls)?,
        methods: profile.methods.clone(),
        callback_url: profile.callback_url.clone(),
        subscription,
        expires_in_s: u32::try_from(profile.expires_in.as_secs()).unwrap_or(u32::MAX),
    })
}

/// `None` without a secret: then no profile has callbacks, and there is nobody to tell.
pub(super) fn webhooks(config: &Config) -> Result<Option<WebhookConfig>, AppError> {
    let Some(signer) = signer(config)? else {
        return Ok(None);
    };
    let mut webhooks = WebhookConfig::new(
        signer,
        Guard::new(
            config
                .webhook
                .allow_private
                .iter()
                .filter_map(|block| block.to_string().parse().ok())
                .collect(),
        ),
    );
    webhooks.concurrency_max = config.webhook.workers;
    Ok(Some(webhooks))
}

pub(super) fn signer(config: &Config) -> Result<Option<Signer>, AppError> {
    let webhook = &config.webhook;
    if webhook.secrets.is_empty() && config.profiles.values().all(|p| p.callbacks.is_empty()) {
        return Ok(None);
    }
    Signer::new(webhook.secrets.iter().map(Masked::reveal))
        .map(Some)
        .map_err(|e| AppError::Config(format!("webhook.secret: {e}")))
}

pub(super) fn retention(config: &Config) -> Retention {
    Retention {
        personal: config.store.retention,
        ..Retention::default()
    }
}

/// Hosts whose addresses are peers.
pub(super) fn target_hosts(config: &Config) -> impl Iterator<Item = &str> {
    let targets = config.trunks.iter().flat_map(targets);
    targets.map(|target| target.host.as_str())
}

/// A registrar is one too: it sends the calls that come in for what is bound there.
fn targets(trunk: &config::Trunk) -> impl Iterator<Item = &config::TrunkTarget> {
    let registrar = trunk.register.as_ref().map(|register| &register.registrar);
    trunk.targets.iter().chain(registrar)
}

/// Addresses that may talk to us outside a call: every trunk's targets and peers. Names are looked up at the start, and
/// what they become later is known to the resolver as soon as the dialer is.
pub(super) async fn peer_check(config: &Config, resolver: &Resolver) -> PeerCheck {
    let blocks: Vec<_> = config
        .trunks
        .iter()
        .flat_map(|trunk| trunk.peers.iter().copied())
        .collect();
    let locate = |trunk: &config::Trunk, wanted: &config::TrunkTarget| {
        let (name, wanted) = (trunk.name.clone(), target(wanted));
        async move {
            if let Err(error) = resolver.locate(&wanted).await {
                tracing::warn!(trunk = %name, %error, "the target has no address yet");
            }
        }
    };
    let looks = config
        .trunks
        .iter()
        .flat_map(|trunk| targets(trunk).map(move |target| locate(trunk, target)));
    futures_util::future::join_all(looks).await;
    let resolver = resolver.clone();
    Arc::new(move |ip: IpAddr| {
        let ip = ip.to_canonical();
        resolver.has_seen(ip) || blocks.iter().any(|block| block.contains(ip))
    })
}
