//! What really happened, kept outside of the process: it survives its crashes and is no part of the product.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ringproof::model::{AttemptId, EventId, Outcome, VerificationId};

use crate::clock::At;
use crate::transition::RequestIndex;

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) verifications: BTreeMap<VerificationId, VerificationFacts>,
    pub(crate) attempts: BTreeMap<AttemptId, AttemptFacts>,
    pub(crate) webhooks: BTreeMap<EventId, WebhookFacts>,
    pub(crate) violations: Vec<Violation>,
    /// While the store or the process could do nothing.
    pub(crate) outage: std::time::Duration,
    pub(crate) crashes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Of EXAMPLES §3.5; 0 for what is none of them and must not happen either.
    pub(crate) invariant: u8,
    pub(crate) at: At,
    pub(crate) what: String,
}

#[derive(Debug)]
pub(crate) struct VerificationFacts {
    pub(crate) request: RequestIndex,
    pub(crate) accepted_at: At,
    /// As first committed.
    pub(crate) outcome: Option<(At, Outcome)>,
    /// Some attempt was live when the process died.
    pub(crate) cut_by_crash: bool,
}

#[derive(Debug)]
pub(crate) struct AttemptFacts {
    pub(crate) verification: VerificationId,
    /// From 1 within the verification.
    pub(crate) number: u32,
    pub(crate) call_id: String,
    pub(crate) trunk: usize,
    /// The life of the process that claimed it.
    pub(crate) life: u32,
    pub(crate) claimed_at: Option<At>,
    pub(crate) invited_at: Option<At>,
    /// As committed, with or without a next attempt.
    pub(crate) outcome: Option<Outcome>,
    /// When the call found it; a store that is down may take it later.
    pub(crate) decided_at: Option<At>,
    pub(crate) cut_by_crash: bool,
    pub(crate) ended_at: Option<At>,
    pub(crate) double_ring: bool,
    pub(crate) wire: WireFacts,
    pub(crate) heard: MediaFacts,
}

/// Signalling as it passed between the call and the network.
#[derive(Debug, Default)]
pub(crate) struct WireFacts {
    /// Branch of each INVITE, in the order in which they left.
    pub(crate) invites: Vec<String>,
    /// Branches whose INVITE had a provisional, or a final, response that the call saw.
    pub(crate) provisional: BTreeSet<String>,
    pub(crate) finals: BTreeSet<String>,
    pub(crate) cancels: BTreeSet<String>,
    /// The call saw that a phone rings, or that something there speaks (101–199).
    pub(crate) ringing_seen: bool,
    /// When the call first saw each INFO of a leg's: From tag and CSeq.
    pub(crate) infos: BTreeMap<(String, u32), At>,
    /// To tags of 2xx that the call saw.
    pub(crate) answered: BTreeMap<String, At>,
    pub(crate) acked: BTreeSet<String>,
    /// To tag → CSeq numbers of BYEs.
    pub(crate) byes: BTreeMap<String, BTreeSet<u32>>,
    /// 401 and 407 to a BYE, each of which asks for another.
    pub(crate) bye_challenges: usize,
    /// From tags of BYEs that the call saw.
    pub(crate) peer_byes: BTreeMap<String, At>,
    /// To tag of the first 2xx: the leg that is the session.
    pub(crate) session_tag: Option<String>,
    /// A message with a session description was seen: media may be agreed from here on.
    pub(crate) sdp_seen: bool,
}

/// What passed between the leg and the phone.
#[derive(Debug, Default)]
pub(crate) struct MediaFacts {
    pub(crate) started_at: Option<At>,
    pub(crate) closed_at: Option<At>,
    /// Clips whose last packet left, with the phone that they went to.
    pub(crate) said: Vec<(At, String, SocketAddr)>,
    /// Presses that the leg reported.
    pub(crate) pressed: Vec<PressFact>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct PressFact {
    pub(crate) at: At,
    pub(crate) started: At,
    pub(crate) key: char,
    /// The phone had been picked up when it was pressed.
    pub(crate) answered: bool,
}

#[derive(Debug)]
pub(crate) struct WebhookFacts {
    pub(crate) body: String,
    pub(crate) arrivals: Vec<At>,
    /// The receiver's 2xx was committed.
    pub(crate) acknowledged_at: Option<At>,
}

impl AttemptFacts {
    pub(crate) fn new(
        (verification, number): (VerificationId, u32),
        call_id: &str,
        trunk: usize,
        life: u32,
    ) -> Self {
        Self {
            verification,
            number,
            call_id: call_id.to_owned(),
            trunk,
            life,
            claimed_at: None,
            invited_at: None,
            outcome: None,
            decided_at: None,
            cut_by_crash: false,
            ended_at: None,
            double_ring: false,
            wire: WireFacts::default(),
            heard: MediaFacts::default(),
        }
    }
}
