//! Webhooks out: rows of the outbox become signed POSTs, at least once, in order per verification.
//!
//! Does: lease due rows, sign (Standard Webhooks), post within 15 s, judge the answer, plan the next try, guard
//! against requests into private networks. Does not: decide what is sent or render bodies (`store` holds both),
//! follow redirects, read answers.
//!
//! ```text
//!   outbox row ─▶ leased ─▶ POST ─┬─ 2xx ─────────▶ delivered
//!       ▲                         ├─ 410 ─────────▶ disabled
//!       │  delay of the schedule  ├─ other, tries left ─┐
//!       └─────────────────────────┼─────────────────────┘
//!                                 └─ other, last ─▶ given up
//! ```
//!
//! # Invariants
//! - A row's id and body never change between tries; its timestamp and signature do.
//! - The connected address is one that the guard has checked.
//! - A crash between POST and commit sends the row again: the id lets the receiver drop the second.
mod cidr;
mod client;
mod guard;
mod schedule;
mod signature;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use cidr::{Cidr, CidrError};
pub use client::ClientError;
pub use guard::{Guard, Refused};
pub use signature::{SecretError, Signer};

use self::client::{Answer, Client};
use self::schedule::Verdict;
use crate::model::{Entropy, UnixMillis};
use crate::store::{DeliveryTry, DeliveryVerdict, OutboxItem, Store};

/// Rows leased at once.
const BATCH: u32 = 64;
/// Longest error text of a try.
const ERROR_CHARS_MAX: usize = 512;
/// Pause after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Shortest sleep for rows that are due but may not go yet.
const NAP: Duration = Duration::from_millis(20);
/// Longest sleep: another process may have written rows, and no signal tells of them.
const POLL: Duration = Duration::from_secs(1);

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub signer: Signer,
    pub guard: Guard,
    /// Requests under way at once.
    pub concurrency_max: usize,
    /// For the whole exchange.
    pub timeout: Duration,
    /// Further root certificates, PEM: for receivers with a private CA.
    pub ca_pem: Option<Vec<u8>>,
}

impl WebhookConfig {
    #[must_use]
    pub fn new(signer: Signer, guard: Guard) -> Self {
        Self {
            signer,
            guard,
            concurrency_max: 128,
            timeout: Duration::from_secs(15),
            ca_pem: None,
        }
    }
}

/// How a try is made; a reload replaces it as a whole, and a try under way keeps its own.
pub struct Sending {
    client: Client,
    signer: Signer,
    concurrency_max: usize,
    lease: Duration,
}

impl Sending {
    pub fn new(config: WebhookConfig) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::new(config.guard, config.timeout, config.ca_pem.as_deref())?,
            signer: config.signer,
            concurrency_max: config.concurrency_max.max(1),
            // A try and the commit of its result end well within the lease.
            lease: config.timeout + Duration::from_secs(15),
        })
    }
}

/// What one look at the outbox came to.
struct Look {
    /// How long nothing else is due.
    sleep: Duration,
    /// As many are under way as may be.
    is_full: bool,
}

/// Places for requests under way. A request that was answered gives its place back, whenever its result is committed.
#[derive(Clone, Default)]
struct Places {
    taken: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Places {
    fn take(&self) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// One of them, until it is dropped.
struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

/// The outbox loop. Cheap to clone.
#[derive(Clone)]
pub struct Deliverer {
    store: Store,
    sending: Arc<RwLock<Arc<Sending>>>,
    entropy: Arc<Mutex<Entropy>>,
}

impl Deliverer {
    pub fn new(store: Store, config: WebhookConfig, entropy: Entropy) -> Result<Self, ClientError> {
        let sending = Sending::new(config)?;
        Ok(Self {
            store,
            sending: Arc::new(RwLock::new(Arc::new(sending))),
            entropy: Arc::new(Mutex::new(entropy)),
        })
    }

    /// Signs and sends in this way from the next try on.
    pub fn reload(&self, sending: Sending) {
        *self.sending.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sending);
    }

    fn sending(&self) -> Arc<Sending> {
        Arc::clone(&self.sending.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Delivers until `stop` turns true; then sends what is due once more and waits for what is under way.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changed = self.store.outbox_changed();
        let (mut under_way, places) = (JoinSet::new(), Places::default());
        loop {
            let stopping = *stop.borrow_and_update();
            // Seen before the look: a row committed after it wakes the wait below.
            changed.borrow_and_update();
            let look = self.start_due(&mut under_way, &places).await;
            if stopping {
                while under_way.join_next().await.is_some() {}
                return;
            }
            tokio::select! {
                _ = changed.changed() => {}
                // The store tells of a row that it frees; one that is done matters only where there was no room.
                () = places.freed.notified(), if look.is_full => {}
                () = tokio::time::sleep(look.sleep) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Starts all due rows that there is room for.
    async fn start_due(&self, under_way: &mut JoinSet<()>, places: &Places) -> Look {
        loop {
            while under_way.try_join_next().is_some() {}
            let sending = self.sending();
            let room = sending.concurrency_max.saturating_sub(places.taken());
            let limit = u32::try_from(room).unwrap_or(BATCH).min(BATCH);
            if limit == 0 {
                return Look {
                    sleep: POLL,
                    is_full: true,
                };
            }
            let due = match self.store.outbox_due(now(), limit, sending.lease).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "outbox cannot be read");
                    return Look {
                        sleep: STORE_PAUSE,
                        is_full: false,
                    };
                }
            };
            let is_batch = due.items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
            for item in due.items {
                let (this, place) = (self.clone(), places.take());
                under_way.spawn(async move { this.deliver(item, place).await });
            }
            if !is_batch {
                let sleep = due.next_at.map_or(POLL, |at| at.since(now()).clamp(NAP, POLL));
                return Look {
                    sleep,
                    is_full: false,
                };
            }
        }
    }

    async fn deliver(&self, item: OutboxItem, place: Place) {
        let (at, started) = (now(), Instant::now());
        let id = item.id.to_string();
        let sending = self.sending();
        let signature = sending.signer.sign(&id, at.as_seconds(), &item.body);
        let answer = sending.client.post(&item, &id, at.as_seconds(), &signature).await;
        drop(place);
        let tried = self.judged(&item, answer, at, started.elapsed());
        log_try(&item, &tried);
        // A result that cannot be stored leaves the row leased: it is sent again later, with the same id.
        if let Err(error) = self.store.outbox_result(tried).await {
            tracing::warn!(webhook_id = %id, %error, "result of a webhook was not stored; it will be sent again");
        }
    }

    fn judged(
        &self,
        item: &OutboxItem,
        answer: Result<Answer, String>,
        at: UnixMillis,
        duration: Duration,
    ) -> DeliveryTry {
        let (status, error, verdict) = match answer {
            Ok(Answer { status, retry_after }) => {
                let verdict = schedule::judge(status, retry_after.as_deref(), now());
                let error =
                    (verdict != Verdict::Delivered).then(|| format!("the receiver answered {status}"));
                (Some(status), error, verdict)
            }
            Err(error) => (None, Some(error), Verdict::Failed { retry_after: None }),
        };
        let verdict = match verdict {
            Verdict::Delivered => DeliveryVerdict::Delivered,
            Verdict::Gone => DeliveryVerdict::Disabled,
            Verdict::Failed { retry_after } => self.next_try(item.attempts, retry_after),
        };
        let error = error.map(|text| text.chars().take(ERROR_CHARS_MAX).collect());
        DeliveryTry {
            event: item.id,
            at,
            duration,
            status,
            error,
            verdict,
        }
    }

    fn next_try(&self, tries_before: u32, retry_after: Option<Duration>) -> DeliveryVerdict {
        let jitter = self.entropy.lock().unwrap_or_else(PoisonError::into_inner).u16();
        match schedule::next_try(tries_before.saturating_add(1), retry_after, now(), jitter) {
            Some(at) => DeliveryVerdict::Retry { at },
            None => DeliveryVerdict::GaveUp,
        }
    }
}

fn log_try(item: &OutboxItem, tried: &DeliveryTry) {
    let result = match tried.verdict {
        DeliveryVerdict::Delivered => "delivered",
        DeliveryVerdict::Retry { .. } => "retry",
        DeliveryVerdict::GaveUp => "gave_up",
        DeliveryVerdict::Disabled => "disabled",
    };
    metrics::counter!("ringproof_webhook_tries_total", "result" => result).increment(1);
    metrics::histogram!("ringproof_webhook_try_seconds").record(tried.duration.as_secs_f64());
    let (kind, error) = (item.kind.as_str(), tried.error.as_deref().unwrap_or_default());
    match tried.verdict {
        DeliveryVerdict::Delivered => {
            tracing::debug!(webhook_id = %item.id, kind, tries = item.attempts + 1, "webhook delivered")
        }
        DeliveryVerdict::Retry { at } => {
            tracing::info!(webhook_id = %item.id, kind, tries = item.attempts + 1, next_at = %at, error, "webhook failed");
        }
        DeliveryVerdict::GaveUp | DeliveryVerdict::Disabled => {
            tracing::warn!(webhook_id = %item.id, kind, tries = item.attempts + 1, result, error, "webhook given up");
        }
    }
}

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
