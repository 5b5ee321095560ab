//! A call that has settled: absorbs repetitions and catches a late answer until the last timer has run out.
//!
//! There are several of these for one live call, so it holds nothing but what may still be said, and how it leaves.
use std::net::SocketAddr;
use std::time::Instant;

use super::call_task::{Route, until};
use super::carriage::Carriages;
use super::ledger::Ledger;
use crate::call::{Call, Input, Output};
use crate::model::{AttemptId, AttemptReport};
use crate::net::sip_net::Inbound;

pub(super) struct Lingering {
    pub(super) attempt: AttemptId,
    pub(super) call: Call,
    pub(super) route: Route,
    pub(super) carriages: Carriages,
    pub(super) current: usize,
    pub(super) failover_on_timeout: bool,
    /// Where a target that gave no answer may still be heard.
    pub(super) doubt: Option<Box<Doubt>>,
}

/// The report of an attempt that may yet be flagged, and where it is written.
pub(super) struct Doubt {
    ledger: Ledger,
    report: Box<AttemptReport>,
}

impl Doubt {
    pub(super) const fn new(ledger: Ledger, report: Box<AttemptReport>) -> Self {
        Self { ledger, report }
    }
}

impl Lingering {
    pub(super) async fn run(mut self: Box<Self>) {
        while !(self.call.is_over() && self.is_written()) {
            let deadline = self.call.poll_timeout().map(|(at, _)| at);
            let input = tokio::select! {
                biased;
                () = written(self.doubt.as_deref_mut()) => None,
                inbound = self.route.inbound.recv() => match inbound {
                    Some(inbound) => Some(self.heard(inbound)),
                    None => return,
                },
                way = self.carriages.lost() => self.lost_flow(way),
                () = until(deadline) => Some(Input::Timeout),
            };
            if let Some(input) = input {
                self.call.handle_input(Instant::now(), input);
                // Rare, and what sending needs is large beside the rest.
                Box::pin(self.obey()).await;
            }
        }
    }

    fn is_written(&self) -> bool {
        self.doubt.as_ref().is_none_or(|doubt| doubt.ledger.is_idle())
    }

    fn heard(&mut self, inbound: Inbound) -> Input {
        self.carriages.note(&inbound);
        Input::Sip {
            message: inbound.message,
            source: inbound.source,
        }
    }

    fn lost_flow(&mut self, way: usize) -> Option<Input> {
        self.carriages.forget_connection(way);
        (way == self.current && self.failover_on_timeout).then_some(Input::TransportError)
    }

    async fn obey(&mut self) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::SendSip { to, bytes } => self.send(to, &bytes).await,
                Output::PossibleDoubleRing => self.flag(),
                // Of a call that runs.
                Output::Media(_)
                | Output::Stage(_)
                | Output::Decided(..)
                | Output::NextTarget { .. }
                | Output::Finished { .. } => {}
            }
        }
    }

    async fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        if let Err(error) = self.carriages.send(to, bytes).await {
            tracing::warn!(attempt = %self.attempt, %error, "a SIP message could not be sent");
            if self.failover_on_timeout && self.carriages.is_only_try(to, bytes) {
                self.call.handle_input(Instant::now(), Input::TransportError);
            }
        }
    }

    fn flag(&mut self) {
        tell_double_ring(self.attempt);
        if let Some(doubt) = &mut self.doubt {
            doubt.report.flag("possible_double_ring");
            doubt.ledger.report(doubt.report.clone());
        }
    }
}

/// RFC 3261 §17.1.1.2 leaves this one hole: the answer came after Timer B.
pub(super) fn tell_double_ring(attempt: AttemptId) {
    metrics::counter!("ringproof_possible_double_rings_total").increment(1);
    tracing::warn!(%attempt, "an answer came after the call had been given up");
}

/// The ledger has written something; never where nothing can be written.
async fn written(doubt: Option<&mut Doubt>) {
    match doubt {
        Some(doubt) => {
            doubt.ledger.next().await;
        }
        None => std::future::pending().await,
    }
}
