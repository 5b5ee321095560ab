//! One media thread: the 1 ms loop over its legs.
//!
//! ```text
//!          no leg runs                          a leg runs
//! idle: block on epoll (wake-up eventfd) ──► tick: sleep to the next ms │ commands │ due legs send │ sockets read
//!          ▲                                     │ last leg stopped
//!          └─────────────────────────────────────┘
//! ```
//! Per packet there is no allocation, no lock and no log line. Commands are rare; they are taken once a tick, a
//! bounded number at a time.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;

use super::admission::Window;
use super::clock::TickClock;
use super::leg::{Channel, Leg, Obeyed, Scratch};
use super::metrics::ThreadMetrics;
use super::wheel::{LegKey, Wheel};
use crate::media::command::MediaCommand;

/// Commands obeyed per tick; a Start costs about 30 µs of system calls.
const COMMANDS_PER_TICK_MAX: usize = 64;

/// Sockets read per tick; what is left stays ready.
const READY_PER_TICK_MAX: usize = 1024;

const TIMER_SLACK_NS: u64 = 1000;

/// How often legs whose call has gone without `Close` are looked for.
const SWEEP_TICKS: u64 = 1000;
const SWEEP: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The epoll token of the wake-up eventfd. A leg's token never has all bits set.
const WAKE_TOKEN: u64 = u64::MAX;

pub(super) enum ToThread {
    Open(Box<Leg>),
    Command { id: u64, command: MediaCommand },
}

/// The callers' end of one thread.
#[derive(Debug)]
pub(super) struct ThreadHandle {
    commands: SyncSender<ToThread>,
    wake: OwnedFd,
    /// True while the thread blocks and a command must wake it.
    idle: AtomicBool,
    stop: AtomicBool,
    pub(super) metrics: ThreadMetrics,
}

impl ThreadHandle {
    pub(super) fn new(commands: SyncSender<ToThread>) -> std::io::Result<Self> {
        Ok(Self {
            commands,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            idle: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            metrics: ThreadMetrics::default(),
        })
    }

    /// False when the queue is full or the thread is gone.
    pub(super) fn try_send(&self, message: ToThread) -> bool {
        if self.commands.try_send(message).is_err() {
            return false;
        }
        // Pairs with the fence in `idle_until_woken`: either the thread sees the command, or we see it idle.
        fence(Ordering::SeqCst);
        if self.idle.load(Ordering::Relaxed) {
            self.wake_up();
        }
        true
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake_up();
    }

    fn wake_up(&self) {
        // It fails only when the counter is full, and then the thread wakes anyhow.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    leg: Option<Leg>,
}

pub(super) struct MediaThread {
    handle: Arc<ThreadHandle>,
    commands: Receiver<ToThread>,
    epoll: OwnedFd,
    clock: TickClock,
    wheel: Wheel,
    tick: u64,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    by_id: HashMap<u64, LegKey>,
    running: usize,
    due: Vec<(LegKey, u64)>,
    scratch: Scratch,
    window: Window,
    swept_tick: u64,
}

impl MediaThread {
    pub(super) fn new(handle: Arc<ThreadHandle>, commands: Receiver<ToThread>) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &handle.wake,
            epoll::EventData::new_u64(WAKE_TOKEN),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            handle,
            commands,
            epoll,
            clock: TickClock::new(),
            wheel: Wheel::new(0),
            tick: 0,
            slots: Vec::new(),
            vacant: Vec::new(),
            by_id: HashMap::new(),
            running: 0,
            due: Vec::with_capacity(1024),
            scratch: Scratch::new(),
            window: Window::default(),
            swept_tick: 0,
        })
    }

    /// Runs until the engine stops. Legs that are left are dropped: their calls see the event channel close.
    pub(super) fn run(mut self) {
        // The kernel may otherwise wake us 50 µs late to save power. Best effort: it costs only jitter.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(TIMER_SLACK_NS));
        let mut ready = Vec::with_capacity(READY_PER_TICK_MAX);
        while !self.handle.stop.load(Ordering::Relaxed) {
            if self.running == 0 {
                self.idle_until_woken(&mut ready);
            } else {
                self.tick_once(&mut ready);
            }
        }
        for index in 0..self.slots.len() {
            self.close(index);
        }
    }

    /// Obeys what is waiting, or blocks until a command comes.
    fn idle_until_woken(&mut self, ready: &mut Vec<epoll::Event>) {
        let now = Instant::now();
        self.tick = self.clock.tick_at(now);
        self.wheel.skip_to(self.tick);
        self.window = Window::beginning(self.tick);
        self.handle.metrics.late.store(false, Ordering::Relaxed);
        self.handle.metrics.busy_per_mille.store(0, Ordering::Relaxed);

        self.handle.idle.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.obey_commands(now) == 0 && !self.handle.stop.load(Ordering::SeqCst) {
            let timeout = if self.by_id.is_empty() { None } else { Some(&SWEEP) };
            ready.clear();
            // An error here is EINTR: the loop comes back.
            let _ = epoll::wait(&self.epoll, spare_capacity(ready), timeout);
        }
        self.handle.idle.store(false, Ordering::Relaxed);
        let _ = rustix::io::read(&self.handle.wake, &mut [0; 8]);
        if self.running == 0 {
            self.sweep();
        }
    }

    fn tick_once(&mut self, ready: &mut Vec<epoll::Event>) {
        self.clock.sleep_until(self.tick + 1);
        let now = Instant::now();
        let lateness = now.saturating_duration_since(self.clock.instant_of(self.tick + 1));
        self.tick = self.clock.tick_at(now).max(self.tick + 1);
        let metrics = &self.handle.metrics;
        metrics.ticks.add(1);
        metrics.tick_lateness.record(lateness);

        self.send_due(now);
        self.read_ready(now, ready);
        self.obey_commands(now);
        if self.tick >= self.swept_tick + SWEEP_TICKS {
            self.sweep();
        }
        self.observe(lateness, now.elapsed());
    }

    fn send_due(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_until(self.tick, &mut due);
        for (key, stood_on) in due.drain(..) {
            let Some(leg) = leg_mut(&mut self.slots, key) else {
                continue;
            };
            if leg.due_tick != stood_on {
                continue;
            }
            leg.tick(now, &mut self.scratch, &self.handle.metrics);
            Self::reschedule(leg, key, &self.clock, &mut self.wheel, true);
        }
        self.due = due;
    }

    fn read_ready(&mut self, now: Instant, ready: &mut Vec<epoll::Event>) {
        ready.clear();
        if epoll::wait(&self.epoll, spare_capacity(ready), Some(&NOW)).is_err() {
            return;
        }
        for event in ready.iter() {
            let token = event.data.u64();
            if token == WAKE_TOKEN {
                // A command that raced with our waking; commands are taken every tick anyhow.
                let _ = rustix::io::read(&self.handle.wake, &mut [0; 8]);
                continue;
            }
            let (key, channel) = from_token(token);
            let Some(leg) = leg_mut(&mut self.slots, key) else {
                continue;
            };
            leg.receive(now, channel, &mut self.scratch, &self.handle.metrics);
            // What is sent does not move by what comes.
            if leg.has_decision_due() {
                Self::reschedule(leg, key, &self.clock, &mut self.wheel, false);
            }
        }
    }

    /// Puts a leg on the wheel for its next deadline: always after it was `taken` from it, else only if the
    /// deadline has moved nearer.
    fn reschedule(leg: &mut Leg, key: LegKey, clock: &TickClock, wheel: &mut Wheel, taken: bool) {
        let Some(due) = leg.next_due() else { return };
        let tick = clock.tick_reaching(due);
        if taken || tick < leg.due_tick {
            leg.due_tick = wheel.insert(key, tick);
        }
    }

    /// Obeys waiting commands, a bounded number; returns how many.
    fn obey_commands(&mut self, now: Instant) -> usize {
        for obeyed in 0..COMMANDS_PER_TICK_MAX {
            match self.commands.try_recv() {
                Ok(ToThread::Open(leg)) => self.open(*leg),
                Ok(ToThread::Command { id, command }) => self.obey(now, id, command),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return obeyed,
            }
        }
        COMMANDS_PER_TICK_MAX
    }

    fn open(&mut self, leg: Leg) {
        let index = match self.vacant.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot::default());
                (self.slots.len() - 1) as u32
            }
        };
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let key = LegKey {
            index,
            generation: slot.generation,
        };
        self.by_id.insert(leg.id, key);
        slot.leg = Some(leg);
    }

    fn obey(&mut self, now: Instant, id: u64, command: MediaCommand) {
        let Some(key) = self.by_id.get(&id).copied() else {
            return;
        };
        let Some(leg) = leg_mut(&mut self.slots, key) else {
            return;
        };
        match leg.obey(now, command, &mut self.scratch, &self.handle.metrics) {
            Obeyed::Continue => Self::reschedule(leg, key, &self.clock, &mut self.wheel, false),
            Obeyed::Started => {
                self.running += 1;
                watch(&self.epoll, leg, key);
                // The first packet leaves at once.
                leg.tick(now, &mut self.scratch, &self.handle.metrics);
                Self::reschedule(leg, key, &self.clock, &mut self.wheel, true);
            }
            Obeyed::Closed => self.close(key.index as usize),
        }
        self.handle.metrics.active.store(self.running, Ordering::Relaxed);
    }

    /// Drops a leg; closing its sockets takes them out of epoll and gives the ports back.
    fn close(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let Some(leg) = slot.leg.take() else { return };
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(index as u32);
        self.by_id.remove(&leg.id);
        if leg.is_running() {
            self.running -= 1;
        }
        // Ports first, then the counters, the event channel last: who sees it close finds both settled.
        let events = leg.give_ports_back();
        let metrics = &self.handle.metrics;
        metrics.active.store(self.running, Ordering::Release);
        metrics.open.fetch_sub(1, Ordering::AcqRel);
        drop(events);
    }

    /// Ends legs whose call went away while the command queue was full.
    fn sweep(&mut self) {
        self.swept_tick = self.tick;
        for index in 0..self.slots.len() {
            let abandoned = self
                .slots
                .get(index)
                .and_then(|slot| slot.leg.as_ref())
                .is_some_and(Leg::is_abandoned);
            if abandoned {
                self.close(index);
            }
        }
    }

    /// Closes the door while the thread falls behind, and opens it after a good window.
    fn observe(&mut self, lateness: Duration, busy: Duration) {
        if let Some(standing) = self.window.observe(self.tick, lateness, busy) {
            let metrics = &self.handle.metrics;
            metrics
                .busy_per_mille
                .store(standing.busy_per_mille as usize, Ordering::Relaxed);
            metrics.late.store(standing.late, Ordering::Relaxed);
        }
    }
}

fn leg_mut(slots: &mut [Slot], key: LegKey) -> Option<&mut Leg> {
    let slot = slots.get_mut(key.index as usize)?;
    if slot.generation != key.generation {
        return None;
    }
    slot.leg.as_mut()
}

/// Generation in the upper half, index and channel in the lower one.
fn to_token(key: LegKey, channel: Channel) -> u64 {
    let bit = match channel {
        Channel::Rtp => 0,
        Channel::Rtcp => 1,
    };
    u64::from(key.generation) << 32 | u64::from(key.index) << 1 | bit
}

fn from_token(token: u64) -> (LegKey, Channel) {
    let key = LegKey {
        index: (token as u32) >> 1,
        generation: (token >> 32) as u32,
    };
    let channel = if token & 1 == 0 {
        Channel::Rtp
    } else {
        Channel::Rtcp
    };
    (key, channel)
}

/// Both sockets, level-triggered. The kernel refuses only when out of memory; the leg then sends but is deaf,
/// and the call's own deadlines end it.
fn watch(epoll: &OwnedFd, leg: &Leg, key: LegKey) {
    for (socket, channel) in [
        (&leg.sockets.rtp, Channel::Rtp),
        (&leg.sockets.rtcp, Channel::Rtcp),
    ] {
        let data = epoll::EventData::new_u64(to_token(key, channel));
        let _ = epoll::add(epoll, socket, data, epoll::EventFlags::IN);
    }
}
