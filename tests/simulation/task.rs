//! One call task, as `dialer` runs it: a media leg, the Call-ID, the claim, and only then the call and its pump.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringproof::call::{Call, CallSpec, CallTimings, Input, NextTrunk, Output, asked_once};
use ringproof::ivr::Script;
use ringproof::media::command::{DtmfMode, MediaEvent};
use ringproof::model::{AttemptId, AttemptReport, Codec, Masked, Outcome, Reason, Verification};
use ringproof::policy::{Attempts, Failover, goes_to_next_trunk};
use ringproof::sip::digest::Credentials;
use ringproof::sip::invite::{self, Hop, InviteConfig, TimerConfig, Transport};
use ringproof::sip::message::{Message, NameAddr};
use ringproof::sip::transport::{Destination, SipTransport};
use ringproof::sip::uri::Uri;
use ringproof::store::{Claim, Claimed, DueAttempt, StoreError};

use crate::clock::At;
use crate::dice::Dice;
use crate::facts::AttemptFacts;
use crate::ledger::{Ledger, Written};
use crate::media::Leg;
use crate::ops::{Done, Op};
use crate::plan::Plant;
use crate::transition::Transition;
use crate::voice::VOICE;
use crate::world::{LOCAL, NODE, Owner, PASSWORD, World};

/// Inputs that one wake may take before it counts as going round and round.
const SPINS_MAX: u32 = 5_000;

pub(crate) struct Task {
    pub(crate) attempt: AttemptId,
    pub(crate) trunk: usize,
    pub(crate) call_id: String,
    pub(crate) due: DueAttempt,
    pub(crate) leg: Leg,
    pub(crate) phase: Phase,
    pub(crate) written: VecDeque<Written>,
    pub(crate) media: VecDeque<MediaEvent>,
    pub(crate) sip: VecDeque<(Message, SocketAddr)>,
    pub(crate) cancels: VecDeque<Reason>,
    wake_at: Option<At>,
}

pub(crate) enum Phase {
    Claiming,
    Running(Box<Running>),
}

pub(crate) struct Running {
    pub(crate) call: Call,
    pub(crate) ledger: Ledger,
    outcome: Option<Outcome>,
    next_trunk: NextTrunk,
    /// Where an INVITE has left for.
    invited: BTreeSet<SocketAddr>,
    /// The ledger has been told that the phone is quiet.
    frees_number: bool,
    /// When an unanswered call ends, told once.
    expires_at: Option<At>,
    /// Media, trunk and place were given back: only repetitions are absorbed.
    settled: bool,
    attempts: Attempts,
    last_report: Box<AttemptReport>,
    finished_at: Option<At>,
}

pub(crate) enum TaskEnd {
    /// Not claimed, or not to be dialled.
    NotRun,
    Ran {
        outcome: Option<Outcome>,
        next_trunk: NextTrunk,
    },
}

impl World<'_> {
    pub(crate) fn begin_task(&mut self, due: &DueAttempt, trunk: &str) {
        let index = self.peers.iter().position(|peer| peer.name == trunk).unwrap();
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let Some(port) = process.free_ports.pop() else {
            let outcome = Outcome::new(Reason::Congestion);
            self.note(format_args!("no port is free"));
            self.write(
                Op::EndQueued {
                    id: due.verification,
                    outcome,
                },
                Owner::Nobody,
            );
            return self.attend(due.id, index, &TaskEnd::NotRun);
        };
        let call_id = self.dice.token();
        process.routes.insert(call_id.clone(), due.id);
        let task = Task {
            attempt: due.id,
            trunk: index,
            call_id: call_id.clone(),
            due: due.clone(),
            leg: Leg::new(port),
            phase: Phase::Claiming,
            written: VecDeque::new(),
            media: VecDeque::new(),
            sip: VecDeque::new(),
            cancels: VecDeque::new(),
            wake_at: None,
        };
        process.tasks.insert(due.id, task);
        let facts = AttemptFacts::new((due.verification, due.number), &call_id, index, self.life);
        self.facts.attempts.insert(due.id, facts);
        if self.plant == Some(Plant::DialsBeforeClaim) {
            self.forged_invite(due.id);
        }
        let claim = Claim {
            attempt: due.id,
            node: NODE.to_owned(),
            call_id,
            trunk: trunk.to_owned(),
            caller_id: Some("+18005550199".to_owned()),
        };
        self.write(Op::Claim(claim), Owner::Task { attempt: due.id });
    }

    /// A write of this task is done, or could not be.
    pub(crate) fn written(&mut self, attempt: AttemptId, result: Result<Done, StoreError>) {
        let Some(task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.get_mut(&attempt))
        else {
            return;
        };
        match (&mut task.phase, result) {
            (Phase::Claiming, Ok(Done::Claimed(Claimed::Dialing(verification)))) => {
                self.dial(attempt, &verification);
            }
            (Phase::Claiming, _) => self.not_run(attempt),
            (Phase::Running(running), result) => {
                if let Some(again) = running.ledger.settle(result, &mut task.written) {
                    let life = self.life;
                    self.after(again, Transition::TryAgain { life, attempt });
                }
                self.begin_write(attempt);
                self.wake_soon(attempt);
            }
        }
    }

    /// The write that failed is made again.
    pub(crate) fn try_again(&mut self, attempt: AttemptId) {
        let Some(running) = self.running(attempt) else {
            return;
        };
        if let Some(op) = running.ledger.again(attempt) {
            self.write(op, Owner::Task { attempt });
        }
    }

    fn begin_write(&mut self, attempt: AttemptId) {
        let wall = self.clock.wall();
        let fraud_block = self.plan.fraud_block;
        let Some(running) = self.running(attempt) else {
            return;
        };
        if let Some(op) = running.ledger.begin(attempt, wall, fraud_block) {
            self.write(op, Owner::Task { attempt });
        }
    }

    fn running(&mut self, attempt: AttemptId) -> Option<&mut Running> {
        match &mut self.process.as_mut()?.tasks.get_mut(&attempt)?.phase {
            Phase::Claiming => None,
            Phase::Running(running) => Some(running),
        }
    }

    fn dial(&mut self, attempt: AttemptId, verification: &Verification) {
        let entropy = self.dice.fork();
        let instant = self.clock.instant();
        let Some(mut task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.remove(&attempt))
        else {
            return;
        };
        let spec = self.call_spec(&task, verification);
        if let Err(error) = spec.check() {
            self.violate(0, format!("the call cannot be placed: {error}"));
        }
        self.log_dialling(&task.peer_name(self), verification);
        let untried = self.peers.len().saturating_sub(task.due.tried_trunks.len() + 1);
        let call = Call::new(instant, spec, entropy);
        let mut running = Box::new(Running {
            call,
            ledger: Ledger::new(),
            outcome: None,
            next_trunk: NextTrunk::No,
            invited: BTreeSet::new(),
            frees_number: false,
            expires_at: Some(self.now().plus(verification.expires_at.since(self.clock.wall()))),
            settled: false,
            attempts: Attempts {
                made: task.due.number,
                asked_once: verification.attempts.iter().any(|attempt| {
                    let status = attempt.report.cause.sip_status;
                    attempt.outcome.is_some_and(|o| asked_once(o.reason(), status))
                }),
                untried,
            },
            last_report: Box::default(),
            finished_at: None,
        });
        if self.plant == Some(Plant::TalksBeforeAnswer) {
            self.leg_talks_unasked(&mut task);
        }
        self.drain(&mut task, &mut running);
        task.phase = Phase::Running(running);
        if let Some(process) = self.process.as_mut() {
            process.tasks.insert(attempt, task);
        }
        self.begin_write(attempt);
        self.wake_soon(attempt);
    }

    /// There is something in a queue of this task.
    pub(crate) fn wake_soon(&mut self, attempt: AttemptId) {
        let latency_us = match self.dice.chance(10) {
            true => self.dice.between(1, self.plan.scheduling_us_max),
            false => self.dice.between(1, 200),
        };
        let at = self.now().plus(Duration::from_micros(latency_us));
        self.wake_at(attempt, at);
    }

    fn wake_at(&mut self, attempt: AttemptId, at: At) {
        let (at, life) = (at.max(self.now()), self.life);
        let Some(task) = self
            .process
            .as_mut()
            .and_then(|process| process.tasks.get_mut(&attempt))
        else {
            return;
        };
        if task.wake_at.is_none_or(|planned| at < planned) {
            task.wake_at = Some(at);
            self.at(at, Transition::Wake { life, attempt });
        }
    }

    pub(crate) fn wake(&mut self, attempt: AttemptId) {
        let now = self.now();
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let Some(mut task) = process.tasks.remove(&attempt) else {
            return;
        };
        let early = task.wake_at != Some(now) || matches!(task.phase, Phase::Claiming);
        if early {
            if task.wake_at == Some(now) {
                task.wake_at = None;
            }
            process.tasks.insert(attempt, task);
            return;
        }
        task.wake_at = None;
        let Phase::Running(mut running) = std::mem::replace(&mut task.phase, Phase::Claiming) else {
            return;
        };
        self.pump(&mut task, &mut running);
        let idle = running.ledger.is_idle();
        let (over, settled) = (running.call.is_over() && idle, running.call.is_settled() && idle);
        let deadline = running.call.poll_timeout();
        // Once settled it only lingers, whatever a late answer makes it do.
        let gives_back = settled && !running.settled;
        running.settled |= settled;
        let end = TaskEnd::Ran {
            outcome: running.outcome,
            next_trunk: running.next_trunk,
        };
        if over && let Some((_, why)) = deadline {
            self.violate(5, format!("the timer {why:?} outlives its call"));
        }
        self.check_age(&task, &running);
        let expires_at = running.expires_at.filter(|_| !running.settled);
        task.phase = Phase::Running(running);
        if let Some(process) = self.process.as_mut() {
            process.tasks.insert(attempt, task);
        }
        if gives_back {
            self.give_back(attempt, &end);
        }
        if over {
            return self.end_task(attempt);
        }
        self.begin_write(attempt);
        if self.plant == Some(Plant::ForgetsDeadlines) {
            return;
        }
        let deadline = deadline.map(|(at, _)| self.clock.at(at));
        if let Some(at) = [deadline, expires_at].into_iter().flatten().min() {
            // Timers of the runtime are as coarse as a millisecond, and never early.
            self.wake_at(attempt, At(at.0.div_ceil(1000) * 1000));
        }
    }

    fn pump(&mut self, task: &mut Task, running: &mut Running) {
        for _ in 0..SPINS_MAX {
            if running.call.is_over() && running.ledger.is_idle() {
                return;
            }
            let due = running
                .call
                .poll_timeout()
                .filter(|(at, _)| *at <= self.clock.instant());
            let input = if let Some(written) = task.written.pop_front() {
                match written {
                    Written::Decided => Input::Committed,
                    Written::Other => continue,
                }
            } else if let Some(event) = task.media.pop_front() {
                // Media before signalling: a press that lies in the queue when BYE arrives is judged first.
                Input::Media(event)
            } else if let Some((message, source)) = task.sip.pop_front() {
                Input::Sip { message, source }
            } else if let Some(reason) = task.cancels.pop_front() {
                Input::Cancel(reason)
            } else if running.expires_at.is_some_and(|at| at <= self.now()) && !running.settled {
                running.expires_at = None;
                Input::Cancel(Reason::Ttl)
            } else if due.is_some() {
                Input::Timeout
            } else {
                return;
            };
            self.feed(task, running, input);
        }
        let deadline = running.call.poll_timeout().map(|(_, why)| why);
        self.violate(
            0,
            format!("a call goes round and round, its deadline is {deadline:?}"),
        );
    }

    fn feed(&mut self, task: &mut Task, running: &mut Running, input: Input) {
        let owed = match &input {
            Input::Sip { message, source } => self.seen_by_call(task, message, *source),
            _ => Owed::Nothing,
        };
        if self.trace.is_on() {
            let (name, text) = (self.name_of(task.attempt), describe(&input));
            self.note(format_args!("{name} <- {text}"));
        }
        self.sent_now.clear();
        running.call.handle_input(self.clock.instant(), input);
        self.drain(task, running);
        self.settle_debts(task, &owed);
    }

    /// Obeys every output that waits, and gives the number back once the phone is known to be quiet.
    fn drain(&mut self, task: &mut Task, running: &mut Running) {
        self.obey(task, running);
        if running.call.is_settled() && !running.frees_number && running.outcome.is_some() {
            running.frees_number = true;
            running.ledger.free_number();
        }
    }

    fn obey(&mut self, task: &mut Task, running: &mut Running) {
        while let Some(output) = running.call.poll_output() {
            match output {
                Output::SendSip { to, bytes } => {
                    let refused = self.dice.below(1000) < self.plan.send_errors_per_mille;
                    if refused {
                        self.lose(task.attempt, &task.leg, &bytes);
                        // Once an INVITE has left, a phone may ring: then only the transaction's timers decide.
                        if is_invite(&bytes) && !running.invited.contains(&to) {
                            running
                                .call
                                .handle_input(self.clock.instant(), Input::TransportError);
                        }
                    } else {
                        if is_invite(&bytes) {
                            running.invited.insert(to);
                        }
                        self.emit(task.attempt, Some(&task.leg), to, bytes);
                    }
                }
                Output::Media(_) if running.settled => {}
                Output::Media(command) => self.media_command(task, command),
                Output::Stage(stage) => running.ledger.stage(stage),
                Output::Decided(outcome, report) => {
                    let name = self.name_of(task.attempt);
                    self.note(format_args!("{name} -> decided {outcome}"));
                    if running.outcome.is_some() {
                        self.violate(1, format!("{name}: the call decides a second time: {outcome}"));
                    }
                    running.outcome = Some(outcome);
                    running.next_trunk = running.call.next_trunk();
                    let fails_over = self.plan.trunks[task.trunk].failover_on_timeout;
                    let silent = outcome.reason() == Reason::TrunkDown && !fails_over;
                    let asked = match running.next_trunk {
                        NextTrunk::Yes { .. } if !silent => Failover::Yes,
                        NextTrunk::Once if !silent => Failover::Once,
                        NextTrunk::Yes { .. } | NextTrunk::Once | NextTrunk::No => Failover::No,
                    };
                    let another = goes_to_next_trunk(outcome, asked, running.attempts);
                    let now = self.now();
                    if let Some(facts) = self.facts.attempts.get_mut(&task.attempt) {
                        facts.decided_at = Some(now);
                    }
                    running.frees_number = running.call.is_settled();
                    running
                        .ledger
                        .decide(outcome, report, another, running.frees_number);
                }
                Output::PossibleDoubleRing => {
                    let name = self.name_of(task.attempt);
                    self.note(format_args!("{name} -> possible double ring"));
                    if let Some(facts) = self.facts.attempts.get_mut(&task.attempt) {
                        facts.double_ring = true;
                    }
                    // Before the end the report that comes with it has the flag.
                    if running.finished_at.is_some() {
                        running.last_report.flag("possible_double_ring");
                        running.ledger.report(running.last_report.clone());
                    }
                }
                Output::NextTarget { failed, failure } => {
                    let name = self.name_of(task.attempt);
                    self.note(format_args!("{name} -> target {failed} failed: {failure:?}"));
                }
                Output::Finished { outcome, report, .. } => {
                    let name = self.name_of(task.attempt);
                    self.note(format_args!("{name} -> finished {outcome}"));
                    if running.outcome != Some(outcome) || running.finished_at.is_some() {
                        self.violate(
                            1,
                            format!("{name}: finished as {outcome}, decided as {:?}", running.outcome),
                        );
                    }
                    running.finished_at = Some(self.now());
                    running.last_report = report.clone();
                    running.ledger.report(report);
                }
            }
        }
    }

    /// Transactions take their time, but they end.
    fn check_age(&mut self, task: &Task, running: &Running) {
        const TRANSACTIONS_MAX: Duration = Duration::from_secs(200);
        if let Some(at) = running.finished_at
            && self.now().since(at) > TRANSACTIONS_MAX + self.facts.outage
        {
            let name = self.name_of(task.attempt);
            self.violate(5, format!("{name}: its transactions live on for more than 200 s"));
        }
    }

    /// The trunk's channel, the media port and a drain that waits are not held for Timer D.
    fn give_back(&mut self, attempt: AttemptId, end: &TaskEnd) {
        let name = self.name_of(attempt);
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let Some(task) = process.tasks.get(&attempt) else {
            return;
        };
        let (trunk, port, is_open) = (task.trunk, task.leg.port, task.leg.is_open());
        if self.plant != Some(Plant::KeepsPort) {
            process.free_ports.push(port);
        }
        if is_open {
            self.violate(5, format!("{name}: its media leg is still open"));
        }
        self.attend(attempt, trunk, end);
    }

    /// Nothing is absorbed any more.
    fn end_task(&mut self, attempt: AttemptId) {
        let now = self.now();
        let Some(process) = self.process.as_mut() else {
            return;
        };
        if let Some(task) = process.tasks.remove(&attempt) {
            process.routes.remove(&task.call_id);
        }
        if let Some(facts) = self.facts.attempts.get_mut(&attempt) {
            facts.ended_at = Some(now);
        }
    }

    /// Not claimed: nothing was sent.
    fn not_run(&mut self, attempt: AttemptId) {
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let Some(task) = process.tasks.remove(&attempt) else {
            return;
        };
        process.routes.remove(&task.call_id);
        process.free_ports.push(task.leg.port);
        self.facts.attempts.remove(&attempt);
        self.attend(attempt, task.trunk, &TaskEnd::NotRun);
    }

    fn call_spec(&self, task: &Task, verification: &Verification) -> CallSpec {
        let trunk = &self.plan.trunks[task.trunk];
        let peer = &self.peers[task.trunk];
        let user = verification.to.reveal().to_owned();
        let request_uri = Uri::sip(Some(&user), peer.edge.ip(), None);
        let from = Uri::sip(Some("+18005550199"), peer.edge.ip(), None);
        let credentials = trunk.has_credentials.then(|| Credentials {
            username: "ringproof".to_owned(),
            password: Masked::new(PASSWORD.to_owned()),
            realm: None,
        });
        let further: Vec<Hop> = trunk
            .front
            .iter()
            .map(|_| Hop {
                destination: Destination {
                    transport: SipTransport::Udp,
                    address: peer.edge,
                    host: peer.edge.ip().to_string(),
                },
                local: LOCAL,
                public: None,
                request_uri: request_uri.clone(),
            })
            .collect();
        CallSpec {
            invite: InviteConfig {
                target: if trunk.front.is_some() {
                    peer.front
                } else {
                    peer.edge
                },
                local: LOCAL,
                public: None,
                transport: Transport::Udp,
                request_uri: request_uri.clone(),
                from: NameAddr::new(from),
                to: NameAddr::new(request_uri),
                contact_user: "18005550199".to_owned(),
                route: Vec::new(),
                extra_headers: Vec::new(),
                user_agent: "Ringproof".to_owned(),
                call_id: task.call_id.clone(),
                credentials,
                peers: vec![ringproof::sip::peer::IpNet::host(peer.core.ip())],
                rel100: trunk.rel100,
                timers: TimerConfig::default(),
                failover: invite::Failover {
                    further,
                    on_silence: trunk.failover_on_timeout,
                },
            },
            local_media: SocketAddr::new(LOCAL.ip(), task.leg.port),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            rtcp_mux: false,
            learn: false,
            srtp: ringproof::model::SrtpPolicy::Off,
            srtp_profile: ringproof::model::SrtpProfile::Savp,
            dtmf: DtmfMode::Auto,
            tape: None,
            method: verification.method,
            code: verification.code.clone(),
            extension: verification.extension.clone(),
            script: Script::default(),
            voice: Arc::clone(&VOICE),
            brand: verification.brand.clone(),
            message: BTreeMap::clone(&verification.message),
            timings: CallTimings::default(),
        }
    }
}

impl Task {
    /// Somebody may still want to end it.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(&self.phase, Phase::Running(running) if running.settled)
    }

    fn peer_name(&self, world: &World<'_>) -> String {
        world.peers[self.trunk].name.clone()
    }
}

/// What a message that came in obliges the call to send at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owed {
    Nothing,
    /// An ACK to the 2xx with this To tag.
    AckOfAnswer(String),
    /// An ACK in the transaction of this branch.
    AckOfRejection(String),
}

fn is_invite(bytes: &[u8]) -> bool {
    bytes.starts_with(b"INVITE ")
}

fn describe(input: &Input) -> String {
    match input {
        Input::Sip { message, .. } => crate::wire::summary(message),
        Input::Media(event) => format!("media: {event:?}").chars().take(60).collect(),
        Input::Timeout => "deadline".to_owned(),
        Input::Cancel(reason) => format!("cancel: {reason}"),
        Input::Committed => "committed".to_owned(),
        Input::TransportError => "transport error".to_owned(),
    }
}
