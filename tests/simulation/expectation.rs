//! What a request must end as, from the plan and from what the network let through.
use std::time::Duration;

use ringproof::model::{KeyTransport, Reason};

use crate::facts::AttemptFacts;
use crate::peer::Exchange;
use crate::script::Habit;
use crate::world::World;

/// Later than this, a datagram was lost and sent again: the longest delay of a link is shorter.
const LATE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    pub(crate) outcome: Option<Reason>,
    /// Where the plan says it.
    pub(crate) expected: Option<Reason>,
    /// What the person did was told to us late, and its meaning hangs on its time: keys by INFO that were sent
    /// again, or keys counted from an answer whose 2xx was. Another end than planned may then be the right one.
    pub(crate) set_aside: bool,
}

pub(crate) fn judge(world: &World<'_>, request: usize) -> Judged {
    let accepted = world
        .facts
        .verifications
        .iter()
        .find(|(_, facts)| facts.request == request);
    let outcome = accepted
        .and_then(|(_, facts)| facts.outcome)
        .map(|(_, outcome)| outcome.reason());
    let attempts: Vec<&AttemptFacts> = world
        .facts
        .attempts
        .values()
        .filter(|facts| accepted.is_some_and(|(id, _)| facts.verification == *id))
        .collect();
    Judged {
        outcome,
        expected: expected(world, request, &attempts),
        set_aside: attempts.iter().any(|attempt| came_late(world, attempt)),
    }
}

/// The calls of a request end one after another, each on the next trunk.
fn expected(world: &World<'_>, request: usize, attempts: &[&AttemptFacts]) -> Option<Reason> {
    let asked = &world.plan.requests[request];
    let trunks = &world.plan.trunks;
    if !asked.is_known {
        return None;
    }
    let mut once_before = false;
    for (index, ending) in asked.endings.iter().enumerate() {
        let ending = (*ending)?;
        let attempt = attempts
            .iter()
            .find(|attempt| usize::try_from(attempt.number).unwrap() == index + 1);
        let unrung = attempt.is_some_and(|attempt| !attempt.wire.ringing_seen);
        let (reason, goes_on) = match ending.unrung {
            Some(unrung_ending) if unrung => unrung_ending,
            _ => (ending.reason, ending.next_trunk),
        };
        let stays = match reason {
            _ if ending.once => once_before,
            Reason::TrunkDown => !trunks[0].failover_on_timeout,
            _ => false,
        };
        let last = index + 1 >= trunks.len() || index + 1 >= asked.endings.len();
        if !goes_on || stays || last {
            return Some(reason);
        }
        once_before |= ending.once;
    }
    None
}

fn came_late(world: &World<'_>, attempt: &AttemptFacts) -> bool {
    let mut exchanges = world.peers.iter().flat_map(|peer| &peer.exchanges);
    let Some(exchange) = exchanges.find(|exchange| exchange.call_id == attempt.call_id) else {
        return false;
    };
    let timed_from_answer = matches!(
        exchange.script.callee.habit,
        Habit::EarlyKeys { .. }
            | Habit::HangsUp { .. }
            | Habit::TwelveTones
            | Habit::TonesBeforeAnswer { .. }
            | Habit::Mashes { .. }
    );
    (timed_from_answer && answer_came_late(exchange, attempt))
        || (exchange.script.callee.transport == KeyTransport::Info && keys_came_late(exchange, attempt))
}

fn answer_came_late(exchange: &Exchange, attempt: &AttemptFacts) -> bool {
    let answered = exchange
        .legs
        .iter()
        .filter_map(|leg| Some((leg, leg.answered_at?)));
    answered.into_iter().any(|(leg, at)| {
        attempt
            .wire
            .answered
            .get(&leg.tag)
            .is_none_or(|seen| seen.since(at) > LATE)
    })
}

fn keys_came_late(exchange: &Exchange, attempt: &AttemptFacts) -> bool {
    exchange.keys.iter().any(|key| {
        let tag = &exchange.legs[key.leg].tag;
        let seen = key
            .seq
            .and_then(|seq| attempt.wire.infos.get(&(tag.clone(), seq)));
        seen.is_none_or(|seen| seen.since(key.pressed_at) > LATE)
    })
}
