//! Pumps one [`Call`]: the only `select!` of a call's life.
//!
//! Order at the start is the point of it: a media leg is taken, the Call-ID is registered, the attempt is committed as
//! `dialing`, and only then does the first octet leave (SAFETY 1).
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::carriage::{Carriage, Carriages};
use super::ledger::{Ledger, Written};
use super::lingering::{self, Doubt, Lingering};
use super::plan::{self, PlanError, Trunk};
use super::reach::{Place, Reached, TargetError};
use super::recording::CallRecording;
use super::{Shared, Start};
use crate::call::{Call, Input, NextTrunk, Output, asked_once};
use crate::media::command::MediaEvent;
use crate::model::{Attempt, AttemptId, AttemptReport, Outcome, Reason, Verification};
use crate::net::mailbox::Receiver;
use crate::net::media_engine::MediaLeg;
use crate::net::sip_net::{CallQueue, Inbound, Local, RouteGuard, TlsPolicy};
use crate::policy::{Attempts, Failover, goes_to_next_trunk};
use crate::sip::invite::TargetFailure;
use crate::sip::transport::Destination;
use crate::store::{Claim, Claimed, Decided};
use crate::telemetry::wallclock;

/// How long a connection to a target may take that is tried only if the first one fails.
const FURTHER_MAX: Duration = Duration::from_secs(1);

/// How an attempt left this task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskEnd {
    /// Not claimed: canceled, expired, or taken by another.
    NotClaimed,
    /// The number's earlier call is still ending; the attempt stays due.
    NumberBusy,
    /// Nothing was claimed for want of a place: the attempt stays due, and waits a little.
    StaysDue,
    /// The trunk has no address, or no route leads there: the attempt stays due for another trunk.
    Unreachable,
    /// Refused before the claim; the verification has ended with this outcome.
    Refused(Outcome),
    /// The call ran; `next_trunk` says whether it failed on the trunk's side, and how long that asked for rest.
    Ran {
        outcome: Option<Outcome>,
        next_trunk: NextTrunk,
    },
}

/// Runs one attempt to its end. What was needed to begin it is let go of before it runs: a call lives for seconds to minutes.
pub(super) async fn run(shared: Arc<Shared>, start: Start, mut cancel: Receiver<Reason>) -> TaskEnd {
    match Box::pin(begin(shared, start, &mut cancel)).await {
        Ok(pump) => pump.run(cancel).await,
        Err(end) => end,
    }
}

async fn begin(
    shared: Arc<Shared>,
    start: Start,
    cancel: &mut Receiver<Reason>,
) -> Result<Box<Pump>, TaskEnd> {
    let mut prepared = match prepare(&shared, &start).await {
        Ok(prepared) => prepared,
        Err(refused) => return Err(refuse(&shared, &start, refused).await),
    };
    // Looking up the trunk may have taken seconds: nothing is dialled after a stop or a cancel.
    if shared.is_draining() || cancel.try_recv().is_ok() {
        return Err(TaskEnd::NotClaimed);
    }
    let verification = claim(&shared, &start, &mut prepared).await?;
    dial(shared, start, prepared, &verification).await
}

/// Commits `dialing`, or says why nothing is dialled.
async fn claim(
    shared: &Shared,
    start: &Start,
    prepared: &mut Prepared,
) -> Result<Box<Verification>, TaskEnd> {
    let attempt = start.due.id;
    let claim = Claim {
        attempt,
        node: start.in_force.config.node.clone(),
        call_id: prepared.call_id.clone(),
        trunk: start.trunk.name.clone(),
        caller_id: Some(start.trunk.caller_id_for(start.due.country.as_deref()).to_owned()),
    };
    let asked = Instant::now();
    let claimed = shared
        .store
        .claim(claim, prepared.entropy.fork(), wallclock())
        .await;
    shared.gate.lock().committed(asked.elapsed());
    match claimed {
        Ok(Claimed::Dialing(verification)) => Ok(verification),
        Ok(Claimed::NoLonger) => Err(TaskEnd::NotClaimed),
        Ok(Claimed::Blocked(outcome)) => {
            tracing::info!(%attempt, %outcome, "blocked since it was accepted; nothing was dialled");
            Err(TaskEnd::Refused(outcome))
        }
        Ok(Claimed::NumberBusy) => Err(TaskEnd::NumberBusy),
        Err(error) => {
            tracing::error!(%attempt, %error, "the claim was not written; nothing was dialled");
            Err(TaskEnd::NotClaimed)
        }
    }
}

/// The claim is durable: the call begins.
async fn dial(
    shared: Arc<Shared>,
    start: Start,
    prepared: Prepared,
    verification: &Verification,
) -> Result<Box<Pump>, TaskEnd> {
    let attempt = start.due.id;
    let Prepared {
        leg,
        route,
        call_id,
        first,
        further,
        addresses,
        local,
        entropy,
    } = prepared;
    let (carriages, destinations) = ways(&shared, &start.trunk, &first, &further);
    let spec = plan::call_spec(
        &start.in_force,
        &start.trunk,
        verification,
        shared.bindings.route(&start.trunk.name),
        plan::Wire {
            call_id,
            first,
            further,
            peers: addresses,
            local_sip: local,
            local_media: leg.local,
        },
    );
    let config = &start.in_force.config;
    let (node, fraud_block) = (config.node.clone(), config.fraud_block);
    let ledger = Ledger::new(shared.store.clone(), attempt, node, fraud_block);
    match spec {
        Ok(mut spec) => {
            let recording = config.recording.as_ref().and_then(|r| r.of_call(verification));
            spec.tape = recording.as_ref().map(|recording| recording.rules);
            let recording = recording.map(|recording| Recorded {
                recording,
                call_id: spec.invite.call_id.clone(),
                local: spec.local_media,
            });
            tracing::info!(%attempt, verification = %verification.id, to = %verification.to, trunk = %start.trunk.name, "dialling");
            let call = Call::new(Instant::now(), spec, entropy);
            Ok(Box::new(Pump {
                shared,
                attempt,
                call,
                leg: Some(leg),
                route,
                carriages,
                ledger,
                outcome: None,
                next_trunk: NextTrunk::No,
                attempts: attempts_of(verification, start.due.number, start.untried),
                last_report: None,
                invited: Vec::new(),
                frees_number: false,
                trunk: start.trunk.name.clone(),
                destinations,
                current: 0,
                failover_on_timeout: start.trunk.failover_on_timeout,
                expires_at: Some(Instant::now() + verification.expires_at.since(wallclock())),
                recording,
            }))
        }
        Err(error) => {
            tracing::error!(%attempt, %error, "the call could not be set up");
            Err(not_sent(ledger).await)
        }
    }
}

/// How each target of the call is reached, and where it is, in order.
fn ways(
    shared: &Shared,
    trunk: &Trunk,
    first: &Place,
    further: &[(Place, Local)],
) -> (Carriages, Vec<Destination>) {
    let places = || std::iter::once(first).chain(further.iter().map(|(place, _)| place));
    let carriages = places().map(|place| {
        let (to, may_switch) = (place.destination.clone(), place.may_switch && trunk.tcp_switch);
        Carriage::new(shared.sip.clone(), to, trunk.tls.clone(), may_switch)
    });
    let carriages = Carriages::new(shared.sip.clone(), carriages.collect());
    (
        carriages,
        places().map(|place| place.destination.clone()).collect(),
    )
}

/// Claimed, but nothing was sent: an outcome is owed all the same.
async fn not_sent(mut ledger: Ledger) -> TaskEnd {
    let outcome = Outcome::new(Reason::Internal);
    ledger.decide(outcome, Box::default(), false, true);
    while !ledger.is_idle() {
        ledger.next().await;
    }
    TaskEnd::Ran {
        outcome: Some(outcome),
        next_trunk: NextTrunk::No,
    }
}

/// `number`: of the attempt that is being dialled.
fn attempts_of(verification: &Verification, number: u32, untried: usize) -> Attempts {
    let is_once = |attempt: &Attempt| {
        let status = attempt.report.cause.sip_status;
        attempt.outcome.is_some_and(|o| asked_once(o.reason(), status))
    };
    Attempts {
        made: number,
        asked_once: verification.attempts.iter().any(is_once),
        untried,
    }
}

/// The call's own queue of SIP messages; the Call-ID is free again when this is dropped.
pub(super) struct Route {
    pub(super) inbound: CallQueue,
    _guard: RouteGuard,
}

/// Everything that is taken before the claim.
struct Prepared {
    leg: MediaLeg,
    route: Route,
    call_id: String,
    first: Place,
    /// What the call tries after it, each with what it knows us by.
    further: Vec<(Place, Local)>,
    /// All addresses of the targets.
    addresses: Vec<SocketAddr>,
    local: Local,
    entropy: crate::model::Entropy,
}

/// What is not reached in time is left out: the call does not wait for what it may never need.
async fn further(
    shared: &Shared,
    tls: Option<&Arc<TlsPolicy>>,
    places: impl Iterator<Item = Place>,
) -> Vec<(Place, Local)> {
    let known = places.map(|place| async move {
        let local = shared.sip.local_for(&place.destination, tls);
        let local = tokio::time::timeout(FURTHER_MAX, local).await.ok()?.ok()?;
        Some((place, local))
    });
    join_all(known).await.into_iter().flatten().collect()
}

async fn prepare(shared: &Shared, start: &Start) -> Result<Prepared, PlanError> {
    let mut entropy = crate::telemetry::entropy().map_err(|e| PlanError::Entropy(e.to_string()))?;
    let Reached { places, addresses } = shared.reach(&start.trunk).await?;
    let down = || TargetError::Down {
        trunk: start.trunk.name.clone(),
    };
    let mut places = places.into_iter();
    let first = places.next().ok_or_else(down)?;
    let tls = start.trunk.tls.as_ref();
    let (local, further) = tokio::join!(
        shared.sip.local_for(&first.destination, tls),
        further(shared, tls, places)
    );
    let local = local.map_err(PlanError::NoRoute)?;
    let leg = shared.media.open().map_err(PlanError::Media)?;
    shared.gate.lock().released(start.due.verification);
    let call_id = entropy.token();
    let (guard, inbound) = shared.sip.register(&call_id).map_err(PlanError::Sip)?;
    let route = Route {
        inbound,
        _guard: guard,
    };
    Ok(Prepared {
        leg,
        route,
        call_id,
        first,
        further,
        addresses,
        local,
        entropy,
    })
}

async fn refuse(shared: &Shared, start: &Start, refused: PlanError) -> TaskEnd {
    if let Some(end) = refused.stays_due() {
        tracing::warn!(attempt = %start.due.id, trunk = %start.trunk.name, error = %refused, "not dialled; it stays due");
        return end;
    }
    let outcome = refused.outcome();
    tracing::warn!(attempt = %start.due.id, trunk = %start.trunk.name, error = %refused, "refused before dialling");
    if let Ok(entropy) = crate::telemetry::entropy() {
        let ended = shared
            .store
            .end_queued(start.due.verification, outcome, entropy, wallclock())
            .await;
        if let Err(error) = ended {
            tracing::error!(attempt = %start.due.id, %error, "the refusal was not written; it will be tried again");
            return TaskEnd::NotClaimed;
        }
    }
    TaskEnd::Refused(outcome)
}

/// Boxed, since the futures of a call would each have room for it.
struct Pump {
    shared: Arc<Shared>,
    attempt: AttemptId,
    call: Call,
    /// Given back when the call has settled.
    leg: Option<MediaLeg>,
    route: Route,
    carriages: Carriages,
    ledger: Ledger,
    outcome: Option<Outcome>,
    next_trunk: NextTrunk,
    attempts: Attempts,
    /// Since the call finished.
    last_report: Option<Box<AttemptReport>>,
    /// Where an INVITE has left for, by target.
    invited: Vec<(usize, SocketAddr)>,
    /// The ledger has been told that the phone is quiet.
    frees_number: bool,
    trunk: String,
    /// In the order in which the call tries them.
    destinations: Vec<Destination>,
    current: usize,
    failover_on_timeout: bool,
    /// When an unanswered call ends (`expires_at` of the verification, told once).
    expires_at: Option<Instant>,
    /// Its RTP goes into the flight recorder.
    recording: Option<Recorded>,
}

/// A call whose packets are kept, until its tape has come.
struct Recorded {
    recording: CallRecording,
    call_id: String,
    local: SocketAddr,
}

impl Pump {
    async fn run(mut self: Box<Self>, mut cancel: Receiver<Reason>) -> TaskEnd {
        let mut cancel_open = true;
        let mut media_open = true;
        self.drain().await;
        while !(self.call.is_settled() && self.ledger.is_idle()) {
            let deadline = self.call.poll_timeout().map(|(at, _)| at);
            let input = tokio::select! {
                biased;
                written = self.ledger.next() => self.committed(&written),
                // Media before signalling: a press that lies in the queue when BYE arrives is judged first.
                event = heard(self.leg.as_mut()), if media_open => match event {
                    Some(MediaEvent::Tape(tape)) => {
                        if let Some(kept) = self.recording.take() {
                            kept.recording.keep(&kept.call_id, kept.local, *tape);
                        }
                        None
                    }
                    Some(event) => {
                        self.log_media(&event);
                        Some(Input::Media(event))
                    }
                    None => { media_open = false; None }
                },
                inbound = self.route.inbound.recv() => inbound.map(|inbound| self.heard_sip(inbound)),
                way = self.carriages.lost() => self.lost_flow(way),
                reason = cancel.recv(), if cancel_open => match reason {
                    Some(reason) => Some(Input::Cancel(reason)),
                    None => { cancel_open = false; None }
                },
                () = until(self.expires_at) => {
                    self.expires_at = None;
                    Some(Input::Cancel(Reason::Ttl))
                }
                () = until(deadline) => Some(Input::Timeout),
            };
            if let Some(input) = input {
                self.call.handle_input(Instant::now(), input);
                self.drain().await;
            }
        }
        let end = TaskEnd::Ran {
            outcome: self.outcome,
            next_trunk: self.next_trunk,
        };
        // The trunk's channel, the media port, the recorder's place and a drain that waits must not be held for Timer D.
        self.linger();
        end
    }

    /// What a settled call still needs goes on by itself; the rest is dropped.
    fn linger(self) {
        if self.call.is_over() {
            return;
        }
        let doubt = self.last_report.filter(|_| self.call.may_ring_late());
        let lingering = Lingering {
            attempt: self.attempt,
            call: self.call,
            route: self.route,
            carriages: self.carriages,
            current: self.current,
            failover_on_timeout: self.failover_on_timeout,
            doubt: doubt.map(|report| Box::new(Doubt::new(self.ledger, report))),
        };
        tokio::spawn(Box::new(lingering).run());
    }

    fn heard_sip(&mut self, inbound: Inbound) -> Input {
        self.carriages.note(&inbound);
        Input::Sip {
            message: inbound.message,
            source: inbound.source,
        }
    }

    /// A request that waits for its answer has failed (RFC 3261 §17.1.4); an answered call goes on. Where a second
    /// telephone may not ring beside the first, Timer B decides: the server may answer on a connection of its own.
    fn lost_flow(&mut self, way: usize) -> Option<Input> {
        tracing::info!(attempt = %self.attempt, trunk = %self.trunk, "the connection to a target has ended");
        self.carriages.forget_connection(way);
        (way == self.current && self.failover_on_timeout).then_some(Input::TransportError)
    }

    /// What a message that could not be sent means. Once an INVITE has left, a phone may ring: then only the
    /// transaction's timers decide, but a stream repeats nothing.
    fn has_failed(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        let has_left = self.invited.contains(&(self.current, to));
        let is_only_try = self.failover_on_timeout && self.carriages.is_only_try(to, bytes);
        (is_invite(bytes) && !has_left) || is_only_try
    }

    /// The leg tells of unnegotiated events once a call.
    fn log_media(&self, event: &MediaEvent) {
        match event {
            MediaEvent::UnnegotiatedEvents { payload_type } => {
                tracing::info!(attempt = %self.attempt, payload_type, "telephone-events that nobody negotiated are heard");
            }
            MediaEvent::SourceLearnt { agreed, source } => {
                tracing::info!(attempt = %self.attempt, trunk = %self.trunk, sdp = %agreed, %source, "RTP comes from another address than SDP named; it is followed");
            }
            _ => {}
        }
    }

    /// Only a durable outcome of ours lets the goodbye be said; without one the call ends by its own deadline.
    fn committed(&self, written: &Written) -> Option<Input> {
        match written {
            Written::Decided(Decided::Finished { .. } | Decided::Retrying { .. }) => Some(Input::Committed),
            Written::Decided(Decided::Already(outcome)) if Some(*outcome) == self.outcome => {
                Some(Input::Committed)
            }
            Written::Decided(Decided::Already(_) | Decided::NotOurs)
            | Written::Stage
            | Written::Reported
            | Written::Freed
            | Written::Lost => None,
        }
    }

    fn decided(&mut self, outcome: Outcome, report: Box<AttemptReport>) {
        count(outcome);
        self.outcome = Some(outcome);
        self.next_trunk = self.call.next_trunk();
        self.judge_target(&outcome, &report);
        // After Timer B a phone may still ring somewhere; the operator may rule out a second ring.
        let silent = outcome.reason() == Reason::TrunkDown && !self.failover_on_timeout;
        let asked = match self.next_trunk {
            NextTrunk::Yes { .. } if !silent => Failover::Yes,
            NextTrunk::Once if !silent => Failover::Once,
            NextTrunk::Yes { .. } | NextTrunk::Once | NextTrunk::No => Failover::No,
        };
        let another = goes_to_next_trunk(outcome, asked, self.attempts);
        self.frees_number = self.call.is_settled();
        self.ledger.decide(outcome, report, another, self.frees_number);
    }

    fn target_failed(&self, target: usize, failure: TargetFailure) {
        if let Some(destination) = self.destinations.get(target) {
            tracing::warn!(attempt = %self.attempt, trunk = %self.trunk, target = %destination.address, ?failure, "a target of the trunk failed");
            self.shared.health.failed(&self.trunk, destination, failure);
        }
    }

    /// What the end of the call says of the last target that it tried.
    fn judge_target(&self, outcome: &Outcome, report: &AttemptReport) {
        let heard = report.cause.sip_status;
        let failure = match (self.next_trunk, heard) {
            (NextTrunk::Yes { rest_s: Some(rest_s) }, Some(_)) => Some(TargetFailure::Unavailable {
                retry_after_s: Some(rest_s),
            }),
            (NextTrunk::Yes { rest_s: Some(_) }, None) if outcome.reason() == Reason::TrunkDown => {
                Some(TargetFailure::Silent)
            }
            (NextTrunk::Yes { rest_s: Some(_) }, None) => Some(TargetFailure::Unsent),
            _ => None,
        };
        match (failure, self.destinations.get(self.current)) {
            (Some(failure), _) => self.target_failed(self.current, failure),
            // 408 and 503 are what a proxy says of something behind it that is gone.
            (None, Some(destination)) if heard.is_some_and(|status| !matches!(status, 408 | 503)) => {
                self.shared.health.answered(&self.trunk, destination);
            }
            (None, _) => {}
        }
    }

    /// Obeys every output that waits, and gives the number back once the phone is known to be quiet: answered, or
    /// silent for 64·T1 after INVITE, CANCEL or BYE.
    async fn drain(&mut self) {
        self.obey().await;
        if self.call.is_settled() && !self.frees_number && self.outcome.is_some() {
            self.frees_number = true;
            self.ledger.free_number();
        }
    }

    async fn obey(&mut self) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::SendSip { to, bytes } => match self.carriages.send(to, &bytes).await {
                    Ok(()) => {
                        let way = (self.current, to);
                        if is_invite(&bytes) && !self.invited.contains(&way) {
                            self.invited.reserve_exact(1);
                            self.invited.push(way);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(attempt = %self.attempt, %error, "a SIP message could not be sent");
                        if self.has_failed(to, &bytes) {
                            self.call.handle_input(Instant::now(), Input::TransportError);
                        }
                    }
                },
                Output::Media(command) => {
                    if let Some(leg) = &self.leg
                        && let Err(error) = leg.command(command)
                    {
                        tracing::warn!(attempt = %self.attempt, %error, "a media command was refused");
                    }
                }
                Output::Stage(stage) => self.ledger.stage(stage),
                Output::Decided(outcome, report) => self.decided(outcome, report),
                Output::PossibleDoubleRing => {
                    lingering::tell_double_ring(self.attempt);
                    // Before the end the report that comes with it has the flag.
                    if let Some(report) = &mut self.last_report {
                        report.flag("possible_double_ring");
                        self.ledger.report(report.clone());
                    }
                }
                Output::NextTarget { failed, failure } => {
                    self.target_failed(failed, failure);
                    self.current = failed + 1;
                    self.carriages.turn_to(self.current);
                }
                Output::Finished { outcome, report, .. } => {
                    tracing::info!(attempt = %self.attempt, %outcome, sip = report.cause.sip_status, "ended");
                    self.last_report = Some(report.clone());
                    self.ledger.report(report);
                }
            }
        }
    }
}

fn is_invite(bytes: &[u8]) -> bool {
    bytes.starts_with(b"INVITE ")
}

/// Counts an outcome by its words, for dashboards.
fn count(outcome: Outcome) {
    metrics::counter!(
        "ringproof_attempts_total",
        "status" => outcome.status().as_str(),
        "reason" => outcome.reason().as_str()
    )
    .increment(1);
}

async fn heard(leg: Option<&mut MediaLeg>) -> Option<MediaEvent> {
    leg?.events.recv().await
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
