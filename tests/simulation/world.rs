//! The world of one run: a queue of transitions, and everything that they act on.
//!
//! Real: the call machine, the rules of numbers, limits and trunks, the store. Everything else is acted out here, step
//! by step as the shells do it, in virtual time.
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringproof::model::{AttemptId, Entropy, UnixMillis, VerificationId};
use ringproof::policy::Policy;

use crate::callee::Callee;
use crate::clock::{At, Clock};
use crate::dice::Dice;
use crate::facts::{Facts, Violation};
use crate::link::Link;
use crate::ops::{Done, Op};
use crate::peer::Peer;
use crate::plan::{Plan, Plant, Trouble};
use crate::platform::{Platform, number_policy};
use crate::process::Process;
use crate::trace::Trace;
use crate::transition::{Line, Transition};
use crate::vault::Vault;
use crate::wire::Sent;

/// Our SIP address.
pub(crate) const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5060);
/// Name of the process in the store.
pub(crate) const NODE: &str = "node-1";
pub(crate) const PASSWORD: &str = "correct horse";

/// Transitions of one run; more means that something goes round and round.
const STEPS_MAX: u64 = 100_000;
/// The last webhook of a receiver that never answers is given up within two days.
const RUN_MAX: At = At(4 * 24 * 3600 * 1_000_000);

pub(crate) struct World<'v> {
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) dice: Entropy,
    pub(crate) plan: Arc<Plan>,
    pub(crate) plant: Option<Plant>,
    pub(crate) trace: Trace,
    pub(crate) facts: Facts,
    pub(crate) vault: &'v mut Vault,
    pub(crate) policy: Arc<Policy>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) links: Vec<Link>,
    pub(crate) callees: BTreeMap<Line, Callee>,
    /// Phones that send RTP.
    pub(crate) sending: Vec<Line>,
    pub(crate) platform: Platform,
    pub(crate) process: Option<Process>,
    /// Counts the lives of the process.
    pub(crate) life: u32,
    pub(crate) writes: BTreeMap<u64, Write>,
    pub(crate) store_down: bool,
    /// What the call that is being fed has sent in answer, branch and To tag of each.
    pub(crate) sent_now: Vec<Sent>,
    kills_at_step: Vec<(u64, u64)>,
    queue: BTreeMap<(At, u64), Transition>,
    order: u64,
    pub(crate) steps: u64,
}

/// A write under way.
pub(crate) struct Write {
    pub(crate) op: Option<Op>,
    pub(crate) result: Option<Result<Done, ringproof::store::StoreError>>,
    pub(crate) owner: Owner,
}

/// Who waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Api { request: usize },
    Task { attempt: AttemptId },
    Nobody,
}

impl<'v> World<'v> {
    pub(crate) fn new(
        seed: u64,
        plan: Plan,
        plant: Option<Plant>,
        trace: Trace,
        vault: &'v mut Vault,
    ) -> Self {
        vault.begin_run();
        // Two days apart, so that no limit of one run counts in another on the same file.
        let days = 2 * i64::try_from(seed % 5_000).unwrap();
        let clock = Clock::new(UnixMillis(1_700_000_000_000 + days * 86_400_000));
        let mut dice = Entropy::from_number(seed ^ 0x5eed);
        let peers = (0..plan.trunks.len())
            .map(|index| Peer::new(u8::try_from(index).unwrap(), PASSWORD, dice.fork()))
            .collect();
        let mut world = Self {
            seed,
            clock,
            plan: Arc::new(plan),
            plant,
            trace,
            facts: Facts::default(),
            vault,
            policy: number_policy(),
            peers,
            links: Vec::new(),
            callees: BTreeMap::new(),
            sending: Vec::new(),
            platform: Platform::default(),
            process: None,
            life: 0,
            writes: BTreeMap::new(),
            store_down: false,
            sent_now: Vec::new(),
            kills_at_step: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            steps: 0,
            dice,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        let plan = Arc::clone(&self.plan);
        self.links = plan.trunks.iter().map(|trunk| trunk.link).collect();
        self.platform = Platform::new(&plan);
        self.after_ms(0, Transition::Start);
        for (request, asked) in plan.requests.iter().enumerate() {
            self.after_ms(asked.at_ms, Transition::Posts { request });
            if let Some(at_ms) = asked.cancel_at_ms {
                self.after_ms(at_ms, Transition::Cancels { request });
            }
        }
        for trouble in &plan.troubles {
            match *trouble {
                Trouble::KillAtStep { step, down_ms } => self.kills_at_step.push((step, down_ms)),
                Trouble::KillAt { at_ms, down_ms } => {
                    self.after_ms(at_ms, Transition::Kill);
                    self.after_ms(at_ms + down_ms, Transition::Start);
                }
                Trouble::Terminate { at_ms, .. } => self.after_ms(at_ms, Transition::Terminate),
                Trouble::StoreDown { at_ms, for_ms } => {
                    self.after_ms(at_ms, Transition::StoreDown);
                    self.after_ms(at_ms + for_ms, Transition::StoreUp);
                }
                Trouble::LinkDown { trunk, at_ms, for_ms } => {
                    self.after_ms(at_ms, Transition::LinkDown { trunk });
                    self.after_ms(at_ms + for_ms, Transition::LinkUp { trunk });
                }
                Trouble::WallClock { at_ms, ms } => self.after_ms(at_ms, Transition::WallClock { ms }),
                Trouble::Spoof { at_ms, kind } => self.after_ms(at_ms, Transition::Spoof { kind }),
            }
        }
    }

    /// Until nothing is left to happen.
    pub(crate) fn run(&mut self) {
        while let Some(((at, _), transition)) = self.queue.pop_first() {
            self.steps += 1;
            if self.steps > STEPS_MAX || at > RUN_MAX {
                self.violate(1, format!("the run does not end: {transition:?}"));
                return;
            }
            self.clock.advance_to(at);
            let steps = self.steps;
            if let Some(index) = self.kills_at_step.iter().position(|(step, _)| *step == steps) {
                let (_, down_ms) = self.kills_at_step.swap_remove(index);
                self.kill();
                self.after_ms(down_ms, Transition::Start);
            }
            self.happen(transition);
        }
    }

    fn happen(&mut self, transition: Transition) {
        match transition {
            Transition::Start => self.start(),
            Transition::Kill => self.kill(),
            Transition::Terminate => self.terminate(),
            Transition::DrainOver { life } if self.is(life) => self.drain_over(),
            Transition::Exit { life } if self.is(life) => self.exit(),
            Transition::Select { life } if self.is(life) => self.select(),
            Transition::Wake { life, attempt } if self.is(life) => self.wake(attempt),
            Transition::Deliver { life } if self.is(life) => self.deliver(),
            Transition::Commit { life, write } if self.is(life) => self.commit(write),
            Transition::Settle { life, write } if self.is(life) => self.settle(write),
            Transition::TryAgain { life, attempt } if self.is(life) => self.try_again(attempt),
            Transition::StoreDown => self.set_store_down(true),
            Transition::StoreUp => self.set_store_down(false),
            Transition::Arrives(datagram) => self.arrives(datagram),
            Transition::TrunkTimer {
                trunk,
                exchange,
                timer,
            } => {
                let effects = self.peers[trunk].timer(self.clock.now(), exchange, timer);
                self.trunk_effects(trunk, effects);
            }
            Transition::LinkDown { trunk } => self.links[trunk].down = true,
            Transition::LinkUp { trunk } => self.links[trunk].down = false,
            Transition::Spoof { kind } => self.spoof(kind),
            Transition::ClipEnds {
                life,
                attempt,
                generation,
            } if self.is(life) => {
                self.clip_ends(attempt, generation);
            }
            Transition::DigitsEnd { life, attempt } if self.is(life) => self.digits_end(attempt),
            Transition::FirstPacket { line } => self.first_packet(line),
            Transition::KeyCertain {
                line,
                key,
                started,
                tone_ms,
                in_band,
                mismatch,
            } => {
                self.key_certain(line, key, started, (in_band, mismatch));
                let _ = tone_ms;
            }
            Transition::KeyUp {
                line,
                key,
                tone_ms,
                in_band,
            } => self.key_up(line, key, tone_ms, in_band),
            Transition::LegReports { life, attempt } if self.is(life) => self.leg_reports(attempt),
            Transition::Hears { line, clip } => self.hears(line, &clip),
            Transition::Presses { line, key } => self.presses(line, key),
            Transition::HangsUp { line } => self.hangs_up(line),
            Transition::Posts { request } => self.posts(request),
            Transition::Cancels { request } => self.cancels(request),
            Transition::WebhookArrives {
                life,
                event,
                body,
                tries,
                request,
            } => {
                self.webhook_arrives((life, event), body, tries, request);
            }
            Transition::WebhookAnswered {
                life,
                event,
                sent,
                tries,
                answer,
            } if self.is(life) => {
                self.webhook_answered(event, sent, tries, answer);
            }
            Transition::WallClock { ms } => self.set_wall_clock(ms),
            // Of a life that is over.
            Transition::DrainOver { .. }
            | Transition::Exit { .. }
            | Transition::Select { .. }
            | Transition::Wake { .. }
            | Transition::Deliver { .. }
            | Transition::Commit { .. }
            | Transition::Settle { .. }
            | Transition::TryAgain { .. }
            | Transition::ClipEnds { .. }
            | Transition::DigitsEnd { .. }
            | Transition::LegReports { .. }
            | Transition::WebhookAnswered { .. } => {}
        }
    }

    /// Whether the process that asked for it is still the one that runs.
    fn is(&self, life: u32) -> bool {
        self.process.is_some() && self.life == life
    }

    pub(crate) fn now(&self) -> At {
        self.clock.now()
    }

    pub(crate) fn at(&mut self, at: At, transition: Transition) {
        self.order += 1;
        let at = at.max(self.clock.now());
        self.queue.insert((at, self.order), transition);
    }

    pub(crate) fn after(&mut self, after: Duration, transition: Transition) {
        self.at(self.clock.now().plus(after), transition);
    }

    pub(crate) fn after_ms(&mut self, ms: u64, transition: Transition) {
        self.after(Duration::from_millis(ms), transition);
    }

    pub(crate) fn note(&mut self, text: fmt::Arguments<'_>) {
        self.trace.line(self.clock.now(), text);
    }

    pub(crate) fn violate(&mut self, invariant: u8, what: String) {
        let at = self.clock.now();
        self.trace
            .line(at, format_args!("!! invariant {invariant}: {what}"));
        self.facts.violations.push(Violation { invariant, at, what });
    }

    /// Names of the trace: identifiers are random, places are not.
    pub(crate) fn name_of(&self, attempt: AttemptId) -> String {
        match self.facts.attempts.get(&attempt) {
            Some(facts) => format!(
                "{}#{}",
                self.name_of_verification(facts.verification),
                facts.number
            ),
            None => "attempt ?".to_owned(),
        }
    }

    pub(crate) fn name_of_verification(&self, id: VerificationId) -> String {
        match self.facts.verifications.get(&id) {
            Some(facts) => format!("v{}", facts.request),
            None => "v?".to_owned(),
        }
    }

    /// Begins a write of the process.
    pub(crate) fn write(&mut self, op: Op, owner: Owner) {
        self.order += 1;
        let write = self.order;
        let life = self.life;
        self.writes.insert(
            write,
            Write {
                op: Some(op),
                result: None,
                owner,
            },
        );
        let wait_us = self.dice.between(50, self.plan.store_us_max);
        self.after(Duration::from_micros(wait_us), Transition::Commit { life, write });
    }

    fn commit(&mut self, write: u64) {
        let Some(op) = self.writes.get_mut(&write).and_then(|write| write.op.take()) else {
            return;
        };
        let owner = self.writes[&write].owner;
        let name = op.name();
        let result = self.run_op(op, owner);
        match &result {
            Ok(done) => self.note_done(name, done),
            Err(error) => self.note(format_args!("store: {name}: {error}")),
        }
        if let Some(write) = self.writes.get_mut(&write) {
            write.result = Some(result);
        }
        self.hear_store();
        let (life, wait_us) = (self.life, self.dice.between(10, self.plan.store_us_max));
        self.after(Duration::from_micros(wait_us), Transition::Settle { life, write });
    }

    fn settle(&mut self, write: u64) {
        let Some(Write {
            result: Some(result),
            owner,
            ..
        }) = self.writes.remove(&write)
        else {
            return;
        };
        match owner {
            Owner::Api { request } => self.api_answers(request, result),
            Owner::Task { attempt } => self.written(attempt, result),
            Owner::Nobody => {}
        }
    }

    fn set_wall_clock(&mut self, ms: i64) {
        self.note(format_args!("the wall clock is set by {ms} ms"));
        self.clock.shift_wall(ms);
        // Its loops look again within a second, whatever they had planned.
        let (select_ms, deliver_ms) = (self.dice.between(0, 1000), self.dice.between(0, 1000));
        self.select_in_ms(select_ms);
        self.deliver_in_ms(deliver_ms);
    }

    fn set_store_down(&mut self, down: bool) {
        self.note(format_args!("the store is {}", if down { "down" } else { "up" }));
        if down {
            self.platform.store_down_since.get_or_insert(self.clock.now());
        } else if let Some(since) = self.platform.store_down_since.take() {
            self.facts.outage += self.clock.now().since(since);
        }
        self.store_down = down;
    }
}
