//! The carrier: takes INVITEs, finds the callee, gives each call a task.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::callee::{Callee, Rejection, Srtp, Step, canonical};
use super::ear::Memory;
use super::phone;
use super::record::Records;
use super::registrar::{Registered, Registrar, RegistrarRules};
use crate::media::voice::Voice;
use crate::model::{Codec, Entropy};
use crate::net::media_engine::{EngineConfig, EngineError, MediaEngine};
use crate::net::sip_net::{BindError, Flow, Inbound, SipNet, SipNetConfig, TlsServerConfig, routes_for};
use crate::sdp;
use crate::sip::message::{Message, Method, Request, Response};
use crate::sip::transport::{Destination, SipTransport};
use crate::telemetry::{NoEntropy, entropy, wallclock};

/// Numbers that have a callee.
const CALLEES_MAX: usize = 10_000;

/// How the box is set up.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// SIP over UDP; port 0 lets the kernel choose.
    pub sip: SocketAddr,
    /// SIP over TCP and TLS as well.
    pub streams: Vec<(SipTransport, SocketAddr)>,
    /// For TLS.
    pub tls: Option<TlsServerConfig>,
    pub rtp_ports: RangeInclusive<u16>,
    /// By called number, as it stands in the Request-URI with a `+`.
    pub callees: BTreeMap<String, Callee>,
    /// Languages whose sentences the callees know.
    pub voices: Vec<Arc<Voice>>,
    /// In the order of preference.
    pub codecs: Vec<Codec>,
    pub calls_max: usize,
    pub registrar: RegistrarRules,
}

#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error("simulator: {0}")]
    Sip(#[from] BindError),
    #[error("simulator: {0}")]
    Media(#[from] EngineError),
    #[error("simulator: {0}")]
    Entropy(#[from] NoEntropy),
}

/// What every call and the HTTP side share.
pub(super) struct Exchange {
    pub(super) sip: SipNet,
    pub(super) media: MediaEngine,
    pub(super) memory: Memory,
    pub(super) voices: Vec<Arc<Voice>>,
    pub(super) codecs: Vec<Codec>,
    pub(super) records: Records,
    registrar: Registrar,
    callees: RwLock<BTreeMap<String, Callee>>,
    codes: Mutex<BTreeMap<String, String>>,
    tries: Mutex<BTreeMap<String, u32>>,
    pub(super) chaos: RwLock<Chaos>,
    entropy: Mutex<Entropy>,
}

/// Trouble for every call, on top of what a callee does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chaos {
    /// Part of the SIP messages from the callee that are lost, per mille.
    pub sip_loss_per_mille: u16,
    /// Part of the RTP packets from the callee that are lost, per mille.
    pub rtp_loss_per_mille: u16,
}

/// The running box.
pub struct Simulator {
    /// Where SIP listens.
    pub sip: SocketAddr,
    exchange: Arc<Exchange>,
    carrier: JoinHandle<()>,
}

impl Simulator {
    pub fn start(config: SimConfig) -> Result<Self, SimError> {
        let media = MediaEngine::start(EngineConfig {
            threads: 1,
            ports: config.rtp_ports,
            bind: config.sip.ip(),
            calls_max: config.calls_max,
            // Callees of a test answer even on a host that stalls: a 503 would be a fault that nobody scripted.
            refuse_when_late: false,
            files_max: None,
            pin: None,
            entropy: entropy()?,
        })?;
        // A test carrier answers whoever calls it.
        let listen = std::iter::once((SipTransport::Udp, config.sip)).chain(config.streams);
        let mut transports =
            SipNetConfig::plain(listen, routes_for(config.calls_max), Arc::new(|_: IpAddr| true));
        transports.tls = config.tls;
        let (sip, inbound) = SipNet::bind(transports)?;
        let address = sip.local_of(SipTransport::Udp).unwrap_or(config.sip);
        let exchange = Arc::new(Exchange {
            sip,
            media,
            memory: Memory::of(&config.voices, &config.codecs),
            voices: config.voices,
            codecs: config.codecs,
            records: Records::default(),
            registrar: Registrar::new(config.registrar),
            callees: RwLock::new(config.callees),
            codes: Mutex::default(),
            tries: Mutex::default(),
            chaos: RwLock::default(),
            entropy: Mutex::new(entropy()?),
        });
        let carrier = tokio::spawn(serve(Arc::clone(&exchange), inbound));
        Ok(Self {
            sip: address,
            exchange,
            carrier,
        })
    }

    /// Where SIP over TCP or TLS listens.
    #[must_use]
    pub fn listens(&self, transport: SipTransport) -> Option<SocketAddr> {
        self.exchange.sip.local_of(transport)
    }

    pub(super) fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Exchange {
    pub(super) fn entropy(&self) -> Entropy {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }

    pub(super) fn callees(&self) -> BTreeMap<String, Callee> {
        self.callees
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// False when there is no room for another number.
    pub(super) fn set_callee(&self, number: &str, callee: Callee) -> bool {
        let mut callees = self.callees.write().unwrap_or_else(PoisonError::into_inner);
        if callees.len() >= CALLEES_MAX && !callees.contains_key(number) {
            return false;
        }
        callees.insert(number.to_owned(), callee);
        drop(callees);
        self.tries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(number);
        true
    }

    /// The digits that [`Step::PressCode`] keys at this number; false when there is no room for another number.
    pub(super) fn set_code(&self, number: &str, code: &str) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= CALLEES_MAX && !codes.contains_key(number) {
            return false;
        }
        codes.insert(number.to_owned(), code.to_owned());
        drop(codes);
        self.records.touch();
        true
    }

    pub(super) fn code(&self, number: &str) -> Option<String> {
        self.codes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(number)
            .cloned()
    }

    pub(super) fn forget(&self) {
        self.records.clear();
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether a clip ends one of these phrases: it is the last item, or a digit where that is a digit.
    pub(super) fn ends_phrase(&self, clip: &str, wanted: &[&str]) -> bool {
        self.voices
            .iter()
            .flat_map(|voice| voice.phrases())
            .filter(|(name, _)| wanted.contains(name))
            .filter_map(|(_, items)| items.last())
            .any(|last| match last.strip_prefix("digit:") {
                Some(_) => clip.starts_with("digit-"),
                None => last == clip,
            })
    }

    /// Bindings that stand.
    pub(super) fn registrations(&self) -> Vec<Registered> {
        self.registrar.list(Instant::now())
    }

    /// Answers a REGISTER.
    async fn register(&self, inbound: &Inbound, request: &Request) {
        let response = self.registrar.answer(
            request,
            self.route_to(inbound).await,
            Instant::now(),
            &mut self.entropy(),
        );
        let (flow, local, to) = (&inbound.flow, inbound.local, inbound.source);
        if let Err(error) = self.sip.answer(flow, local, to, &response.to_bytes()).await {
            tracing::debug!(%error, "an answer to a REGISTER was not sent");
        }
    }

    /// Where calls of whoever sent this may go. A listener on all addresses has none of its own.
    async fn route_to(&self, inbound: &Inbound) -> SocketAddr {
        if inbound.flow.transport().is_stream() {
            return inbound.local;
        }
        let back = Destination {
            transport: SipTransport::Udp,
            address: inbound.source,
            host: inbound.source.ip().to_string(),
        };
        let local = self.sip.local_for(&back, None).await;
        local.map_or(inbound.local, |local| local.address)
    }

    /// Answers a request that belongs to no call.
    pub(super) async fn reply(
        &self,
        flow: &Flow,
        local: SocketAddr,
        to: SocketAddr,
        request: &Request,
        status: u16,
    ) {
        let response = Response::reply_to(request, status, None).with_to_tag(&self.entropy().token());
        let sent = self.sip.answer(flow, local, to, &response.to_bytes()).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was not sent");
        }
    }

    /// Whether the phone of this number takes no RTP/SAVP, and the offer of this new call is one.
    fn refuses(&self, number: &str, request: &Request) -> bool {
        let takes_none = |callee: &Callee| callee.srtp == Srtp::Refused;
        let callees = self.callees.read().unwrap_or_else(PoisonError::into_inner);
        let offer = request.body_of_type("application/sdp").unwrap_or_default();
        let is_new = request.headers.to().is_ok_and(|to| to.tag().is_none());
        is_new && callees.get(number).is_some_and(takes_none) && sdp::wants_srtp(offer)
    }

    /// What the phone of this number does now, its first tries counted.
    fn answer_for(&self, number: &str) -> Callee {
        let found = self
            .callees
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(number)
            .cloned();
        let Some(mut callee) = found else {
            let rejection = Rejection {
                status: 404,
                phrase: None,
                headers: BTreeMap::new(),
            };
            return Callee::rejecting("nobody has this number", rejection);
        };
        if let Some(first) = callee.at_first.take() {
            let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
            let made = tries.entry(number.to_owned()).or_default();
            *made += 1;
            if *made <= first.calls {
                callee.steps = vec![Step::Reject(first.reject)];
            }
        }
        callee
    }
}

async fn serve(exchange: Arc<Exchange>, mut inbound: mpsc::Receiver<Inbound>) {
    while let Some(inbound) = inbound.recv().await {
        let Message::Request(request) = &inbound.message else {
            continue;
        };
        match request.method {
            Method::Invite => ring(&exchange, inbound),
            Method::Register => exchange.register(&inbound, request).await,
            Method::Options => answer(&exchange, &inbound, request, 200).await,
            // An ACK has no answer.
            Method::Ack => {}
            _ => answer(&exchange, &inbound, request, 481).await,
        }
    }
}

async fn answer(exchange: &Exchange, inbound: &Inbound, request: &Request, status: u16) {
    exchange
        .reply(&inbound.flow, inbound.local, inbound.source, request, status)
        .await;
}

/// Gives the call a task, unless one has it: the INVITE may be a repetition that crossed.
fn ring(exchange: &Arc<Exchange>, inbound: Inbound) {
    let Message::Request(request) = &inbound.message else {
        return;
    };
    let Ok(call_id) = request.headers.call_id().map(str::to_owned) else {
        return;
    };
    let number = called_number(request);
    if exchange.refuses(&number, request) {
        let exchange = Arc::clone(exchange);
        tokio::spawn(async move {
            if let Message::Request(request) = &inbound.message {
                answer(&exchange, &inbound, request, 488).await;
            }
        });
        return;
    }
    let caller = request
        .headers
        .from()
        .ok()
        .and_then(|f| f.uri.user().map(str::to_owned))
        .unwrap_or_default();
    let Ok((route, messages)) = exchange.sip.register(&call_id) else {
        let _ = exchange.sip.reroute(inbound);
        return;
    };
    let callee = exchange.answer_for(&number);
    let id = format!("sim_{}", &exchange.entropy().token()[..16]);
    let record = exchange
        .records
        .begin(id, &call_id, &number, &caller, &callee.about, wallclock());
    tracing::info!(callee = %callee.about, "a call has come in");
    tokio::spawn(phone::run(
        Arc::clone(exchange),
        callee,
        number,
        record,
        inbound,
        route,
        messages,
    ));
}

/// As the callees are kept, whatever form the trunk was configured for.
fn called_number(request: &Request) -> String {
    canonical(request.uri.user().unwrap_or_default())
}
