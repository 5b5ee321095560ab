//! Keeps a trunk that knows us by a login registered: one task a trunk pumps one
//! [`Registration`](crate::sip::registration::Registration).
//!
//! ```text
//! look up the registrar ─► Registration ─► datagrams
//!      ▲                        └─► Registered: the trunk opens, its calls take the Service-Route
//!      └── looked up again ◄──────── Failed: it closes, unless the binding still stands
//! ```
//! What the tasks know is in [`Bindings`]: the selection loop reads from it which trunks carry calls, a call its route.
//! INVITEs still go to the trunk's own targets, which are the outbound proxy before that route (RFC 3608 §5).
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{DialerConfig, Shared, Trunk};
use crate::model::{Entropy, Masked};
use crate::net::resolver::Resolver;
use crate::net::sip_net::{CallQueue, Connection, Inbound, Local, RouteGuard, SipNet, TlsPolicy};
use crate::policy::Gate;
use crate::sip::locate::Target;
use crate::sip::message::NameAddr;
use crate::sip::registration::{Event, Failure, Input, Output, Registration, RegistrationConfig};
use crate::sip::transaction::timer::TimerConfig;
use crate::sip::transport::{Destination, SipTransport};
use crate::sip::uri::Uri;

/// Until a name that led nowhere is looked up again.
const LOOKUP_REST: Duration = Duration::from_secs(30);
/// How long a stop waits for the registrar's word; the binding ends by itself anyhow.
const LEAVE_MAX: Duration = Duration::from_secs(4);

/// What a trunk registers, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    pub registrar: Target,
    /// `sip:user@domain`.
    pub aor: Uri,
    pub contact_user: String,
    pub expires_s: u32,
}

/// How each trunk that registers stands, by name.
#[derive(Debug, Default)]
pub(super) struct Bindings(Mutex<BTreeMap<String, Binding>>);

#[derive(Debug, Clone, PartialEq)]
struct Binding {
    gate: Gate,
    service_route: Vec<NameAddr>,
}

impl Bindings {
    pub(super) fn new(trunks: &[Trunk]) -> Self {
        let bindings = Self::default();
        bindings.replace(trunks);
        bindings
    }

    /// New trunks (reload): how those stand that registered before is kept.
    pub(super) fn replace(&self, trunks: &[Trunk]) {
        let mut bindings = self.lock();
        let mut old = std::mem::take(&mut *bindings);
        for trunk in trunks.iter().filter(|trunk| trunk.register.is_some()) {
            let asking = || Binding {
                gate: Gate::Waits,
                service_route: Vec::new(),
            };
            let binding = old.remove(&trunk.name).unwrap_or_else(asking);
            bindings.insert(trunk.name.clone(), binding);
        }
    }

    /// Trunks that register; every other is open.
    pub(super) fn gates(&self) -> BTreeMap<String, Gate> {
        let bindings = self.lock();
        let gate = |(name, binding): (&String, &Binding)| (name.clone(), binding.gate.clone());
        bindings.iter().map(gate).collect()
    }

    /// The preloaded route of this trunk's calls (RFC 3608).
    pub(super) fn route(&self, trunk: &str) -> Vec<NameAddr> {
        self.lock()
            .get(trunk)
            .map(|binding| binding.service_route.clone())
            .unwrap_or_default()
    }

    /// `None`: the trunk registers no more. Else whether that was not known.
    fn set(&self, trunk: &str, gate: Gate, service_route: Vec<NameAddr>) -> Option<bool> {
        let mut bindings = self.lock();
        let known = bindings.get_mut(trunk)?;
        let changed = known.gate != gate;
        *known = Binding { gate, service_route };
        Some(changed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Binding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks of all trunks that register, by the trunk's name.
#[derive(Default)]
pub(super) struct Registrars(BTreeMap<String, Keeper>);

struct Keeper {
    /// What it registers and as whom; a change of it is another binding.
    what: (Register, Option<Login>),
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Username, password, realm.
type Login = (String, Masked<String>, Option<String>);

impl Registrars {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let mut registrars = Self::default();
        registrars.replace(shared, &shared.in_force().config.trunks);
        registrars
    }

    /// New trunks (reload): a binding that none of them wants is taken away, one that they want otherwise is made anew
    /// after that, and every other stays.
    pub(super) fn replace(&mut self, shared: &Arc<Shared>, trunks: &[Trunk]) {
        let mut old = std::mem::take(&mut self.0);
        for trunk in trunks {
            let Some(register) = &trunk.register else { continue };
            let credentials = trunk.credentials.as_ref();
            let login =
                credentials.map(|own| (own.username.clone(), own.password.clone(), own.realm.clone()));
            let what = (register.clone(), login);
            let keeper = match old.remove(&trunk.name) {
                Some(keeper) if keeper.what == what => keeper,
                former => Keeper::start(shared, trunk, what, former),
            };
            self.0.insert(trunk.name.clone(), keeper);
        }
        for (_, keeper) in old {
            tokio::spawn(keeper.end_by(tokio::time::Instant::now() + LEAVE_MAX));
        }
    }

    /// Takes every binding away.
    pub(super) async fn stop(self) {
        let deadline = tokio::time::Instant::now() + LEAVE_MAX;
        let ends = self.0.into_values().map(|keeper| keeper.end_by(deadline));
        futures_util::future::join_all(ends).await;
    }
}

impl Keeper {
    fn start(
        shared: &Arc<Shared>,
        trunk: &Trunk,
        what: (Register, Option<Login>),
        former: Option<Self>,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let (shared, trunk, stopped) = (Arc::clone(shared), trunk.clone(), stop.subscribe());
        let register = what.0.clone();
        let task = tokio::spawn(async move {
            if let Some(former) = former {
                former.end_by(tokio::time::Instant::now() + LEAVE_MAX).await;
                shared.bindings.set(&trunk.name, Gate::Waits, Vec::new());
                shared.health.gate(&trunk.name, true);
            }
            keep(shared, trunk, register, stopped).await;
        });
        Self { what, stop, task }
    }

    /// Takes the binding away.
    async fn end_by(self, deadline: tokio::time::Instant) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// One way to the registrar, and what it knows us by there.
#[derive(Debug, Clone)]
struct Way {
    to: Destination,
    local: Local,
}

/// The way whose turn it is.
async fn way(
    resolver: &Resolver,
    sip: &SipNet,
    trunk: &Trunk,
    registrar: &Target,
    turn: usize,
) -> Result<Way, String> {
    let mut found = resolver
        .locate(registrar)
        .await
        .map_err(|error| error.to_string())?;
    // TLS needs somebody to believe.
    found.retain(|to| to.transport != SipTransport::Tls || trunk.tls.is_some());
    let mut failure = format!("{} has no address", registrar.host);
    let in_turn = found.iter().cycle().skip(turn % found.len().max(1));
    for to in in_turn.take(found.len()) {
        if let Err(error) = sip.has_way(to.transport, to.address) {
            failure = error.to_string();
            continue;
        }
        match sip.local_for(to, trunk.tls.as_ref()).await {
            Ok(local) => {
                return Ok(Way {
                    to: to.clone(),
                    local,
                });
            }
            Err(error) => failure = error.to_string(),
        }
    }
    Err(failure)
}

fn registration(
    config: &DialerConfig,
    trunk: &Trunk,
    register: &Register,
    way: &Way,
    call_id: String,
    entropy: Entropy,
) -> Registration {
    // RFC 3261 §10.2: the domain of the address, without a user.
    let request_uri = match register.aor.host() {
        Some(host) => Uri::sip(None, host.clone(), register.aor.port()),
        None => register.aor.clone(),
    };
    let config = RegistrationConfig {
        target: way.to.address,
        local: way.local.address,
        public: way.local.public,
        transport: way.to.transport,
        request_uri,
        aor: register.aor.clone(),
        contact_user: register.contact_user.clone(),
        expires_s: register.expires_s,
        user_agent: config.user_agent.clone(),
        call_id,
        credentials: trunk.credentials.clone(),
        timers: TimerConfig {
            t1: config.t1,
            ..TimerConfig::default()
        },
    };
    Registration::start(Instant::now(), config, entropy)
}

/// Moves octets and messages for one machine.
struct Pump<'a> {
    sip: &'a SipNet,
    machine: Registration,
    to: Destination,
    tls: Option<Arc<TlsPolicy>>,
    /// That the last REGISTER went over, until it ends.
    connection: Option<Connection>,
    inbound: CallQueue,
    _route: RouteGuard,
}

impl Pump<'_> {
    /// Until the next event; `None` when the machine is over.
    async fn next(&mut self, stop: &mut watch::Receiver<bool>, stopping: &mut bool) -> Option<Event> {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Event(event) => return Some(event),
                    Output::Transmit { bytes, .. } => self.send(&bytes).await,
                }
            }
            if self.machine.is_over() {
                return None;
            }
            let input = self.input(stop, stopping).await;
            if matches!(input, Input::Timeout) && self.machine.is_about_to_ask(Instant::now()) {
                self.find_ourselves().await;
            }
            self.machine.handle_input(Instant::now(), input);
        }
    }

    /// Our own side may be another since the last REGISTER: a connection that was made anew has another port.
    async fn find_ourselves(&mut self) {
        if let Ok(local) = self.sip.local_for(&self.to, self.tls.as_ref()).await {
            self.take(Way {
                to: self.to.clone(),
                local,
            });
        }
    }

    /// The only place where a REGISTER leaves.
    async fn send(&mut self, octets: &[u8]) {
        match self.sip.send(&self.to, self.tls.as_ref(), octets).await {
            Ok(connection) => self.connection = connection,
            Err(error) => {
                tracing::debug!(to = %self.to, %error, "a REGISTER was not sent");
                self.machine.handle_input(Instant::now(), Input::TransportError);
            }
        }
    }

    async fn input(&mut self, stop: &mut watch::Receiver<bool>, stopping: &mut bool) -> Input {
        let deadline = self.machine.poll_timeout().map(|(at, _)| at);
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let connection = self.connection.clone();
        let lost = async {
            match &connection {
                Some(connection) => connection.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // An answer that came before the end of its connection counts.
            biased;
            // The queue lives as long as the route that is held here.
            Some(Inbound { message, source, .. }) = self.inbound.recv() => Input::Message { message: Box::new(message), source },
            () = timer => Input::Timeout,
            () = lost => {
                self.connection = None;
                Input::TransportError
            }
            // A sender that is gone means the same.
            _ = stop.changed(), if !*stopping => {
                *stopping = true;
                Input::Stop
            }
        }
    }

    /// Another way from the next REGISTER on, unless one is under way.
    fn take(&mut self, way: Way) {
        let Local { address, public } = way.local;
        let is_taken = self
            .machine
            .retarget(way.to.address, address, public, way.to.transport);
        if is_taken {
            self.to = way.to;
        }
    }
}

/// One trunk's task.
async fn keep(shared: Arc<Shared>, mut trunk: Trunk, register: Register, mut stop: watch::Receiver<bool>) {
    metrics::gauge!("ringproof_trunk_registered", "trunk" => trunk.name.clone()).set(0.0);
    let Some(mut pump) = first(&shared, &trunk, &register, &mut stop).await else {
        return;
    };
    let (mut turn, mut stopping) = (0, false);
    while let Some(event) = pump.next(&mut stop, &mut stopping).await {
        note(&shared, &trunk.name, &event);
        // Certificates may have been read again.
        let newest = shared.in_force();
        if let Some(newest) = newest
            .config
            .trunks
            .iter()
            .find(|newest| newest.name == trunk.name)
        {
            trunk.tls.clone_from(&newest.tls);
            pump.tls.clone_from(&newest.tls);
        }
        let Event::Failed { why, .. } = event else {
            continue;
        };
        if matches!(why, Failure::Silent | Failure::Transport) {
            turn += 1;
        }
        let found = way(&shared.resolver, &shared.sip, &trunk, &register.registrar, turn);
        // Without an answer from DNS the address that is known serves on.
        if let Ok(way) = found.await {
            pump.take(way);
        }
    }
}

/// Looks the registrar up until it has an address; `None` when there is a stop before.
async fn first<'a>(
    shared: &'a Shared,
    trunk: &Trunk,
    register: &Register,
    stop: &mut watch::Receiver<bool>,
) -> Option<Pump<'a>> {
    loop {
        let in_force = shared.in_force();
        match begin(&shared.resolver, &shared.sip, &in_force.config, trunk, register).await {
            Ok(pump) => return Some(pump),
            Err(error) => closed(shared, &trunk.name, &error, LOOKUP_REST),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOKUP_REST) => {}
            _ = stop.changed() => return None,
        }
    }
}

async fn begin<'a>(
    resolver: &Resolver,
    sip: &'a SipNet,
    config: &DialerConfig,
    trunk: &Trunk,
    register: &Register,
) -> Result<Pump<'a>, String> {
    let mut entropy = crate::telemetry::entropy().map_err(|error| error.to_string())?;
    let way = way(resolver, sip, trunk, &register.registrar, 0).await?;
    let call_id = entropy.token();
    let (route, inbound) = sip.register(&call_id).map_err(|error| error.to_string())?;
    Ok(Pump {
        sip,
        machine: registration(config, trunk, register, &way, call_id, entropy),
        to: way.to,
        tls: trunk.tls.clone(),
        connection: None,
        inbound,
        _route: route,
    })
}

fn note(shared: &Shared, trunk: &str, event: &Event) {
    match event {
        Event::Registered {
            granted,
            service_route,
            ..
        } => {
            let (seconds, routes) = (granted.as_secs(), service_route.len());
            let Some(is_news) = shared.bindings.set(trunk, Gate::Open, service_route.clone()) else {
                return;
            };
            if is_news {
                tracing::info!(trunk, routes, "registered for {seconds} s");
            } else {
                tracing::debug!(trunk, routes, "registered again for {seconds} s");
            }
            shared.health.gate(trunk, true);
            metrics::gauge!("ringproof_trunk_registered", "trunk" => trunk.to_owned()).set(1.0);
            shared.room.notify_one();
        }
        Event::Failed { why, retry_at, bound } => {
            let rest = retry_at.saturating_duration_since(Instant::now());
            metrics::counter!("ringproof_register_failures_total", "trunk" => trunk.to_owned()).increment(1);
            if bound.is_some() {
                tracing::warn!(trunk, error = %why, "the registration was not refreshed and still stands; again in {} s", rest.as_secs());
            } else {
                closed(shared, trunk, &why.to_string(), rest);
            }
        }
        Event::Lapsed => closed(shared, trunk, "the registration has lapsed", Duration::ZERO),
        Event::Unregistered => {
            let gate = Gate::Closed("unregistered".to_owned());
            let is_known = shared.bindings.set(trunk, gate, Vec::new()).is_some();
            if is_known {
                shared.health.gate(trunk, false);
            }
            // The exporter forgets no series: a trunk that registers no more is neither.
            let value = if is_known { 0.0 } else { f64::NAN };
            metrics::gauge!("ringproof_trunk_registered", "trunk" => trunk.to_owned()).set(value);
            tracing::info!(trunk, "unregistered");
        }
    }
}

/// Calls go over the next trunk until a REGISTER gets through.
fn closed(shared: &Shared, trunk: &str, why: &str, rest: Duration) {
    let gate = Gate::Closed(format!("not registered: {why}"));
    if shared.bindings.set(trunk, gate, Vec::new()).is_none() {
        return;
    }
    shared.health.gate(trunk, false);
    metrics::gauge!("ringproof_trunk_registered", "trunk" => trunk.to_owned()).set(0.0);
    tracing::warn!(
        trunk,
        error = why,
        "the trunk is not registered and carries no calls; again in {} s",
        rest.as_secs()
    );
    shared.room.notify_one();
}

/// What a trial registration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    Registered {
        granted: Duration,
        /// Hops of the Service-Route.
        routes: usize,
    },
    Failed(Failure),
    /// No answer in this time.
    Silent(Duration),
    /// No address, no route, or no place.
    NotSent(String),
}

/// Registers the trunk once and takes the binding away again. `None` where it does not register.
pub async fn try_registration(
    sip: &SipNet,
    resolver: &Resolver,
    config: &DialerConfig,
    trunk: &Trunk,
    patience: Duration,
) -> Option<Tried> {
    let register = trunk.register.as_ref()?;
    let mut pump = match begin(resolver, sip, config, trunk, register).await {
        Ok(pump) => pump,
        Err(error) => return Some(Tried::NotSent(error)),
    };
    // Held to the end: a sender that is gone is a stop.
    let held = watch::Sender::new(false);
    let (mut stop, mut stopping) = (held.subscribe(), false);
    let heard = tokio::time::timeout(patience, pump.next(&mut stop, &mut stopping)).await;
    let tried = match heard {
        Ok(Some(Event::Registered {
            granted,
            service_route,
            ..
        })) => Tried::Registered {
            granted,
            routes: service_route.len(),
        },
        Ok(Some(Event::Failed { why, .. })) => Tried::Failed(why),
        Ok(Some(Event::Lapsed | Event::Unregistered) | None) | Err(_) => Tried::Silent(patience),
    };
    if matches!(tried, Tried::Silent(_)) {
        // Nobody would answer the removal either.
        return Some(tried);
    }
    held.send_replace(true);
    let leave = async { while pump.next(&mut stop, &mut stopping).await.is_some() {} };
    // The binding ends by itself when nobody answers.
    let _ = tokio::time::timeout(LEAVE_MAX, leave).await;
    Some(tried)
}
