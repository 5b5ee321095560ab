//! Load that this server cannot carry is refused first of all, so that the refusal costs next to nothing.
//!
//! [`NotShed`] stands before the key is looked up and the body is read: what it refuses reads and writes no row, and
//! tells a stranger no more than that the server is busy. A request that may be the repetition of one that was taken goes
//! on to its answer; should it be new all the same, [`super::intake`] refuses it where its place would be taken.
use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::verifications::IDEMPOTENCY_KEY;
use super::{ApiState, Code, Problem};
use crate::model::VerificationId;
use crate::policy::{Room, Shed};
use crate::store::OverloadGate;

/// Idempotency keys of late that are known to have an answer. One that was forgotten is refused like a new one.
const ANSWERED_MAX: usize = 16_384;
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Says how many calls there is room for; `app` knows.
pub type RoomFn = Arc<dyn Fn() -> Room + Send + Sync>;

/// Whether the server can carry another call. Without a gate it can.
#[derive(Clone, Default)]
pub(super) struct Shedder(Arc<Inner>);

#[derive(Default)]
struct Inner {
    gate: OnceLock<(OverloadGate, RoomFn)>,
    answered: Mutex<Answered>,
    told: Mutex<Told>,
    hasher: RandomState,
}

/// The newest, in their order and by value.
#[derive(Default)]
struct Answered {
    order: VecDeque<u64>,
    known: BTreeSet<u64>,
}

#[derive(Default)]
struct Told {
    at: Option<Instant>,
    since: u64,
}

/// A place that is kept for a call until its dialler has taken it; dropped, it is given back.
pub(super) struct Place {
    kept: Option<(OverloadGate, VerificationId)>,
    began: Instant,
}

impl Place {
    /// The call is committed: its dialler gives the place back.
    pub(super) fn keep(mut self) {
        self.kept = None;
    }

    /// How long the commit took belongs to what is watched.
    pub(super) fn committed(&self) {
        if let Some((gate, _)) = &self.kept {
            gate.lock().committed(self.began.elapsed());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((gate, id)) = &self.kept {
            gate.lock().released(*id);
        }
    }
}

impl Shedder {
    /// The first one stays.
    pub(super) fn set(&self, gate: OverloadGate, room: RoomFn) {
        let _ = self.0.gate.set((gate, room));
    }

    /// Whether new calls are held to a rate.
    pub(super) fn is_overloaded(&self) -> bool {
        let gate = self.0.gate.get();
        gate.is_some_and(|(gate, _)| gate.lock().standing().rate.is_some())
    }

    pub(super) fn judge(&self) -> Result<(), Problem> {
        let Some((gate, room)) = self.0.gate.get() else {
            return Ok(());
        };
        let room = room();
        let judged = gate.lock().judge(Instant::now(), Some(room));
        judged.map_err(|shed| self.refuse(shed))
    }

    /// Takes a place for this call.
    pub(super) fn admit(&self, id: VerificationId) -> Result<Place, Problem> {
        let began = Instant::now();
        let Some((gate, room)) = self.0.gate.get() else {
            return Ok(Place { kept: None, began });
        };
        let room = room();
        let admitted = gate.lock().admit(began, Some(room), id);
        admitted.map_err(|shed| self.refuse(shed))?;
        Ok(Place {
            kept: Some((gate.clone(), id)),
            began,
        })
    }

    /// The call waits no longer.
    pub(super) fn released(&self, id: VerificationId) {
        if let Some((gate, _)) = self.0.gate.get() {
            gate.lock().released(id);
        }
    }

    fn refuse(&self, shed: Shed) -> Problem {
        metrics::counter!("ringproof_requests_shed_total", "reason" => shed.as_str()).increment(1);
        self.tell(shed);
        let mut problem = Problem::new(Code::Overloaded, shed.detail());
        problem.retry_after_s = Some(shed.retry_after().as_secs());
        problem
    }

    /// One line a second, however many are refused.
    fn tell(&self, shed: Shed) {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.since += 1;
        if told.at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            let refused = std::mem::take(&mut told.since);
            told.at = Some(Instant::now());
            drop(told);
            tracing::warn!(
                reason = shed.as_str(),
                refused,
                "new calls are refused: overloaded"
            );
        }
    }

    /// A key of a client, as it came; which client is asked when it is looked up.
    pub(super) fn note_answered(&self, idempotency_key: &str) {
        let hash = self.0.hasher.hash_one(idempotency_key.as_bytes());
        let mut answered = self.answered();
        if !answered.known.insert(hash) {
            return;
        }
        answered.order.push_back(hash);
        if answered.order.len() > ANSWERED_MAX
            && let Some(oldest) = answered.order.pop_front()
        {
            answered.known.remove(&oldest);
        }
    }

    fn may_be_answered(&self, parts: &Parts) -> bool {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return false;
        };
        let hash = self.0.hasher.hash_one(value.as_bytes());
        self.answered().known.contains(&hash)
    }

    fn answered(&self) -> std::sync::MutexGuard<'_, Answered> {
        self.0.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server can carry another call, or this may be one that it has.
pub(super) struct NotShed;

impl FromRequestParts<ApiState> for NotShed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        // The trait is async; nothing is waited for.
        std::future::ready(()).await;
        let admission = state.admission();
        // What is said on the way down says more.
        if admission.is_draining() || admission.shedder().may_be_answered(parts) {
            return Ok(Self);
        }
        admission.shedder().judge().map(|()| Self)
    }
}
