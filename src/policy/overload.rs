//! When the server takes no more calls for its own sake, so that those it has taken stay clean.
//!
//! Two things are told apart. **Room** is counted: media legs, ports, descriptors; a request beyond it is refused
//! whatever the load. **Lateness** is measured: how long what was accepted waits for its turn, how late the runtime runs
//! its tasks, how far the store and the media are behind. While it stands, new calls are let in at a rate.
//!
//! ```text
//!        lateness begins                     lateness stands: a trickle, till it has gone
//! Open ──────────────────► Limited(rate) ◄────────────────────────────────────────► Limited, shut
//!   ▲                          │ nobody was refused for a while
//!   └──────────────────────────┘
//! ```
//! The rate begins at what was let in of late, and follows what the server shows that it can do: down while it is shut or
//! its CPU is used up, up while there is time left, quickly where far from where it was shut the last time. A call costs
//! most at its begin and its end, so what is let in now is felt for as long as a call lasts: the steps are small.
//!
//! Does not: count what a trunk, a limit or `pending_max` lets wait on purpose: the dialer takes that off with
//! [`Overload::released`].
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::VerificationId;

/// Lateness of each kind that counts as overload when it stands.
const WAIT_MAX: Duration = Duration::from_millis(500);
const RUNTIME_MAX: Duration = Duration::from_millis(100);
const COMMIT_MAX: Duration = Duration::from_millis(500);
const WRITES_MAX: f64 = 512.0;
/// A media thread that falls behind opens no leg: as bad as half as much again of the others.
const MEDIA_LATE: f64 = 1.5;
/// One stall of the host is none: lateness must stand so long before the door shuts.
const STANDS: Duration = Duration::from_millis(300);
/// Of the bound, what must be undercut before it opens again.
const REOPENS: f64 = 0.5;
/// Of the CPU, what is used when the rate fits: more, and the media threads wait for theirs.
const BUSY_WANTED: f64 = 0.95;
/// With the CPU used up, lateness of the runtime that begins a limit before the door would shut.
const BUSY_UP: f64 = 0.97;
const RUNTIME_EARLY: Duration = Duration::from_millis(30);
/// Let in while shut, so that a server which is well again finds out: calls a second.
const RATE_MIN: f64 = 4.0;
/// Of the rate at which the door shut, what is left however long it stays shut.
const RATE_KEPT: f64 = 0.3;
/// Requests that may come at once, whatever the rate.
const BURST_MIN: f64 = 8.0;
/// Of a second, how much of the rate may come at once.
const BURST_S: f64 = 0.05;
/// What was let in is averaged over so long, about a call's life.
const ADMITTED_S: f64 = 5.0;
/// How long nobody must have been refused before the limit goes.
const QUIET: Duration = Duration::from_secs(5);
/// What was promised a place and has not taken it by then was canceled or waits for something else.
const PROMISE_MAX: Duration = Duration::from_secs(10);
/// Beyond so many nobody is waited for by name; far more than any bound on live calls.
const PROMISES_MAX: usize = 100_000;

/// Why a new call is not taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shed {
    /// All RTP ports are taken or promised.
    NoPort,
    /// As many media legs as configured.
    NoLeg,
    /// The process may open no more files.
    NoFile,
    /// The media threads fall behind their clock.
    MediaLate,
    /// What was accepted waits too long for its turn.
    Waiting,
    /// The runtime runs its tasks late.
    RuntimeLate,
    /// Commits take too long.
    StoreLate,
    /// Nothing is late at present: more comes than the server can carry.
    Rate,
}

impl Shed {
    /// One word for a metric or a log field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPort => "no_port",
            Self::NoLeg => "no_leg",
            Self::NoFile => "no_file",
            Self::MediaLate => "media_late",
            Self::Waiting => "waiting",
            Self::RuntimeLate => "runtime_late",
            Self::StoreLate => "store_late",
            Self::Rate => "rate",
        }
    }

    /// For the client.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NoPort => "all RTP ports of this server are in use; send the request again",
            Self::NoLeg => {
                "as many calls are live as the media of this server carries; send the request again"
            }
            Self::NoFile => "this server may open no more files for calls; send the request again",
            Self::MediaLate | Self::Waiting | Self::RuntimeLate | Self::StoreLate | Self::Rate => {
                "the server carries as many calls as it can; send the request again"
            }
        }
    }

    /// Room comes back when a call ends, time sooner.
    #[must_use]
    pub const fn retry_after(self) -> Duration {
        match self {
            Self::NoPort | Self::NoLeg | Self::NoFile => Duration::from_secs(5),
            Self::MediaLate | Self::Waiting | Self::RuntimeLate | Self::StoreLate | Self::Rate => {
                Duration::from_secs(1)
            }
        }
    }
}

/// Calls that there is room for now, and what would be used up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub calls: usize,
    pub scarcest: Shed,
}

/// One look at the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// How late the runtime ran the task that looks.
    pub runtime_late: Duration,
    /// A media thread falls behind.
    pub media_late: bool,
    /// Writes that wait for the store.
    pub writes_waiting: usize,
    /// Share of the CPUs used since the last look, 0 to 1; `None` where it cannot be told.
    pub busy: Option<f64>,
}

/// What stands in the metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// `None`: no limit.
    pub rate: Option<f64>,
    pub shut: bool,
    /// Of the lateness that shuts the door; 1 and above is too much.
    pub pressure: f64,
    /// Accepted, and not yet dialled.
    pub promised: usize,
}

/// A call that was let in.
#[derive(Debug, Clone, Copy)]
struct Promise {
    since: Instant,
    /// Its turn has come; its place is still to be taken.
    picked: bool,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    rate: f64,
    tokens: f64,
    /// Rate at which the door shut last.
    ceiling: f64,
    was_shut: bool,
    refused_at: Instant,
}

/// The decision. One per process, fed by whoever sees something.
#[derive(Debug)]
pub struct Overload {
    looked_at: Instant,
    promises: BTreeMap<VerificationId, Promise>,
    /// Shortest wait that ended since the last look: a queue that stands has no short ones.
    wait: Option<Duration>,
    commit: Option<Duration>,
    /// Smoothed, in seconds.
    runtime_late: f64,
    busy: Option<f64>,
    /// Calls a second, let in.
    admitted: f64,
    admitted_since: u32,
    pressure: f64,
    cause: Shed,
    /// Since when the pressure is too high.
    high_since: Option<Instant>,
    shut: bool,
    limit: Option<Limit>,
    /// False: lateness is measured and refuses nobody.
    heeds_lateness: bool,
}

impl Overload {
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            looked_at: now,
            promises: BTreeMap::new(),
            wait: None,
            commit: None,
            runtime_late: 0.0,
            busy: None,
            admitted: 0.0,
            admitted_since: 0,
            pressure: 0.0,
            cause: Shed::Rate,
            high_since: None,
            shut: false,
            limit: None,
            heeds_lateness: true,
        }
    }

    /// Whether lateness refuses anybody. Room does in any case.
    pub fn heed_lateness(&mut self, heeds: bool) {
        self.heeds_lateness = heeds;
        if !heeds {
            self.limit = None;
        }
    }

    /// Whether a request would be refused now. Cheap, and takes nothing.
    pub fn judge(&mut self, now: Instant, room: Option<Room>) -> Result<(), Shed> {
        if let Some(room) = room
            && room.calls <= self.promises.len()
        {
            return Err(room.scarcest);
        }
        let (shut, cause) = (self.shut, self.cause);
        match &mut self.limit {
            Some(limit) if limit.tokens < 1.0 => {
                limit.refused_at = now;
                Err(if shut { cause } else { Shed::Rate })
            }
            _ => Ok(()),
        }
    }

    /// Lets one in, and keeps a place for it.
    pub fn admit(&mut self, now: Instant, room: Option<Room>, id: VerificationId) -> Result<(), Shed> {
        self.judge(now, room)?;
        if let Some(limit) = &mut self.limit {
            limit.tokens -= 1.0;
        }
        self.admitted_since += 1;
        if self.promises.len() < PROMISES_MAX {
            let promise = Promise {
                since: now,
                picked: false,
            };
            self.promises.insert(id, promise);
        }
        Ok(())
    }

    /// It has its turn.
    pub fn picked(&mut self, now: Instant, id: VerificationId) {
        let Some(promise) = self.promises.get_mut(&id).filter(|promise| !promise.picked) else {
            return;
        };
        promise.picked = true;
        let wait = now.saturating_duration_since(promise.since);
        self.wait = Some(self.wait.map_or(wait, |least| least.min(wait)));
    }

    /// It has taken its place, needs none, or waits for something that is not the server's lateness.
    pub fn released(&mut self, id: VerificationId) {
        self.promises.remove(&id);
    }

    /// What waits longer than the dialer reads at once stands behind others that wait on purpose: so does all of it.
    pub fn released_unpicked(&mut self) {
        self.promises.retain(|_, promise| promise.picked);
    }

    /// A write was committed after so long.
    pub fn committed(&mut self, took: Duration) {
        self.commit = Some(self.commit.map_or(took, |least| least.min(took)));
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            rate: self.limit.map(|limit| limit.rate),
            shut: self.shut,
            pressure: self.pressure,
            promised: self.promises.len(),
        }
    }

    /// Several times a second.
    pub fn look(&mut self, now: Instant, look: Look) {
        let passed = now.saturating_duration_since(self.looked_at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        self.looked_at = now;
        self.promises
            .retain(|_, promise| now.saturating_duration_since(promise.since) < PROMISE_MAX);
        self.average(look, passed);
        self.weigh(now, look);
        self.turn_door(now);
        self.begin_limit(now);
        self.move_rate(now, passed);
        self.wait = None;
        self.commit = None;
    }

    fn average(&mut self, look: Look, passed: f64) {
        let smooth = |old: f64, new: f64, over_s: f64| new + (old - new) * (-passed / over_s).exp();
        self.runtime_late = smooth(self.runtime_late, look.runtime_late.as_secs_f64(), 0.15);
        self.busy = look.busy.map(|busy| smooth(self.busy.unwrap_or(0.0), busy, 0.5));
        let admitted = f64::from(std::mem::take(&mut self.admitted_since)) / passed;
        self.admitted = smooth(self.admitted, admitted, ADMITTED_S);
    }

    /// The worst of what is late.
    fn weigh(&mut self, now: Instant, look: Look) {
        let of = |late: Duration, max: Duration| late.as_secs_f64() / max.as_secs_f64();
        // Ids are in the order of their time, to the millisecond.
        let oldest = self.promises.values().find(|promise| !promise.picked);
        let oldest = oldest.map(|promise| now.saturating_duration_since(promise.since));
        let waiting = self.wait.max(oldest).unwrap_or_default();
        let store = of(self.commit.unwrap_or_default(), COMMIT_MAX);
        let all = [
            (of(waiting, WAIT_MAX), Shed::Waiting),
            (self.runtime_late / RUNTIME_MAX.as_secs_f64(), Shed::RuntimeLate),
            (
                store.max(look.writes_waiting as f64 / WRITES_MAX),
                Shed::StoreLate,
            ),
            (if look.media_late { MEDIA_LATE } else { 0.0 }, Shed::MediaLate),
        ];
        let worst = all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((pressure, cause)) = worst {
            self.pressure = pressure;
            if pressure >= REOPENS {
                self.cause = cause;
            }
        }
    }

    fn turn_door(&mut self, now: Instant) {
        if self.pressure >= 1.0 {
            let since = *self.high_since.get_or_insert(now);
            self.shut |= now.saturating_duration_since(since) >= STANDS;
        } else {
            self.high_since = None;
            self.shut &= self.pressure >= REOPENS;
        }
    }

    fn begin_limit(&mut self, now: Instant) {
        let used_up = self.busy.is_some_and(|busy| busy >= BUSY_UP);
        let early = used_up && self.runtime_late >= RUNTIME_EARLY.as_secs_f64();
        if self.heeds_lateness && self.limit.is_none() && (self.shut || early) {
            let rate = self.admitted.max(RATE_MIN);
            self.limit = Some(Limit {
                rate,
                tokens: BURST_MIN,
                ceiling: rate,
                was_shut: true,
                refused_at: now,
            });
        }
    }

    fn move_rate(&mut self, now: Instant, passed: f64) {
        let (shut, admitted) = (self.shut, self.admitted);
        let growth = self.growth();
        let Some(limit) = &mut self.limit else { return };
        if now.saturating_duration_since(limit.refused_at) >= QUIET {
            self.limit = None;
            return;
        }
        if shut && !limit.was_shut {
            limit.rate = limit.rate.min(admitted.max(RATE_MIN) * 1.2);
            limit.ceiling = limit.rate;
        }
        limit.was_shut = shut;
        limit.rate = (limit.rate * (growth * passed).exp()).max(RATE_MIN);
        if shut {
            // A long shut says no more than a short one of what can be carried after it.
            limit.rate = limit.rate.max(limit.ceiling * RATE_KEPT);
        }
        let pace = if shut { RATE_MIN } else { limit.rate };
        let burst = (pace * BURST_S).max(BURST_MIN);
        limit.tokens = (limit.tokens + pace * passed).min(burst);
    }

    /// Of the rate, a second.
    fn growth(&self) -> f64 {
        let Some(limit) = &self.limit else { return 0.0 };
        if self.shut {
            return -0.2;
        }
        // Far below where the door shut the last time there is no need for care.
        let is_far = limit.rate < limit.ceiling * 0.7;
        match self.busy {
            Some(busy) if busy < BUSY_WANTED && is_far => 0.7,
            Some(busy) => ((BUSY_WANTED - busy) * 0.8).clamp(-0.2, 0.15),
            None if is_far => 0.3,
            None => 0.05,
        }
    }
}

#[cfg(test)]
mod tests;
