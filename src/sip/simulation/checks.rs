//! What must hold after every run, whatever the link did.
use super::*;

/// Runs of the quick test; the environment variable `RINGPROOF_SIP_SEEDS` asks for more.
const SEEDS: u64 = 700;

fn seeds() -> u64 {
    std::env::var("RINGPROOF_SIP_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEEDS)
}

struct Check<'a> {
    seed: u64,
    world: &'a World,
}

impl Check<'_> {
    fn that(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "seed {}: {what}\n{}",
            self.seed,
            self.world.record.trace.join("\n")
        );
    }

    fn caller_requests(&self, method: &Method) -> Vec<(u64, &Request, &[u8])> {
        let sent = self
            .world
            .record
            .caller_sent
            .iter()
            .filter_map(|(at, message, bytes)| match message {
                Message::Request(request) if request.method == *method => {
                    Some((*at, request, bytes.as_slice()))
                }
                Message::Request(_) | Message::Response(_) => None,
            });
        sent.collect()
    }

    fn received(&self, wanted: impl Fn(&Response) -> bool) -> Vec<(u64, &Response)> {
        let received = self
            .world
            .record
            .caller_received
            .iter()
            .filter_map(|(at, message)| match message {
                Message::Response(response) if wanted(response) => Some((*at, response)),
                Message::Request(_) | Message::Response(_) => None,
            });
        received.collect()
    }

    fn everyone_ends(&self) {
        self.that(
            self.world.caller.as_ref().is_some_and(InviteSession::is_ended),
            "the caller never ends",
        );
        for callee in &self.world.callees {
            let session = callee.session.as_ref();
            self.that(session.is_some_and(UasSession::is_ended), "a callee never ends");
        }
        let ended: Vec<usize> = self
            .world
            .record
            .caller_events
            .iter()
            .enumerate()
            .filter(|(_, (_, event))| *event == invite::Event::Ended)
            .map(|(n, _)| n)
            .collect();
        self.that(ended.len() == 1, "Ended comes once");
        let after = self.world.record.caller_events.iter().skip(ended[0] + 1);
        let quiet = after
            .into_iter()
            .all(|(_, event)| matches!(event, invite::Event::LateResponse { .. }));
        self.that(quiet, "only late responses follow Ended");
        let answered = self.world.record.caller_events.iter();
        let answered = answered
            .filter(|(_, event)| matches!(event, invite::Event::Answered { .. }))
            .count();
        self.that(answered <= 1, "Answered comes at most once");
    }

    /// Each 2xx that arrived is acknowledged then and there, with the same octets for the same leg; only what begins
    /// to arrive after the late window is nobody's.
    fn every_2xx_is_acknowledged(&self) {
        let mut acks: BTreeMap<(String, u32), BTreeSet<&[u8]>> = BTreeMap::new();
        let mut count: BTreeMap<(String, u32), usize> = BTreeMap::new();
        for (_, ack, bytes) in self.caller_requests(&Method::Ack) {
            let key = (to_tag(ack), ack.headers.cseq().unwrap().seq);
            acks.entry(key.clone()).or_default().insert(bytes);
            *count.entry(key).or_default() += 1;
        }
        let mut got: BTreeMap<(String, u32), usize> = BTreeMap::new();
        let success = self.received(|response| {
            response.is_success()
                && response
                    .headers
                    .cseq()
                    .is_ok_and(|cseq| cseq.method == Method::Invite)
        });
        let ended = self
            .world
            .record
            .caller_events
            .iter()
            .find(|(_, event)| *event == invite::Event::Ended);
        let window_end = ended.map_or(u64::MAX, |(at, _)| at + 32_000);
        for (at, response) in success {
            let tag = response.headers.to().unwrap().tag().unwrap().to_owned();
            let leg = (tag, response.headers.cseq().unwrap().seq);
            if at < window_end || count.contains_key(&leg) {
                *got.entry(leg).or_default() += 1;
            }
        }
        for (leg, times) in got {
            self.that(count.get(&leg) == Some(&times), "a 2xx got no ACK, or too many");
            self.that(acks[&leg].len() == 1, "an ACK changed between repetitions");
        }
    }

    /// Each leg that the caller saw answered got a BYE from one of the two sides.
    fn every_answered_leg_is_ended(&self) {
        for callee in &self.world.callees {
            let ours = self
                .caller_requests(&Method::Bye)
                .iter()
                .any(|(_, bye, _)| to_tag(bye) == callee.tag);
            let theirs = self
                .world
                .record
                .callee_sent
                .iter()
                .any(|(_, message)| match message {
                    Message::Request(request) => {
                        request.method == Method::Bye
                            && request.headers.from().unwrap().tag() == Some(callee.tag.as_str())
                    }
                    Message::Response(_) => false,
                });
            let answered = self
                .world
                .record
                .callee_sent
                .iter()
                .any(|(_, message)| match message {
                    Message::Response(response) => {
                        response.status == 200
                            && response.headers.get("CSeq") == Some("1 INVITE")
                            && response.headers.to().unwrap().tag() == Some(callee.tag.as_str())
                    }
                    Message::Request(_) => false,
                });
            self.that(!answered || ours || theirs, "an answered leg was never ended");
            self.that(answered || !ours, "a BYE went to a leg that never answered");
            self.that(
                callee.plan.answers() || !answered,
                "a leg answered against its plan",
            );
        }
    }

    fn at_most_one_bye_transaction_for_each_leg(&self) {
        let mut branches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (_, bye, _) in self.caller_requests(&Method::Bye) {
            let branch = bye.headers.top_via().unwrap().branch().unwrap().to_owned();
            branches.entry(to_tag(bye)).or_default().insert(branch);
        }
        self.that(
            branches.values().all(|of_leg| of_leg.len() == 1),
            "a leg got two BYEs",
        );
    }

    fn cancel_only_after_a_1xx_and_once(&self) {
        let cancels = self.caller_requests(&Method::Cancel);
        let Some((first, _, _)) = cancels.first() else {
            return;
        };
        let heard = self.received(|response| {
            response.status < 200
                && response
                    .headers
                    .cseq()
                    .is_ok_and(|cseq| cseq.method == Method::Invite)
        });
        self.that(
            heard.first().is_some_and(|(at, _)| at <= first),
            "a CANCEL left before any 1xx",
        );
        let octets: BTreeSet<&[u8]> = cancels.iter().map(|(_, _, bytes)| *bytes).collect();
        self.that(octets.len() == 1, "a second CANCEL");
    }

    fn at_most_seven_invites(&self) {
        let first = self.caller_requests(&Method::Invite);
        self.that(first.len() <= 7, "RFC 3261 allows 7 INVITEs over UDP in 64·T1");
    }

    fn all(&self) {
        self.everyone_ends();
        self.every_2xx_is_acknowledged();
        self.every_answered_leg_is_ended();
        self.at_most_one_bye_transaction_for_each_leg();
        self.cancel_only_after_a_1xx_and_once();
        self.at_most_seven_invites();
    }
}

fn to_tag(request: &Request) -> String {
    request.headers.to().unwrap().tag().unwrap_or_default().to_owned()
}

#[test]
fn every_call_ends_clean_on_every_link() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..seeds() {
        let world = World::run(seed);
        Check { seed, world: &world }.all();
        for (_, event) in &world.record.caller_events {
            *seen.entry(name(event)).or_default() += 1;
        }
    }
    // The runs have to reach every corner, or they prove little.
    let corners = [
        "Answered",
        "AnsweredAfterCancel",
        "Info",
        "LateResponse",
        "Offer",
        "PeerBye",
        "Provisional",
        "Rejected",
        "TimedOut",
        "Trying",
    ];
    for corner in corners {
        assert!(
            seen.contains_key(corner) || seeds() < SEEDS,
            "{corner} never happened: {seen:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..40 {
        assert_eq!(
            World::run(seed).record.trace,
            World::run(seed).record.trace,
            "seed {seed}"
        );
    }
}

fn name(event: &invite::Event) -> &'static str {
    match event {
        invite::Event::Trying => "Trying",
        invite::Event::Provisional { .. } => "Provisional",
        invite::Event::Answered { .. } => "Answered",
        invite::Event::Rejected { .. } => "Rejected",
        invite::Event::NextTarget { .. } => "NextTarget",
        invite::Event::FellBack => "FellBack",
        invite::Event::TimedOut => "TimedOut",
        invite::Event::TransportFailed => "TransportFailed",
        invite::Event::AnsweredAfterCancel => "AnsweredAfterCancel",
        invite::Event::LateResponse { .. } => "LateResponse",
        invite::Event::Offer { .. } => "Offer",
        invite::Event::SdpAnswer { .. } => "SdpAnswer",
        invite::Event::Info { .. } => "Info",
        invite::Event::PeerBye { .. } => "PeerBye",
        invite::Event::Party(_) => "Party",
        invite::Event::Ended => "Ended",
    }
}
