//! Looks several times a second how late the process is, and tells the gate that lets new calls in.
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::thread::ClockId;
use rustix::time::clock_gettime;

use crate::api::{Admission, RoomFn};
use crate::config::Config;
use crate::net::media_engine::{MediaEngine, Refusal};
use crate::policy::{Look, Room, Shed};
use crate::store::{OverloadGate, Store};

const EVERY: Duration = Duration::from_millis(50);

/// An admission that refuses what the process cannot carry, and the gate that is to be told of it.
pub(super) fn guarded(config: &Config, media: &MediaEngine) -> (Admission, OverloadGate) {
    let (admission, gate) = (Admission::default(), OverloadGate::new(Instant::now()));
    gate.lock().heed_lateness(config.policy.refuse_when_late);
    let media = media.clone();
    let room: RoomFn = Arc::new(move || {
        let (calls, refusal) = media.room();
        let scarcest = match refusal {
            Refusal::NoPort => Shed::NoPort,
            Refusal::NoFile => Shed::NoFile,
            Refusal::Full | Refusal::Late => Shed::NoLeg,
        };
        Room { calls, scarcest }
    });
    admission.shed_by(gate.clone(), room);
    (admission, gate)
}

/// Runs until it is aborted. That it runs late is itself what it measures.
pub(super) async fn watch(gate: OverloadGate, store: Store, media: MediaEngine) {
    let mut cpu = Cpu::new();
    let mut was_limited = false;
    loop {
        let due = Instant::now() + EVERY;
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        let look = Look {
            runtime_late: now.saturating_duration_since(due),
            media_late: media.is_late(),
            writes_waiting: store.writes_waiting(),
            busy: cpu.busy_since(now),
        };
        let standing = {
            let mut overload = gate.lock();
            overload.look(now, look);
            overload.standing()
        };
        let is_limited = standing.rate.is_some();
        if is_limited != was_limited {
            match standing.rate {
                Some(rate) => {
                    tracing::warn!(
                        rate = rate.round(),
                        pressure = standing.pressure,
                        ?look,
                        "overloaded: new calls are held to a rate"
                    );
                }
                None => tracing::info!("not overloaded any more: new calls are taken as they come"),
            }
        }
        was_limited = is_limited;
    }
}

/// What stands of the gate, for the metrics.
pub(super) fn report(gate: &OverloadGate) {
    let standing = gate.lock().standing();
    metrics::gauge!("ringproof_overload_limited").set(f64::from(u8::from(standing.rate.is_some())));
    metrics::gauge!("ringproof_overload_shut").set(f64::from(u8::from(standing.shut)));
    metrics::gauge!("ringproof_overload_pressure").set(standing.pressure);
    // 0 where there is no limit.
    metrics::gauge!("ringproof_overload_calls_per_second").set(standing.rate.unwrap_or_default());
    metrics::gauge!("ringproof_calls_promised").set(standing.promised as f64);
}

/// The share of the CPUs that this process uses.
struct Cpu {
    cpus: f64,
    looked_at: Instant,
    used: Duration,
}

impl Cpu {
    fn new() -> Self {
        // It knows of affinity and of a container's quota. Without it the share cannot be told.
        let cpus = std::thread::available_parallelism().map_or(0.0, |n| n.get() as f64);
        Self {
            cpus: cpus * real_time_share().unwrap_or(1.0),
            looked_at: Instant::now(),
            used: used(),
        }
    }

    fn busy_since(&mut self, now: Instant) -> Option<f64> {
        let passed = now.saturating_duration_since(self.looked_at).as_secs_f64();
        let used = used();
        let spent = used.saturating_sub(self.used).as_secs_f64();
        (self.looked_at, self.used) = (now, used);
        let share = spent / (passed * self.cpus);
        share.is_finite().then(|| share.clamp(0.0, 1.0))
    }
}

/// Of its CPUs, what a process with real-time priority may use; the kernel holds it up for the rest. `None`: all.
fn real_time_share() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; after it come the fields from the third on. The policy is the 41st.
    let policy = stat.rsplit_once(')')?.1.split_whitespace().nth(38)?;
    // SCHED_FIFO, SCHED_RR.
    if !matches!(policy, "1" | "2") {
        return None;
    }
    let figure = |name| -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let (runtime, period) = (figure("sched_rt_runtime_us")?, figure("sched_rt_period_us")?);
    // -1: all of it.
    (runtime > 0.0 && runtime < period).then_some(runtime / period)
}

/// CPU time of all threads of this process.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
