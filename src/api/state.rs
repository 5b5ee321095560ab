//! What every handler shares.
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::{Semaphore, watch};

use super::key_cache::KeyCache;
use super::limiter::FailureLimiter;
use super::shed::{RoomFn, Shedder};
use super::{ApiConfig, Code, Problem, ResultSigner};
use crate::model::{Entropy, UnixMillis};
use crate::store::{OverloadGate, Store, StoreError};
use crate::telemetry::FlightRecorder;

/// Reads the wall clock; a test gives its own.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The operating system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    store: Store,
    config: RwLock<Arc<ApiConfig>>,
    signer: ResultSigner,
    admission: Admission,
    failures: FailureLimiter,
    keys: KeyCache,
    streams: Arc<Semaphore>,
    entropy: Mutex<Entropy>,
    clock: Clock,
    recorder: OnceLock<FlightRecorder>,
}

impl ApiState {
    #[must_use]
    pub fn new(
        store: Store,
        config: ApiConfig,
        admission: Admission,
        entropy: Entropy,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            signer: ResultSigner::new(&config.signing_seed),
            streams: Arc::new(Semaphore::new(config.limits.streams_max)),
            config: RwLock::new(Arc::new(config)),
            admission,
            failures: FailureLimiter::default(),
            keys: KeyCache::default(),
            entropy: Mutex::new(entropy),
            clock,
            recorder: OnceLock::new(),
        }))
    }

    /// Where the SIP of the last calls is kept; without it there is none. The first one stays.
    #[must_use]
    pub fn with_recorder(self, recorder: FlightRecorder) -> Self {
        let _ = self.0.recorder.set(recorder);
        self
    }

    pub(super) fn recorder(&self) -> Option<&FlightRecorder> {
        self.0.recorder.get()
    }

    /// Takes new profiles, policy and trunks at once. The signing seed and the limits need a restart.
    pub fn reload(&self, config: ApiConfig) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    #[must_use]
    pub fn config(&self) -> Arc<ApiConfig> {
        Arc::clone(&self.0.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[must_use]
    pub fn signer(&self) -> &ResultSigner {
        &self.0.signer
    }

    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.0.clock)()
    }

    /// An independent generator for one request.
    #[must_use]
    pub fn entropy(&self) -> Entropy {
        self.0
            .entropy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fork()
    }

    /// 128 random bits in hex.
    pub(super) fn token(&self) -> String {
        self.0
            .entropy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .token()
    }

    pub(super) fn failures(&self) -> &FailureLimiter {
        &self.0.failures
    }

    pub(super) fn keys(&self) -> &KeyCache {
        &self.0.keys
    }

    /// A place among the long polls and streams; held until dropped.
    pub fn stream_permit(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0.streams).try_acquire_owned().map_err(|_| {
            let mut problem = Problem::new(
                Code::RateLimited,
                "too many long polls and event streams are open; poll without wait",
            );
            problem.limit = Some("global".to_owned());
            problem.retry_after_s = Some(1);
            problem
        })
    }

    /// The address of the client: the peer's, or what a trusted proxy says of it.
    pub(super) fn client_address(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        client_address(&self.config().trusted_proxies, peer, forwarded_for)
    }
}

/// Walks `X-Forwarded-For` from the right, past trusted proxies only: the left part is the client's own claim.
fn client_address(trusted: &[IpAddr], peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
    let mut address = peer.to_canonical();
    let Some(list) = forwarded_for else {
        return address;
    };
    for hop in list.rsplit(',') {
        if !trusted.contains(&address) {
            return address;
        }
        let Ok(next) = hop.trim().parse::<IpAddr>() else {
            return address;
        };
        address = next.to_canonical();
    }
    address
}

/// How far the server is on its way down. It only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// New calls get 503; live ones are followed to their end.
    Draining,
    /// Long polls, streams and the listener end.
    Stopping,
}

/// Whether new calls are taken: set by `app`, read at each POST.
#[derive(Clone)]
pub struct Admission {
    phase: watch::Sender<Phase>,
    trunks_up: watch::Sender<bool>,
    shedder: Shedder,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            trunks_up: watch::Sender::new(true),
            shedder: Shedder::default(),
        }
    }
}

impl Admission {
    /// From now on new calls get 503.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// From now on long polls and streams end, and then the listener.
    pub fn stop(&self) {
        self.advance(Phase::Stopping);
    }

    fn advance(&self, to: Phase) {
        self.phase
            .send_if_modified(|phase| std::mem::replace(phase, (*phase).max(to)) < to);
    }

    pub fn set_trunks_up(&self, up: bool) {
        self.trunks_up.send_replace(up);
    }

    /// From now on new calls are refused that `gate` does not let in or `room` is not there for. The first one stays.
    pub fn shed_by(&self, gate: OverloadGate, room: RoomFn) {
        self.shedder.set(gate, room);
    }

    pub(super) const fn shedder(&self) -> &Shedder {
        &self.shedder
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    #[must_use]
    pub fn are_trunks_up(&self) -> bool {
        *self.trunks_up.borrow()
    }

    /// Returns once [`Self::stop`] was called. Cancel-safe.
    pub async fn stopping(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self
            .phase
            .subscribe()
            .wait_for(|phase| *phase == Phase::Stopping)
            .await;
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "store unavailable");
            let mut problem = Self::new(
                Code::StoreUnavailable,
                "the store cannot take the request now; try again",
            );
            problem.retry_after_s = Some(1);
            return problem;
        }
        match error {
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::Conflict(what) => Self::new(
                Code::Conflict,
                format!("the {what} was changed at the same time; read it again"),
            ),
            other => Self::internal(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_may_speak_for_a_client() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = [ip("10.0.0.1"), ip("10.0.0.2")];
        for (peer, header, client) in [
            ("198.51.100.7", Some("1.2.3.4"), "198.51.100.7"),
            ("10.0.0.1", Some("1.2.3.4"), "1.2.3.4"),
            ("10.0.0.1", Some("9.9.9.9, 1.2.3.4, 10.0.0.2"), "1.2.3.4"),
            ("10.0.0.1", Some("garbage"), "10.0.0.1"),
            ("10.0.0.1", Some("1.2.3.4,"), "10.0.0.1"),
            ("10.0.0.1", None, "10.0.0.1"),
            ("::ffff:10.0.0.1", Some("1.2.3.4"), "1.2.3.4"),
        ] {
            assert_eq!(
                client_address(&trusted, ip(peer), header),
                ip(client),
                "{peer} {header:?}"
            );
        }
    }
}
