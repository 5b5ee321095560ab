//! What passed between server and carrier, call by call: which INVITEs came, which phones rang, what was acknowledged.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ringproof::sip::message::{Headers, Message, Method, Request, Response};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToCarrier,
    ToServer,
}

/// One Call-ID. What the link loses has been said, but has not come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// User of the Request-URI.
    pub(crate) number: String,
    /// When the carrier got its first INVITE.
    pub(crate) invited: Option<Instant>,
    /// Tags of the phone in its answers but 100: each is a phone that rings, or refuses.
    pub(crate) phones: BTreeSet<String>,
    /// 2xx to an INVITE that the carrier said, by tag and CSeq.
    pub(crate) answered: BTreeSet<(String, u32)>,
    /// ACKs of those that the server said: the link may have lost the first of them, and the next.
    pub(crate) acknowledged: BTreeSet<(String, u32)>,
    /// ACKs that came.
    settled: BTreeSet<(String, u32)>,
    /// Legs whose BYE came, from either side.
    ended: BTreeSet<String>,
    /// What was said, for a test that fails.
    pub(crate) story: Vec<String>,
}

/// Messages of one call that are kept.
const STORY_MAX: usize = 40;

impl Seen {
    /// Every answered leg has been acknowledged and ended. An ACK that was lost right before the BYE is not missed: the 2xx
    /// is not repeated after a BYE.
    pub(crate) fn is_over(&self) -> bool {
        self.answered.is_subset(&self.acknowledged)
            && self.answered.iter().all(|(tag, _)| self.ended.contains(tag))
    }

    /// Answers of which no ACK came through.
    pub(crate) fn unsettled(&self) -> usize {
        self.answered.difference(&self.settled).count()
    }
}

/// All of them, by Call-ID.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(BTreeMap<String, Seen>);

impl Tally {
    /// `comes`: the link does not lose it.
    pub(crate) fn note(&mut self, way: Way, message: &Message, comes: bool) {
        let Ok(call_id) = message.headers().call_id() else {
            return;
        };
        let call_id = call_id.to_owned();
        self.tell(&call_id, way, message, comes);
        match message {
            Message::Request(request) => self.request(call_id, way, request, comes),
            Message::Response(response) if way == Way::ToServer => self.response(&call_id, response),
            Message::Response(_) => {}
        }
    }

    fn tell(&mut self, call_id: &str, way: Way, message: &Message, comes: bool) {
        let Some(seen) = self.0.get_mut(call_id) else {
            return;
        };
        let (Some(since), true) = (seen.invited, seen.story.len() < STORY_MAX) else {
            return;
        };
        let cseq = message.headers().get("CSeq").unwrap_or_default();
        let what = match message {
            Message::Request(_) => String::new(),
            Message::Response(response) => response.status.to_string(),
        };
        let lost = if comes { "" } else { " lost" };
        let at = since.elapsed().as_millis();
        seen.story.push(format!("{at} ms {way:?} {what} {cseq}{lost}"));
    }

    fn request(&mut self, call_id: String, way: Way, request: &Request, comes: bool) {
        if way == Way::ToCarrier && request.method == Method::Invite {
            if !comes {
                return;
            }
            let seen = self.0.entry(call_id).or_default();
            seen.number = request.uri.user().unwrap_or_default().to_owned();
            seen.invited.get_or_insert_with(Instant::now);
            return;
        }
        let Some(seen) = self.0.get_mut(&call_id) else {
            return;
        };
        let phone = match way {
            Way::ToCarrier => request.headers.to(),
            Way::ToServer => request.headers.from(),
        };
        let tag = phone.ok().and_then(|phone| phone.tag().map(str::to_owned));
        match (&request.method, tag) {
            (Method::Ack, Some(tag)) => {
                let ack = (tag, seq(&request.headers));
                if comes {
                    seen.settled.insert(ack.clone());
                }
                seen.acknowledged.insert(ack);
            }
            (Method::Bye, Some(tag)) if comes => {
                seen.ended.insert(tag);
            }
            _ => {}
        }
    }

    fn response(&mut self, call_id: &str, response: &Response) {
        let Some(seen) = self.0.get_mut(call_id) else {
            return;
        };
        let is_of_invite = response
            .headers
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Invite);
        let tag = response
            .headers
            .to()
            .ok()
            .and_then(|to| to.tag().map(str::to_owned));
        let (true, Some(tag)) = (is_of_invite && response.status > 100, tag) else {
            return;
        };
        seen.phones.insert(tag.clone());
        if response.is_success() {
            seen.answered.insert((tag, seq(&response.headers)));
        }
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = (&String, &Seen)> {
        self.0.iter()
    }

    /// Calls that came for this number.
    pub(crate) fn to(&self, number: &str) -> Vec<&Seen> {
        self.0.values().filter(|seen| seen.number == number).collect()
    }
}

fn seq(headers: &Headers) -> u32 {
    headers.cseq().map_or(0, |cseq| cseq.seq)
}
