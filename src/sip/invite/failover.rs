//! From one target of the trunk to the next within the same call (RFC 3263 §4.3): same Call-ID, From tag and CSeq, a new
//! branch.
//!
//! A target has failed when nothing could be sent to it, when it was silent until Timer B, and when it said 503 without a
//! cause that speaks of the callee. Once a telephone may ring, or the owner has asked for a CANCEL, the failure is final.
use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Core;
use crate::sip::cause;
use crate::sip::endpoint::{without_credentials, without_via};
use crate::sip::message::{Request, Response};
use crate::sip::transaction::table::ClientId;
use crate::sip::transport::Destination;
use crate::sip::uri::Uri;

/// Where the INVITE goes when the target fails.
#[derive(Debug, Clone, Default)]
pub struct Failover {
    /// In order, after [`InviteConfig::target`](super::InviteConfig::target).
    pub further: Vec<Hop>,
    /// Whether silence (Timer B) counts: the one case in which a second telephone may ring beside the first.
    pub on_silence: bool,
}

/// One more target, and what the INVITE says when it goes there.
#[derive(Debug, Clone)]
pub struct Hop {
    pub destination: Destination,
    pub local: SocketAddr,
    pub public: Option<SocketAddr>,
    pub request_uri: Uri,
}

/// Why a target was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetFailure {
    /// The transport could not send.
    Unsent,
    /// Timer B.
    Silent,
    /// 503, with its Retry-After.
    Unavailable { retry_after_s: Option<u32> },
}

/// What is left of the list.
#[derive(Debug, Default)]
pub(super) struct Targets {
    further: VecDeque<Hop>,
    on_silence: bool,
    current: usize,
    /// INVITE transactions of targets that failed.
    left: Vec<ClientId>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Unheard,
    /// A 1xx other than 100 came.
    MayRing,
}

impl TargetFailure {
    /// Q.850 causes of congestion (SIP §4) blame the target as 503 itself does; 16, 31 and 127 say nothing.
    pub(super) fn of_response(response: &Response) -> Option<Self> {
        if response.status != 503 {
            return None;
        }
        let blames_target = match cause::of_response(response).q850 {
            None | Some(16 | 31 | 34 | 38 | 41 | 42 | 44 | 47 | 127) => true,
            Some(_) => false,
        };
        blames_target.then(|| Self::Unavailable {
            retry_after_s: response.headers.retry_after(),
        })
    }
}

impl Targets {
    pub(super) fn new(failover: Failover) -> Self {
        Self {
            further: failover.further.into(),
            on_silence: failover.on_silence,
            ..Self::default()
        }
    }

    pub(super) fn rings(&mut self) {
        self.stage = Stage::MayRing;
    }

    /// No 1xx other than 100 came: no telephone can have rung.
    pub(super) fn is_unheard(&self) -> bool {
        self.stage == Stage::Unheard
    }

    /// A target failed, and the call went on without it.
    pub(super) fn has_left_one(&self) -> bool {
        !self.left.is_empty()
    }

    /// No further target will be tried.
    pub(super) fn shed(&mut self) {
        self.further = VecDeque::new();
        self.left.shrink_to_fit();
    }

    /// Whether this transaction's target failed, and the call went on without it.
    pub(super) fn was_left(&self, id: ClientId) -> bool {
        self.left.contains(&id)
    }

    fn next(&mut self, failure: TargetFailure, wanted: bool) -> Option<Hop> {
        if !wanted || (failure == TargetFailure::Silent && !self.on_silence) {
            return None;
        }
        self.further.pop_front()
    }
}

impl Core {
    /// The INVITE for the next target, if there is one and it may be tried.
    pub(super) fn next_target(
        &mut self,
        id: ClientId,
        invite: &Request,
        failure: TargetFailure,
        wanted: bool,
        events: &mut Vec<super::Event>,
    ) -> Option<Request> {
        if self.targets.stage == Stage::MayRing {
            return None;
        }
        let hop = self.targets.next(failure, wanted)?;
        events.push(super::Event::NextTarget {
            failed: self.targets.current,
            failure,
        });
        self.targets.current += 1;
        self.targets.left.push(id);
        self.ua.retarget(
            hop.destination.address,
            hop.local,
            hop.public,
            hop.destination.transport,
        );
        Some(again(invite, hop.request_uri))
    }
}

/// What the endpoint writes anew is taken out; CSeq stays, since no dialog and no challenge moved it.
fn again(invite: &Request, request_uri: Uri) -> Request {
    let mut request = without_credentials(without_via(invite));
    for name in ["Contact", "Allow", "Supported"] {
        request.headers.remove(name);
    }
    request.uri = request_uri.into_request_uri();
    request
}
