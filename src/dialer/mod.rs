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
mod ledger;
mod plan;
mod presentation;
mod probe;
mod selection;
mod target;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

pub use plan::{ProfilePlan, Trunk};
#[cfg(test)]
pub(crate) use plan::{Wire, invite};
pub use presentation::{Diversion, NumberFormat, Presentation};
pub use probe::{Answer, Auth, Heard, Probe, probe};
pub use target::{Target, TargetError};

use crate::model::{AttemptId, Reason};
use crate::net::media_engine::MediaEngine;
use crate::net::sip_udp::SipUdp;
use crate::prompt::Catalogue;
use crate::store::{DueAttempt, Store};

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
}

/// What a reload replaces as a whole. Each call is built from the one that it began with.
pub(crate) struct InForce {
    config: DialerConfig,
    voices: Arc<Catalogue>,
}

/// What the selection loop and every call task share.
pub(crate) struct Shared {
    in_force: RwLock<Arc<InForce>>,
    store: Store,
    media: MediaEngine,
    sip: SipUdp,
    resolver: target::Resolver,
    /// Live calls, so that a cancel finds its task.
    live: Mutex<BTreeMap<AttemptId, mpsc::Sender<Reason>>>,
    /// The target of a trunk that is tried next; a target that gave no answer makes way for the next.
    rotation: Mutex<BTreeMap<String, usize>>,
    /// A call has ended: there may be room for the next.
    room: Notify,
    /// No attempt is started any more.
    draining: AtomicBool,
}

/// Where a trunk is reached now.
pub(crate) struct Reached {
    /// As configured: what Request-URI, To and From say (RFC 3263 changes the destination only).
    host: String,
    target: SocketAddr,
    /// All addresses of the host: its cluster may send from any of them.
    addresses: Vec<SocketAddr>,
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
}

impl Dialer {
    #[must_use]
    pub fn start(
        config: DialerConfig,
        store: Store,
        media: MediaEngine,
        sip: SipUdp,
        voices: Arc<Catalogue>,
    ) -> Self {
        let shared = Arc::new(Shared {
            in_force: RwLock::new(Arc::new(InForce { config, voices })),
            store,
            media,
            sip,
            resolver: target::Resolver::default(),
            live: Mutex::default(),
            rotation: Mutex::default(),
            room: Notify::new(),
            draining: AtomicBool::new(false),
        });
        let accepting = watch::Sender::new(true);
        let selection = tokio::spawn(selection::run(Arc::clone(&shared), accepting.subscribe()));
        Self {
            shared,
            accepting,
            selection,
        }
    }

    /// Takes new trunks, profiles and recordings at once; live calls keep what they began with. The name of the node
    /// and what the listeners are bound to need a restart.
    pub fn reload(&self, config: DialerConfig, voices: Arc<Catalogue>) {
        let new = Arc::new(InForce { config, voices });
        *self
            .shared
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        // There may be a trunk now for what has waited.
        self.shared.room.notify_one();
    }

    /// Calls that are live now.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.shared.live().len()
    }

    /// Starts no more attempts, lets live calls finish for `limit`, then cancels them and waits for their outcomes.
    /// Returns how many had to be canceled.
    pub async fn drain(self, limit: Duration) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.accepting.send_replace(false);
        self.idle_by(Instant::now() + limit).await;
        let told: Vec<mpsc::Sender<Reason>> = self.shared.live().values().cloned().collect();
        for cancel in &told {
            // A full queue holds a cancel already.
            let _ = cancel.try_send(Reason::Shutdown);
        }
        // BYE or CANCEL and its answer: Timer F rules; past it the row is told as unknown after the next start.
        self.idle_by(Instant::now() + Duration::from_secs(10)).await;
        self.selection.abort();
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
    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptId, mpsc::Sender<Reason>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn rotation(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Address of the trunk's target whose turn it is.
    async fn target_for(&self, trunk: &Trunk) -> Result<Reached, TargetError> {
        let turn = self.rotation().get(&trunk.name).copied().unwrap_or(0);
        let count = trunk.targets.len();
        let mut failure = None;
        for offset in 0..count {
            let Some(target) = trunk.targets.get(turn.wrapping_add(offset) % count) else {
                continue;
            };
            match self.resolver.addresses(target).await {
                Ok(addresses) => {
                    let usable = addresses.iter().copied().find(|a| self.sip.local_for(*a).is_ok());
                    if let Some(address) = usable {
                        return Ok(Reached {
                            host: target.host.clone(),
                            target: address,
                            addresses,
                        });
                    }
                    failure = Some(TargetError::Empty {
                        host: target.host.clone(),
                    });
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| TargetError::Empty {
            host: trunk.name.clone(),
        }))
    }

    /// The target that was tried gave no answer: the next call takes the next one.
    fn rotate(&self, trunk: &Trunk) {
        let mut rotation = self.rotation();
        let turn = rotation.entry(trunk.name.clone()).or_default();
        *turn = turn.wrapping_add(1);
    }
}
