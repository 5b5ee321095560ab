//! Keeps the health of every trunk's targets: pings them, hears of failed calls, tells who wants to know.
//!
//! What makes a target down is in [`policy`](crate::policy::TrunkHealth); here are the clock, the OPTIONS and the events.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;

use super::reach::Place;
use super::{Shared, Trunk};
use crate::model::EventId;
use crate::net::sip_net::{Inbound, TlsPolicy};
use crate::policy::{CallFailure, Change, Pinged, TrunkHealth};
use crate::sip::invite::TargetFailure;
use crate::sip::ping::{self, Ping, PingConfig};
use crate::sip::transaction::timer::TimerConfig;
use crate::sip::transport::Destination;
use crate::sip::uri::{Host, Uri};
use crate::store::{EventType, LooseEvent};
use crate::telemetry::wallclock;

/// How often health is looked at; a ping has its own rhythm.
const LOOK: Duration = Duration::from_secs(1);
/// How often the targets are located anew; the resolver remembers them as long as DNS says.
const LOCATE_EVERY: Duration = Duration::from_secs(5);

/// Who is told when a trunk goes down or comes up.
#[derive(Debug, Clone, Default)]
pub struct TrunkNotices {
    pub profile: String,
    pub urls: Vec<String>,
    /// `trunk.down`, `trunk.up`, both or none.
    pub kinds: Vec<EventType>,
}

/// The health of all trunks.
#[derive(Debug)]
pub(crate) struct Health {
    trunks: Mutex<BTreeMap<String, TrunkHealth<Destination>>>,
    /// Trunks that are not registered, whatever their targets do. Taken after `trunks` where both are.
    unregistered: Mutex<BTreeSet<String>>,
    /// Whether any trunk may be called.
    any_up: watch::Sender<bool>,
}

/// What selection has to know of a trunk that carries no call now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Up,
    /// Soon again.
    Rests(Instant),
    Down,
}

impl Health {
    pub(super) fn new(trunks: &[Trunk]) -> Self {
        let of = |trunk: &Trunk| (trunk.name.clone(), TrunkHealth::new(trunk.options_every));
        Self {
            trunks: Mutex::new(trunks.iter().map(of).collect()),
            unregistered: Mutex::default(),
            any_up: watch::Sender::new(true),
        }
    }

    /// New trunks (reload): those of the same name keep what is known of their targets.
    pub(super) fn replace(&self, new: &[Trunk]) {
        let mut trunks = self.trunks();
        let mut old = std::mem::take(&mut *trunks);
        for trunk in new {
            let mut health = old.remove(&trunk.name).unwrap_or_else(|| {
                metrics::gauge!("ringproof_trunk_up", "trunk" => trunk.name.clone()).set(1.0);
                TrunkHealth::new(trunk.options_every)
            });
            health.set_ping_every(trunk.options_every);
            trunks.insert(trunk.name.clone(), health);
        }
        // The exporter forgets no series: a trunk that is gone is neither up nor down.
        for gone in old.into_keys() {
            metrics::gauge!("ringproof_trunk_up", "trunk" => gone).set(f64::NAN);
        }
        let registers = |name: &String| {
            new.iter()
                .any(|trunk| trunk.name == *name && trunk.register.is_some())
        };
        self.unregistered().retain(registers);
        self.tell_any_up(&trunks);
    }

    pub(super) fn any_up(&self) -> watch::Receiver<bool> {
        self.any_up.subscribe()
    }

    /// Leaves out what is marked down.
    pub(super) fn keep_usable(&self, trunk: &str, places: &mut Vec<Place>) {
        let now = Instant::now();
        let trunks = self.trunks();
        if let Some(health) = trunks.get(trunk) {
            places.retain(|place| health.is_usable(now, &place.destination));
        }
    }

    pub(super) fn standing(&self, trunk: &str, now: Instant) -> Standing {
        let trunks = self.trunks();
        let Some(health) = trunks.get(trunk) else {
            return Standing::Up;
        };
        match health.down_until(now) {
            None => Standing::Up,
            Some(_) if health.is_down(now) => Standing::Down,
            Some(until) => Standing::Rests(until),
        }
    }

    /// A call found that a destination fails.
    pub(super) fn failed(&self, trunk: &str, destination: &Destination, failure: TargetFailure) {
        let failure = match failure {
            TargetFailure::Unsent | TargetFailure::Silent => CallFailure::Unreachable,
            TargetFailure::Unavailable { retry_after_s } => CallFailure::Unavailable { retry_after_s },
        };
        let now = Instant::now();
        self.change(trunk, |health| health.call_failed(now, destination, failure));
    }

    /// A call got an answer from it.
    pub(super) fn answered(&self, trunk: &str, destination: &Destination) {
        self.change(trunk, |health| health.call_answered(destination));
    }

    fn pinged(&self, trunk: &str, destination: &Destination, pinged: Pinged) {
        let now = Instant::now();
        self.change(trunk, |health| health.pinged(now, destination, pinged));
    }

    fn change(&self, trunk: &str, change: impl FnOnce(&mut TrunkHealth<Destination>)) {
        let mut trunks = self.trunks();
        if let Some(health) = trunks.get_mut(trunk) {
            change(health);
        }
        self.tell_any_up(&trunks);
    }

    /// A trunk that registers has a binding, or has been told that it gets none.
    pub(super) fn gate(&self, trunk: &str, is_open: bool) {
        let trunks = self.trunks();
        if is_open {
            self.unregistered().remove(trunk);
        } else {
            self.unregistered().insert(trunk.to_owned());
        }
        self.tell_any_up(&trunks);
    }

    fn tell_any_up(&self, trunks: &BTreeMap<String, TrunkHealth<Destination>>) {
        let now = Instant::now();
        let unregistered = self.unregistered();
        let carries = |(name, health): (&String, &TrunkHealth<Destination>)| {
            !health.is_down(now) && !unregistered.contains(name)
        };
        let up = trunks.is_empty() || trunks.iter().any(carries);
        drop(unregistered);
        self.any_up
            .send_if_modified(|old| std::mem::replace(old, up) != up);
    }

    /// Trunks that have gone down or come up since the last look.
    fn changes(&self) -> Vec<(String, Change)> {
        let now = Instant::now();
        let mut trunks = self.trunks();
        let changes = trunks
            .iter_mut()
            .filter_map(|(name, health)| Some((name.clone(), health.change(now)?)))
            .collect();
        self.tell_any_up(&trunks);
        changes
    }

    fn trunks(&self) -> MutexGuard<'_, BTreeMap<String, TrunkHealth<Destination>>> {
        // Nobody panics while holding it.
        self.trunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unregistered(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unregistered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop; it ends when it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for trunk in &shared.in_force().config.trunks {
        metrics::gauge!("ringproof_trunk_up", "trunk" => trunk.name.clone()).set(1.0);
    }
    let mut located: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    let mut located_at = None;
    let mut before = shared.in_force();
    loop {
        look.tick().await;
        let in_force = shared.in_force();
        if !Arc::ptr_eq(&in_force, &before) {
            // A trunk may have other targets under the same name.
            located.clear();
            located_at = None;
            before = Arc::clone(&in_force);
        }
        let trunks = &in_force.config.trunks;
        if located_at.is_none_or(|at: Instant| at.elapsed() >= LOCATE_EVERY) {
            locate(&shared, trunks, &mut located).await;
            located_at = Some(Instant::now());
        }
        for trunk in trunks {
            if let Some(places) = located.get(&trunk.name) {
                start_pings(&shared, trunk, places);
            }
        }
        for (trunk, change) in shared.health.changes() {
            tell(&shared, &trunk, change).await;
        }
    }
}

/// All trunks at once: one whose name servers are silent holds nobody up. What is not located now keeps its old places.
async fn locate(shared: &Shared, trunks: &[Trunk], located: &mut BTreeMap<String, Vec<Place>>) {
    let found = join_all(trunks.iter().map(|trunk| shared.located(trunk))).await;
    let now = Instant::now();
    for (trunk, places) in trunks.iter().zip(found) {
        let Ok(places) = places else { continue };
        let keys: Vec<Destination> = places.iter().map(|place| place.destination.clone()).collect();
        shared
            .health
            .change(&trunk.name, |health| health.set_targets(now, &keys));
        located.insert(trunk.name.clone(), places);
    }
}

fn start_pings(shared: &Arc<Shared>, trunk: &Trunk, places: &[Place]) {
    let now = Instant::now();
    let mut due = Vec::new();
    shared
        .health
        .change(&trunk.name, |health| due = health.due_pings(now));
    for destination in due {
        let port = places
            .iter()
            .find(|place| place.destination == destination)
            .and_then(|place| place.port);
        let (shared, tls, trunk) = (Arc::clone(shared), trunk.tls.clone(), trunk.name.clone());
        tokio::spawn(async move {
            let answer = ping(&shared, &destination, tls.as_ref(), port).await;
            let pinged = judge(answer);
            if pinged != Pinged::Alive {
                tracing::info!(%trunk, target = %destination.address, ?answer, "OPTIONS was not answered as by a healthy target");
            }
            shared.health.pinged(&trunk, &destination, pinged);
        });
    }
}

fn judge(answer: ping::Answer) -> Pinged {
    match answer {
        ping::Answer::Nothing | ping::Answer::Final { status: 408, .. } => Pinged::Missed,
        ping::Answer::Final {
            status: 503,
            retry_after_s,
        } => Pinged::Unavailable { retry_after_s },
        ping::Answer::Final { .. } => Pinged::Alive,
    }
}

/// One OPTIONS; whatever keeps it from being sent counts as no answer.
async fn ping(
    shared: &Shared,
    destination: &Destination,
    tls: Option<&Arc<TlsPolicy>>,
    port: Option<u16>,
) -> ping::Answer {
    let nothing = ping::Answer::Nothing;
    let (Ok(mut entropy), Ok(local)) = (
        crate::telemetry::entropy(),
        shared.sip.local_for(destination, tls).await,
    ) else {
        return nothing;
    };
    let in_force = shared.in_force();
    let call_id = entropy.token();
    let Ok((_guard, mut inbound)) = shared.sip.register(&call_id) else {
        return nothing;
    };
    let host: Host = destination
        .host
        .parse()
        .unwrap_or_else(|_| destination.address.ip().into());
    let config = PingConfig {
        target: destination.address,
        local: local.address,
        public: local.public,
        transport: destination.transport,
        request_uri: Uri::sip(None, host, port),
        user: "ringproof".to_owned(),
        user_agent: in_force.config.user_agent.clone(),
        call_id,
        timers: TimerConfig {
            t1: in_force.config.t1,
            ..TimerConfig::default()
        },
    };
    let mut ping = Ping::start(Instant::now(), config, entropy);
    loop {
        for (_, bytes) in ping.take_sends() {
            if shared.sip.send(destination, tls, &bytes).await.is_err() {
                return nothing;
            }
        }
        let Some((deadline, _)) = ping.poll_timeout() else {
            return nothing;
        };
        let input = tokio::select! {
            inbound = inbound.recv() => match inbound {
                Some(Inbound { message, source, .. }) => ping::Input::Message { message, source },
                None => return nothing,
            },
            () = tokio::time::sleep_until(deadline.into()) => ping::Input::Timeout,
        };
        if let Some(answer) = ping.handle(Instant::now(), input) {
            return answer;
        }
    }
}

/// Log, metric, webhook.
async fn tell(shared: &Shared, trunk: &str, change: Change) {
    let (kind, up) = match change {
        Change::Down => (EventType::TrunkDown, 0.0),
        Change::Up => (EventType::TrunkUp, 1.0),
    };
    metrics::gauge!("ringproof_trunk_up", "trunk" => trunk.to_owned()).set(up);
    match change {
        Change::Down => tracing::warn!(%trunk, "the trunk is down: none of its targets can be called"),
        Change::Up => tracing::info!(%trunk, "the trunk is up again"),
    }
    let in_force = shared.in_force();
    let notices = &in_force.config.trunk_notices;
    if !notices.kinds.contains(&kind) {
        return;
    }
    let at = wallclock();
    for url in &notices.urls {
        let Ok(mut entropy) = crate::telemetry::entropy() else {
            return;
        };
        let body = json!({
            "type": kind.as_str(),
            "timestamp": at.to_rfc3339(),
            "data": { "trunk": trunk, "node": in_force.config.node },
        });
        let event = LooseEvent {
            id: EventId::generate(at, &mut entropy),
            kind,
            profile: notices.profile.clone(),
            url: url.clone(),
            body: body.to_string(),
            at,
        };
        if let Err(error) = shared.store.enqueue(event).await {
            tracing::warn!(%trunk, %kind, %error, "the event was not written");
        }
    }
}
