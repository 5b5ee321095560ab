//! A 2xx of ours and its ACK, RFC 3261 §13.3.1.4: repeated from T1 up to every T2, for 64·T1 at most.
use std::time::Instant;

use super::{InviteUsage, Phase, UsageEvent};
use crate::sip::endpoint::{Endpoint, SDP};
use crate::sip::message::Request;
use crate::sip::transaction::table::Transmit;
use crate::sip::transaction::timer::Backoff;

/// A 2xx of ours that is repeated until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacked {
    transmit: Transmit,
    seq: u32,
    pub(super) acknowledges: Acknowledges,
    pub(super) again: Backoff,
    pub(super) give_up_at: Instant,
    /// Our 2xx carried an offer: the ACK carries the answer.
    pub(super) expects_answer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledges {
    FirstInvite,
    Reinvite,
}

/// A 2xx as it left.
#[derive(Debug)]
pub(crate) struct Sent2xx {
    pub(crate) transmit: Transmit,
    pub(crate) seq: u32,
    pub(crate) carries_offer: bool,
}

impl InviteUsage {
    /// The ACK of a 2xx of ours, by its CSeq.
    pub(crate) fn receive_ack(
        &mut self,
        now: Instant,
        ack: &Request,
        ua: &mut Endpoint,
        out: &mut Vec<UsageEvent>,
    ) {
        let seq = ack.headers.cseq().map_or(0, |cseq| cseq.seq);
        let Some(unacked) = self.unacked.take_if(|unacked| unacked.seq == seq) else {
            return;
        };
        let sdp = ack.body_of_type(SDP).map(<[u8]>::to_vec);
        let answer = sdp.filter(|_| unacked.expects_answer);
        match (unacked.acknowledges, answer) {
            (Acknowledges::FirstInvite, sdp) => out.push(UsageEvent::Acked { sdp }),
            (Acknowledges::Reinvite, Some(sdp)) => out.push(UsageEvent::SdpAnswer { sdp }),
            (Acknowledges::Reinvite, None) => {}
        }
        if let Phase::Closing { reason } = &mut self.phase {
            let reason = reason.take();
            self.send_bye(now, reason, ua);
        }
    }

    pub(super) fn await_ack(
        &mut self,
        now: Instant,
        ua: &Endpoint,
        acknowledges: Acknowledges,
        sent: Sent2xx,
    ) {
        let timers = ua.timers();
        self.unacked = Some(Unacked {
            transmit: sent.transmit,
            seq: sent.seq,
            acknowledges,
            again: Backoff::start(now, timers.t1),
            give_up_at: now + timers.t1_64(),
            expects_answer: sent.carries_offer,
        });
    }

    /// On every transport, since a proxy behind a reliable hop may use an unreliable one.
    pub(super) fn repeat_2xx(&mut self, now: Instant, ua: &mut Endpoint, out: &mut Vec<UsageEvent>) {
        let Some(unacked) = &mut self.unacked else {
            return;
        };
        if now >= unacked.give_up_at {
            self.unacked = None;
            self.lose(now, "no ACK came", ua, out);
            return;
        }
        if now >= unacked.again.at {
            ua.transactions
                .send(unacked.transmit.to, unacked.transmit.bytes.clone());
            unacked.again = unacked.again.doubled(now, Some(ua.timers().t2));
        }
    }
}
