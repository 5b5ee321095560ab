//! From due attempts to calls.
//!
//! [`Dialer::start`] runs one selection loop; each attempt that it picks becomes one task, which claims the attempt,
//! pumps one [`Call`](crate::call::Call) and writes its stages and outcome. The dialer meets the API and the webhooks
//! only in the store.
//!
//! Invariants:
//! - Nothing is sent before the claim is committed (SAFETY 1).
//! - A trunk never gets more new calls a second, nor more at the same time, than it is configured for.
//! - After [`Dialer::drain`] no attempt is started; live calls finish or are canceled with `shutdown`.
mod call_task;
mod carriage;
mod health;
mod ledger;
mod lingering;
mod plan;
mod presentation;
mod probe;
mod reach;
mod recording;
mod registrar;
mod selection;
mod soon;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use health::TrunkNotices;
pub use plan::{ProfilePlan, Trunk};
#[cfg(test)]
pub(crate) use plan::{Wire, invite};
pub use presentation::{Diversion, NumberFormat, Presentation};
pub use probe::{Answer, Auth, Heard, PROBES_MAX, Probe, probe};
#[cfg(test)]
pub(crate) use reach::Place;
pub use reach::TargetError;
pub use recording::Recording;
pub use registrar::{Register, Tried, try_registration};

use crate::model::{AttemptId, Reason};
use crate::net::mailbox::Sender;
use crate::net::media_engine::MediaEngine;
use crate::net::resolver::Resolver;
use crate::net::sip_net::SipNet;
use crate::prompt::Catalogue;
use crate::store::{DueAttempt, OverloadGate, Store};

/// What the dialer needs to know; `app` makes it from the configuration.
#[derive(Debug, Clone)]
pub struct DialerConfig {
    /// Name of this process in `dialing(node)` rows.
    pub node: String,
    /// In order of preference.
    pub trunks: Vec<Trunk>,
    pub profiles: BTreeMap<String, ProfilePlan>,
    pub user_agent: String,
    /// Static NAT: what Via, Contact and SDP say.
    pub public_address: Option<IpAddr>,
    /// RFC 3261 T1.
    pub t1: Duration,
    /// Calls of this process at the same time.
    pub calls_max: usize,
    /// How long a number that reported fraud is not called; zero: it is not blocked.
    pub fraud_block: Duration,
    pub trunk_notices: TrunkNotices,
    /// `None`: no RTP is recorded. A reload keeps what is in force.
    pub recording: Option<Recording>,
}

/// What a reload replaces as a whole. Each call is built from the one that it began with.
pub(crate) struct InForce {
    config: DialerConfig,
    /// Those of the configuration, to be shared with each call.
    trunks: Vec<Arc<Trunk>>,
    voices: Arc<Catalogue>,
}

impl InForce {
    fn new(config: DialerConfig, voices: Arc<Catalogue>) -> Arc<Self> {
        let trunks = config.trunks.iter().cloned().map(Arc::new).collect();
        Arc::new(Self {
            config,
            trunks,
            voices,
        })
    }
}

/// What the selection loop and every call task share.
pub(crate) struct Shared {
    in_force: RwLock<Arc<InForce>>,
    store: Store,
    media: MediaEngine,
    sip: SipNet,
    resolver: Resolver,
    health: health::Health,
    /// How the trunks that register stand.
    bindings: registrar::Bindings,
    /// Live calls, so that a cancel finds its task.
    live: Mutex<BTreeMap<AttemptId, Sender<Reason>>>,
    /// A call has ended: there may be room for the next.
    room: Notify,
    /// Told which accepted calls have had their turn.
    gate: OverloadGate,
    /// No attempt is started any more.
    draining: AtomicBool,
}

/// An attempt and the trunk that it goes over.
pub(crate) struct Start {
    due: DueAttempt,
    in_force: Arc<InForce>,
    trunk: Arc<Trunk>,
    /// Trunks that could carry it after this one.
    untried: usize,
}

/// The running dialer.
pub struct Dialer {
    shared: Arc<Shared>,
    accepting: watch::Sender<bool>,
    selection: JoinHandle<()>,
    health: JoinHandle<()>,
    registrars: registrar::Registrars,
}

impl Dialer {
    #[must_use]
    pub fn start(
        config: DialerConfig,
        store: Store,
        media: MediaEngine,
        sip: SipNet,
        resolver: Resolver,
        voices: Arc<Catalogue>,
        gate: OverloadGate,
    ) -> Self {
        let health = health::Health::new(&config.trunks);
        let bindings = registrar::Bindings::new(&config.trunks);
        let shared = Arc::new(Shared {
            bindings,
            in_force: RwLock::new(InForce::new(config, voices)),
            store,
            media,
            sip,
            resolver,
            health,
            live: Mutex::default(),
            room: Notify::new(),
            gate,
            draining: AtomicBool::new(false),
        });
        let accepting = watch::Sender::new(true);
        let selection = tokio::spawn(selection::run(Arc::clone(&shared), accepting.subscribe()));
        let health = tokio::spawn(health::run(Arc::clone(&shared)));
        let registrars = registrar::Registrars::start(&shared);
        Self {
            shared,
            accepting,
            selection,
            health,
            registrars,
        }
    }

    /// Whether any trunk can be called; changes as their targets go down and come up.
    #[must_use]
    pub fn trunks_up(&self) -> watch::Receiver<bool> {
        self.shared.health.any_up()
    }

    /// Takes new trunks, profiles and recordings at once; live calls keep what they began with. The name of the node
    /// and what the listeners are bound to need a restart.
    pub fn reload(&mut self, mut config: DialerConfig, voices: Arc<Catalogue>) {
        let shared = &self.shared;
        config.recording = shared.in_force().config.recording.clone();
        let new = InForce::new(config, voices);
        shared.health.replace(&new.config.trunks);
        shared.bindings.replace(&new.config.trunks);
        *shared.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        self.registrars.replace(shared, &new.config.trunks);
        // There may be a trunk now for what has waited.
        shared.room.notify_one();
    }

    /// Calls that are live now.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.shared.live().len()
    }

    /// Starts no more attempts, lets live calls finish for `limit`, then cancels them and waits for their outcomes, and
    /// takes the trunks' registrations away.
    /// Returns how many had to be canceled.
    pub async fn drain(self, limit: Duration) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.accepting.send_replace(false);
        self.idle_by(Instant::now() + limit).await;
        let told: Vec<Sender<Reason>> = self.shared.live().values().cloned().collect();
        for cancel in &told {
            // A full queue holds a cancel already.
            let _ = cancel.try_send(Reason::Shutdown);
        }
        // BYE or CANCEL and its answer: Timer F rules; past it the row is told as unknown after the next start.
        self.idle_by(Instant::now() + Duration::from_secs(10)).await;
        self.selection.abort();
        self.health.abort();
        self.registrars.stop().await;
        told.len()
    }

    /// Waits until no call is live, at most until `deadline`.
    async fn idle_by(&self, deadline: Instant) {
        loop {
            // Made before the look: an end between the two wakes it, whoever takes the permit.
            let ended = self.shared.room.notified();
            if self.live_calls() == 0 || tokio::time::timeout_at(deadline.into(), ended).await.is_err() {
                return;
            }
        }
    }
}

impl Shared {
    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptId, Sender<Reason>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
