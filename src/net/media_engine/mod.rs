//! The media engine: every call's RTP, on a few plain threads.
//!
//! Signalling lives in tasks, media in these threads, because a call has tens of SIP messages but a hundred RTP
//! packets a second. A thread owns its legs outright (sockets, `media::Stream`, place on the timing wheel), so
//! nothing is shared per packet; the call holds a [`MediaLeg`] with a command queue in and an event queue out.
//!
//! What it does not: decide when to play, what a key means, or what SDP says.
//!
//! Invariants:
//! - Admission answers at once: a leg with bound ports, or a [`Refusal`] that says why. What was admitted does
//!   not suffer from what is refused.
//! - A stranger's packet is dropped by the kernel: the sockets are connected to the agreed address, and what
//!   was queued before is thrown away.
//! - No ICMP error, bad packet or full queue ends a leg. Only `Close`, the dropped [`MediaLeg`] or the dropped
//!   engine does, and then both ports are back in the pool.
mod admission;
mod clock;
mod leg;
mod metrics;
mod ports;
mod thread;
mod wheel;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use self::metrics::{EngineMetrics, TickLateness};

use self::leg::Leg;
use self::metrics::AdmissionMetrics;
use self::ports::PortPool;
use self::thread::{MediaThread, ThreadHandle, ToThread};
use crate::media::command::{MediaCommand, MediaEvent};
use crate::model::Entropy;
use crate::net::mailbox::{self, mailbox};

/// Events that wait for one call's task. A prompt of many short clips gives the most; presses are human.
const EVENTS_PER_LEG_MAX: usize = 64;

/// Bounds of a thread's command queue, whatever `calls_max` says.
const COMMANDS_MIN: usize = 256;
const COMMANDS_MAX: usize = 16_384;

/// Of the files that the process may open, a quarter is left to what is not media, within these bounds.
const FILES_RESERVED_MIN: u64 = 64;
const FILES_RESERVED_MAX: u64 = 2048;

/// How the engine is built.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Media threads; one serves some thousands of calls.
    pub threads: usize,
    /// Ports for RTP (even) and RTCP (the next one). A call takes two.
    pub ports: RangeInclusive<u16>,
    pub bind: IpAddr,
    /// Legs at a time, over all threads.
    pub calls_max: usize,
    /// A thread that falls behind its clock opens no leg until it has caught up, so that the legs it has stay clean.
    pub refuse_when_late: bool,
    /// Files that this process may open; `None`: its limit. A part of them is left to all that is not media.
    pub files_max: Option<u64>,
    /// CPUs to pin the threads to, in turn; `None` leaves it to the scheduler.
    pub pin: Option<Vec<usize>>,
    /// For ports, SSRC, first sequence numbers and timestamps.
    pub entropy: Entropy,
}

/// Why no leg was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("expected two free ports in the RTP range, found none")]
    NoPort,
    #[error("the process may open no more files: a leg takes two")]
    NoFile,
    #[error("as many media legs as allowed are open")]
    Full,
    #[error("the media threads are falling behind their clock")]
    Late,
}

impl Refusal {
    /// One word for a metric or a log field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPort => "no_port",
            Self::NoFile => "no_file",
            Self::Full => "full",
            Self::Late => "late",
        }
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("expected at least one even port followed by its neighbour in the RTP range, got {0}-{1}")]
    NoPorts(u16, u16),
    #[error("cannot start a media thread")]
    Thread(#[source] io::Error),
}

/// The media thread's command queue has no room; the command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the media thread's command queue is full")]
pub struct Full;

/// Handle of the engine; clones share it. The threads end when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct MediaEngine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    threads: Vec<Thread>,
    ports: Arc<PortPool>,
    calls_max_per_thread: usize,
    /// Legs that the process' files allow.
    legs_by_files: usize,
    refuse_when_late: bool,
    entropy: Mutex<Entropy>,
    next_id: AtomicU64,
    admission: Arc<AdmissionMetrics>,
}

#[derive(Debug)]
struct Thread {
    handle: Arc<ThreadHandle>,
    join: Option<JoinHandle<()>>,
}

/// One call's media leg: bound ports now, packets after `Start`. Dropping it closes the leg.
#[derive(Debug)]
pub struct MediaLeg {
    /// The bound RTP address; RTCP is the next port.
    pub local: SocketAddr,
    /// What the leg reports. Ends after `Close`.
    pub events: mailbox::Receiver<MediaEvent>,
    id: u64,
    thread: Arc<ThreadHandle>,
    admission: Arc<AdmissionMetrics>,
}

impl MediaEngine {
    /// Starts the threads. Raises this process's soft limit of open files to the hard one, since a leg has two
    /// sockets.
    pub fn start(mut config: EngineConfig) -> Result<Self, EngineError> {
        let files_max = config.files_max.or_else(raise_file_limit);
        let ports = Arc::new(PortPool::new(config.bind, &config.ports, config.entropy.fork()));
        if ports.free() == 0 {
            return Err(EngineError::NoPorts(*config.ports.start(), *config.ports.end()));
        }
        let count = config.threads.max(1);
        let calls_max_per_thread = config.calls_max.div_ceil(count);
        let queue = (calls_max_per_thread * 4).clamp(COMMANDS_MIN, COMMANDS_MAX);
        let mut inner = Inner {
            threads: Vec::with_capacity(count),
            ports,
            calls_max_per_thread,
            legs_by_files: files_max.map_or(usize::MAX, legs_by_files),
            refuse_when_late: config.refuse_when_late,
            entropy: Mutex::new(config.entropy),
            next_id: AtomicU64::new(0),
            admission: Arc::default(),
        };
        for number in 0..count {
            let cpu = config
                .pin
                .as_ref()
                .and_then(|cpus| cpus.get(number % cpus.len().max(1)).copied());
            let thread = Thread::spawn(number, queue, cpu).map_err(EngineError::Thread)?;
            inner.threads.push(thread);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// A leg with bound ports on the least loaded thread, or the reason why not. Never waits.
    pub fn open(&self) -> Result<MediaLeg, Refusal> {
        self.0.open().inspect_err(|refusal| {
            let admission = &self.0.admission;
            let counter = match refusal {
                Refusal::NoPort => &admission.refused_no_port,
                Refusal::NoFile => &admission.refused_no_file,
                Refusal::Full => &admission.refused_full,
                Refusal::Late => &admission.refused_late,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Legs that could be opened now, and what would refuse the next one after them. Lateness passes, and is no part of it.
    #[must_use]
    pub fn room(&self) -> (usize, Refusal) {
        let inner = &self.0;
        let open = inner.legs_open();
        let legs = inner.calls_max_per_thread * inner.threads.len();
        let by_legs = (legs.saturating_sub(open), Refusal::Full);
        let by_files = (inner.legs_by_files.saturating_sub(open), Refusal::NoFile);
        let by_ports = (inner.ports.free(), Refusal::NoPort);
        let least = [by_legs, by_files, by_ports]
            .into_iter()
            .min_by_key(|(legs, _)| *legs);
        least.unwrap_or(by_legs)
    }

    /// Whether every thread falls behind its clock.
    #[must_use]
    pub fn is_late(&self) -> bool {
        let mut threads = self.0.threads.iter();
        self.0.refuse_when_late && threads.all(|thread| thread.handle.metrics.late.load(Ordering::Relaxed))
    }

    /// How late ticks were since the start.
    #[must_use]
    pub fn tick_lateness(&self) -> TickLateness {
        TickLateness::of(self.0.threads.iter().map(|thread| &thread.handle.metrics))
    }

    /// A snapshot of every counter.
    #[must_use]
    pub fn metrics(&self) -> EngineMetrics {
        let threads = self.0.threads.iter().map(|thread| &thread.handle.metrics);
        EngineMetrics::collect(threads, &self.0.admission, self.0.ports.free())
    }
}

impl Inner {
    fn legs_open(&self) -> usize {
        let open = |thread: &Thread| thread.handle.metrics.open.load(Ordering::Acquire);
        self.threads.iter().map(open).sum()
    }

    fn open(&self) -> Result<MediaLeg, Refusal> {
        let punctual = self
            .threads
            .iter()
            .filter(|thread| !self.refuse_when_late || !thread.handle.metrics.late.load(Ordering::Relaxed));
        let thread = punctual
            .min_by_key(|thread| thread.handle.metrics.open.load(Ordering::Relaxed))
            .map(|thread| &thread.handle)
            .ok_or(Refusal::Late)?;
        if self.legs_open() >= self.legs_by_files {
            return Err(Refusal::NoFile);
        }
        let open = &thread.metrics.open;
        if open.fetch_add(1, Ordering::AcqRel) >= self.calls_max_per_thread {
            open.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::Full);
        }
        let sockets = self.ports.take().inspect_err(|_| {
            open.fetch_sub(1, Ordering::AcqRel);
        })?;
        let local = sockets.local;
        let (events_in, events) = mailbox(EVENTS_PER_LEG_MAX);
        // Nobody panics while holding it.
        let entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let leg = Leg::new(id, sockets, events_in, entropy);
        if !thread.try_send(ToThread::Open(Box::new(leg))) {
            open.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::Late);
        }
        Ok(MediaLeg {
            local,
            events,
            id,
            thread: Arc::clone(thread),
            admission: Arc::clone(&self.admission),
        })
    }
}

impl Thread {
    fn spawn(number: usize, queue: usize, cpu: Option<usize>) -> io::Result<Self> {
        let (commands_in, commands) = sync_channel(queue);
        let handle = Arc::new(ThreadHandle::new(commands_in)?);
        let thread = MediaThread::new(Arc::clone(&handle), commands)?;
        let join = std::thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || {
                if let Some(cpu) = cpu {
                    pin_to(cpu);
                }
                thread.run();
            })?;
        Ok(Self {
            handle,
            join: Some(join),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.handle.stop();
        }
        for thread in &mut self.threads {
            if let Some(join) = thread.join.take() {
                // A panicked thread has already said so.
                let _ = join.join();
            }
        }
    }
}

impl MediaLeg {
    /// Hands a command to the media thread, which obeys it within a millisecond.
    pub fn command(&self, command: MediaCommand) -> Result<(), Full> {
        let id = self.id;
        if self.thread.try_send(ToThread::Command { id, command }) {
            return Ok(());
        }
        self.admission.commands_refused.fetch_add(1, Ordering::Relaxed);
        Err(Full)
    }
}

impl Drop for MediaLeg {
    fn drop(&mut self) {
        // If the queue is full, the thread's sweep finds the closed event channel.
        let _ = self.command(MediaCommand::Close);
    }
}

/// Raises the soft limit of open files to the hard one; returns what is in force, `None` without a limit.
fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // Best effort: it stays as it was.
        Err(_) => limit.current,
    }
}

/// Legs for which there are files, two each, beside the store, the connections and the listeners.
fn legs_by_files(files_max: u64) -> usize {
    let reserve = (files_max / 4).clamp(FILES_RESERVED_MIN, FILES_RESERVED_MAX);
    usize::try_from(files_max.saturating_sub(reserve) / 2).unwrap_or(usize::MAX)
}

fn pin_to(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        tracing::warn!(
            cpu,
            "expected the number of a CPU to pin a media thread to; it is not pinned"
        );
        return;
    }
    set.set(cpu);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(cpu, %error, "cannot pin a media thread; it runs unpinned");
    }
}
