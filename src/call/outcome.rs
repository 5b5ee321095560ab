//! How a call that was never answered ended: SIP answer → outcome.
//!
//! `Reason: Q.850` is read first (RFC 6432 allows it in responses), then the status. Three answers say more than
//! any cause behind them and go before both: 603 with a sign of call analytics (ATIS-1000099), 607 and 608.
use crate::model::{HungUpBy, QualityReport, Reason};
use crate::sip::message::Response;

/// The network says that it, not the callee, refused the call.
pub const FLAG_CALL_BLOCKED: &str = "call_blocked";
/// No RTP has come from the callee since the answer.
pub const FLAG_NO_CALLEE_AUDIO: &str = "no_callee_audio";
/// RTP comes from another address than SDP named: the trunk's `learn`.
pub const FLAG_RTP_SOURCE_LEARNED: &str = "rtp_source_learned";
/// RTP has come, and every sample was digital silence: a muted telephone, or one-way audio behind a media server.
pub const FLAG_SILENT_CALLEE: &str = "silent_callee";
/// The peer's host refused our RTP by ICMP after the answer: nobody listens where SDP said.
pub const FLAG_RTP_REFUSED: &str = "rtp_refused";
/// The peer reports that most of our RTP was lost: the callee has hardly heard us.
pub const FLAG_RTP_NOT_RECEIVED: &str = "rtp_not_received";
/// The answer brought no key that fits our offer, and nothing goes in the clear.
pub(super) const FLAG_NO_SRTP_KEY: &str = "no_srtp_key";
/// The callee never wants to be called again (RFC 8197).
pub const FLAG_UNWANTED: &str = "unwanted";

/// The rest of a trunk that failed and did not say for how long.
const REST_S: u32 = 5;

/// Whether a phone may have rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alerting {
    /// No 18x came.
    Silent,
    /// One came: no other trunk may make it ring again.
    Heard,
}

/// Whether another trunk may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTrunk {
    No,
    /// One other trunk, not all of them.
    Once,
    /// `rest_s`: how long this trunk is to be left alone, where it is the trunk itself that failed: it said 503, said
    /// nothing, or could not be reached.
    Yes {
        rest_s: Option<u32>,
    },
}

impl NextTrunk {
    const YES: Self = Self::Yes { rest_s: None };
    const RESTING: Self = Self::Yes { rest_s: Some(REST_S) };

    #[must_use]
    pub const fn is_allowed(self) -> bool {
        !matches!(self, Self::No)
    }
}

/// What an end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    pub reason: Reason,
    pub next_trunk: NextTrunk,
    pub flag: Option<&'static str>,
}

impl Ruling {
    pub(super) const fn new(reason: Reason, next_trunk: NextTrunk) -> Self {
        Self {
            reason,
            next_trunk,
            flag: None,
        }
    }

    const fn flagged(reason: Reason, flag: &'static str) -> Self {
        Self {
            reason,
            next_trunk: NextTrunk::No,
            flag: Some(flag),
        }
    }

    /// No failover after any 18x.
    const fn after(self, alerting: Alerting) -> Self {
        match alerting {
            Alerting::Silent => self,
            Alerting::Heard => Self {
                next_trunk: NextTrunk::No,
                ..self
            },
        }
    }
}

/// Of a final response 300–699 that our own CANCEL did not cause.
#[must_use]
pub fn of_response(response: &Response, alerting: Alerting) -> Ruling {
    let ruling = of_blocking(response)
        .or_else(|| of_q850(response))
        .unwrap_or_else(|| of_status(response, alerting));
    ruling.after(alerting)
}

/// Of an INVITE that got no response at all (Timer B).
#[must_use]
pub const fn of_silence(alerting: Alerting) -> Ruling {
    Ruling::new(Reason::TrunkDown, NextTrunk::RESTING).after(alerting)
}

/// Of an INVITE that could not be sent.
#[must_use]
pub const fn of_transport_error(alerting: Alerting) -> Ruling {
    Ruling::new(Reason::Congestion, NextTrunk::RESTING).after(alerting)
}

/// Of a BYE, or of a menu that ended without a key: a callee who could not be heard did not refuse, and a dialog that
/// the network lost was hung up by nobody.
#[must_use]
pub const fn of_talk(reason: Reason, audio: InboundAudio, hung_up_by: Option<HungUpBy>) -> Reason {
    match (reason, audio, hung_up_by) {
        (Reason::HungUp | Reason::NoInput, InboundAudio::None, _) => Reason::MediaFailed,
        (Reason::HungUp, InboundAudio::Heard, Some(HungUpBy::Network)) => Reason::TrunkDown,
        (reason, _, _) => reason,
    }
}

/// Whether RTP of the peer came since the answer. Ringback and announcements before it are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundAudio {
    None,
    Heard,
}

/// Whether an ended attempt, as it is kept, went to another trunk by [`NextTrunk::Once`].
#[must_use]
pub const fn asked_once(reason: Reason, sip_status: Option<u16>) -> bool {
    matches!(sip_status, Some(403)) && matches!(reason, Reason::RejectedByNetwork | Reason::Unreachable)
}

/// Of our packets between the peer's last two reports, what must be lost before the callee cannot have followed us.
const UNHEARD_FRACTION: f32 = 0.5;
/// And of the whole stream, half a second of it: a closing report may be of the last packet alone.
const UNHEARD_PACKETS_MIN: u32 = 25;

/// Whether the peer says that it got next to nothing of ours.
pub(super) fn is_unheard(quality: &QualityReport) -> bool {
    let most = quality
        .peer_fraction_lost
        .is_some_and(|lost| lost >= UNHEARD_FRACTION);
    most && quality
        .peer_packets_lost
        .is_some_and(|lost| lost >= UNHEARD_PACKETS_MIN)
}

fn of_blocking(response: &Response) -> Option<Ruling> {
    match response.status {
        607 => Some(Ruling::flagged(Reason::Declined, FLAG_UNWANTED)),
        608 => Some(Ruling::flagged(Reason::RejectedByNetwork, FLAG_CALL_BLOCKED)),
        603 if names_analytics(response) => {
            Some(Ruling::flagged(Reason::RejectedByNetwork, FLAG_CALL_BLOCKED))
        }
        _ if q850(response) == Some(21) && names_analytics(response) => {
            Some(Ruling::flagged(Reason::RejectedByNetwork, FLAG_CALL_BLOCKED))
        }
        _ => None,
    }
}

/// 603+: the phrase "Network Blocked", or a Reason such as `Q.850;cause=21;text="v=analytics1;url=…"`.
fn names_analytics(response: &Response) -> bool {
    let blocked = response.reason.to_ascii_lowercase().contains("network blocked");
    blocked
        || response.headers.reasons().iter().any(|reason| {
            let text = reason.text.as_deref().unwrap_or_default().to_ascii_lowercase();
            text.contains("analytics") || text.contains("network blocked")
        })
}

fn q850(response: &Response) -> Option<u16> {
    response
        .headers
        .reasons()
        .iter()
        .find(|reason| reason.is_q850())
        .and_then(|reason| reason.cause)
}

/// `None` for causes that say less than the status: 16 normal clearing, 31 normal unspecified, 127 interworking,
/// and those that the table leaves out.
fn of_q850(response: &Response) -> Option<Ruling> {
    let reason = match q850(response)? {
        1 | 22 => Reason::NotAllocated,
        17 => Reason::Busy,
        18 | 19 => Reason::NoAnswer,
        3 | 20 | 27 => Reason::Unreachable,
        21 => Reason::Declined,
        28 => Reason::InvalidNumber,
        34 | 38 | 41 | 42 | 44 | 47 => Reason::Congestion,
        50 | 55 | 57 => Reason::RejectedByNetwork,
        58 | 65 | 79 | 88 => Reason::CodecMismatch,
        _ => return None,
    };
    Some(Ruling::new(reason, next_trunk_of_cause(reason, response)))
}

/// The cause says what happened; whose fault it was is in the status.
fn next_trunk_of_cause(reason: Reason, response: &Response) -> NextTrunk {
    let by_status = of_status(response, Alerting::Silent).next_trunk;
    match reason {
        Reason::Congestion | Reason::CodecMismatch => NextTrunk::Yes {
            rest_s: rest_s(response),
        },
        Reason::RejectedByNetwork | Reason::Unreachable => by_status,
        _ => NextTrunk::No,
    }
}

/// RFC 3261 §20.33; only 503 has a meaning for the trunk as a whole.
fn rest_s(response: &Response) -> Option<u32> {
    (response.status == 503).then(|| response.headers.retry_after().unwrap_or(REST_S))
}

fn of_status(response: &Response, alerting: Alerting) -> Ruling {
    match response.status {
        300..=399 | 428 | 433 | 436..=438 => Ruling::new(Reason::RejectedByNetwork, NextTrunk::YES),
        401 | 407 => Ruling::new(Reason::TrunkAuth, NextTrunk::YES),
        403 => Ruling::new(Reason::RejectedByNetwork, NextTrunk::Once),
        404 | 410 | 604 => Ruling::new(Reason::NotAllocated, NextTrunk::No),
        408 => Ruling::new(Reason::Unreachable, NextTrunk::YES),
        480 => match alerting {
            Alerting::Heard => Ruling::new(Reason::NoAnswer, NextTrunk::No),
            Alerting::Silent => Ruling::new(Reason::Unreachable, NextTrunk::No),
        },
        484 | 485 => Ruling::new(Reason::InvalidNumber, NextTrunk::No),
        488 | 606 => Ruling::new(Reason::CodecMismatch, NextTrunk::YES),
        603 => Ruling::new(Reason::Declined, NextTrunk::No),
        // 600 and every 6xx without a meaning of its own.
        486 | 600..=699 => Ruling::new(Reason::Busy, NextTrunk::No),
        // 500 and every 5xx.
        500..=599 => Ruling::new(
            Reason::Congestion,
            NextTrunk::Yes {
                rest_s: rest_s(response),
            },
        ),
        // 400, 405, 415, 420 and every other 4xx: the trunk did not like what we sent.
        _ => Ruling::new(Reason::Internal, NextTrunk::YES),
    }
}

#[cfg(test)]
mod tests {
    use super::Alerting::{Heard, Silent};
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> Response {
        let mut response = Response::new(status, None);
        for (name, value) in headers {
            response.headers.push(name, *value);
        }
        response
    }

    fn rule(status: u16, alerting: Alerting) -> (Reason, NextTrunk) {
        let ruling = of_response(&response(status, &[]), alerting);
        (ruling.reason, ruling.next_trunk)
    }

    #[test]
    fn every_status_of_the_table_has_its_outcome() {
        for (statuses, reason, next) in [
            (&[486, 600][..], Reason::Busy, NextTrunk::No),
            (&[603], Reason::Declined, NextTrunk::No),
            (&[607], Reason::Declined, NextTrunk::No),
            (&[608], Reason::RejectedByNetwork, NextTrunk::No),
            (&[404, 410, 604], Reason::NotAllocated, NextTrunk::No),
            (&[484, 485], Reason::InvalidNumber, NextTrunk::No),
            (&[480], Reason::Unreachable, NextTrunk::No),
            (&[408], Reason::Unreachable, NextTrunk::YES),
            (&[401, 407], Reason::TrunkAuth, NextTrunk::YES),
            (&[403], Reason::RejectedByNetwork, NextTrunk::Once),
            (&[488, 606], Reason::CodecMismatch, NextTrunk::YES),
            (&[500, 502, 504], Reason::Congestion, NextTrunk::YES),
            (&[503], Reason::Congestion, NextTrunk::RESTING),
            (
                &[300, 301, 302, 305, 380],
                Reason::RejectedByNetwork,
                NextTrunk::YES,
            ),
            (
                &[428, 433, 436, 437, 438],
                Reason::RejectedByNetwork,
                NextTrunk::YES,
            ),
            (
                &[400, 405, 415, 420, 413, 421, 487, 493],
                Reason::Internal,
                NextTrunk::YES,
            ),
            (&[422, 491, 494], Reason::Internal, NextTrunk::YES),
            // Other 5xx count as 500 and other 6xx as 600.
            (&[501, 505, 513, 580, 599], Reason::Congestion, NextTrunk::YES),
            (&[601, 605, 699], Reason::Busy, NextTrunk::No),
        ] {
            for status in statuses {
                assert_eq!(rule(*status, Silent), (reason, next), "{status}");
            }
        }
    }

    #[test]
    fn a_480_after_ringing_is_no_answer() {
        assert_eq!(rule(480, Heard), (Reason::NoAnswer, NextTrunk::No));
    }

    #[test]
    fn nothing_goes_to_another_trunk_once_a_phone_may_have_rung() {
        for status in 300..700 {
            assert_eq!(rule(status, Heard).1, NextTrunk::No, "{status}");
        }
        assert_eq!(of_silence(Heard).next_trunk, NextTrunk::No);
        assert_eq!(of_transport_error(Heard).next_trunk, NextTrunk::No);
    }

    #[test]
    fn silence_and_transport_errors_try_the_next_trunk() {
        assert_eq!(
            of_silence(Silent),
            Ruling::new(Reason::TrunkDown, NextTrunk::RESTING)
        );
        assert_eq!(
            of_transport_error(Silent),
            Ruling::new(Reason::Congestion, NextTrunk::RESTING)
        );
    }

    #[test]
    fn q850_is_read_before_the_status() {
        for (causes, reason) in [
            (&[1, 22][..], Reason::NotAllocated),
            (&[17], Reason::Busy),
            (&[18, 19], Reason::NoAnswer),
            (&[3, 20, 27], Reason::Unreachable),
            (&[21], Reason::Declined),
            (&[28], Reason::InvalidNumber),
            (&[34, 38, 41, 42, 44, 47], Reason::Congestion),
            (&[50, 55, 57], Reason::RejectedByNetwork),
            (&[58, 65, 79, 88], Reason::CodecMismatch),
        ] {
            for cause in causes {
                let value = format!("Q.850;cause={cause}");
                for status in [480, 500, 404] {
                    let ruling = of_response(&response(status, &[("Reason", &value)]), Silent);
                    assert_eq!(ruling.reason, reason, "{status} with {value}");
                }
            }
        }
    }

    #[test]
    fn what_is_kept_of_an_attempt_tells_once_from_yes() {
        for status in 300..700 {
            for cause in 0..=127 {
                let value = format!("Q.850;cause={cause}");
                let ruling = of_response(&response(status, &[("Reason", &value)]), Silent);
                let once = asked_once(ruling.reason, Some(status));
                assert_eq!(once, ruling.next_trunk == NextTrunk::Once, "{status} {value}");
            }
        }
        assert!(!asked_once(Reason::RejectedByNetwork, None));
    }

    #[test]
    fn causes_that_say_nothing_leave_the_status_to_decide() {
        for cause in [16, 31, 127, 99] {
            let value = format!("Q.850;cause={cause}");
            let ruling = of_response(&response(486, &[("Reason", &value)]), Silent);
            assert_eq!(ruling.reason, Reason::Busy, "{value}");
        }
        let other = of_response(&response(486, &[("Reason", "SIP;cause=503")]), Silent);
        assert_eq!(other.reason, Reason::Busy);
    }

    #[test]
    fn a_480_follows_its_cause_after_and_before_ringing() {
        for (cause, alerting, reason) in [
            (19, Silent, Reason::NoAnswer),
            (20, Heard, Reason::Unreachable),
            (20, Silent, Reason::Unreachable),
        ] {
            let value = format!("Q.850;cause={cause}");
            let ruling = of_response(&response(480, &[("Reason", &value)]), alerting);
            assert_eq!((ruling.reason, ruling.next_trunk), (reason, NextTrunk::No));
        }
    }

    #[test]
    fn whose_fault_a_cause_is_stands_in_the_status() {
        let next = |status, cause: u16| {
            let value = format!("Q.850;cause={cause}");
            of_response(&response(status, &[("Reason", &value)]), Silent).next_trunk
        };
        assert_eq!(next(403, 57), NextTrunk::Once);
        assert_eq!(next(480, 27), NextTrunk::No);
        assert_eq!(next(503, 27), NextTrunk::RESTING);
        assert_eq!(next(503, 34), NextTrunk::RESTING);
        assert_eq!(next(480, 34), NextTrunk::YES);
        assert_eq!(next(503, 17), NextTrunk::No);
    }

    #[test]
    fn a_603_by_analytics_is_a_blocked_call_and_not_a_refusal() {
        let blocked = Ruling::flagged(Reason::RejectedByNetwork, FLAG_CALL_BLOCKED);
        for reason in [
            "Q.850;cause=21;text=\"v=analytics1;url=https://carrier.example/appeal\"",
            "SIP;cause=603;text=\"Analytics blocking\"",
            "SIP;cause=603;text=\"Network Blocked\"",
        ] {
            let ruling = of_response(&response(603, &[("Reason", reason)]), Silent);
            assert_eq!(ruling, blocked, "{reason}");
        }
        let mut by_phrase = response(603, &[]);
        by_phrase.reason = "Network Blocked".to_owned();
        assert_eq!(of_response(&by_phrase, Heard), blocked);
        let declined = of_response(&response(603, &[("Reason", "Q.850;cause=21")]), Silent);
        assert_eq!((declined.reason, declined.flag), (Reason::Declined, None));
    }

    #[test]
    fn a_607_is_declined_for_good_and_a_608_is_blocked() {
        let unwanted = of_response(&response(607, &[("Reason", "Q.850;cause=21")]), Silent);
        assert_eq!(unwanted, Ruling::flagged(Reason::Declined, FLAG_UNWANTED));
        let blocked = of_response(&response(608, &[("Reason", "Q.850;cause=21")]), Silent);
        assert_eq!(
            blocked,
            Ruling::flagged(Reason::RejectedByNetwork, FLAG_CALL_BLOCKED)
        );
    }

    #[test]
    fn retry_after_of_a_503_is_handed_on() {
        for (headers, expected) in [
            (&[("Retry-After", "120 (maintenance);duration=60")][..], Some(120)),
            (&[], Some(REST_S)),
            (&[("Retry-After", "soon")], Some(REST_S)),
        ] {
            let ruling = of_response(&response(503, headers), Silent);
            assert_eq!(ruling.next_trunk, NextTrunk::Yes { rest_s: expected });
        }
        assert_eq!(
            of_response(&response(500, &[("Retry-After", "5")]), Silent).next_trunk,
            NextTrunk::YES
        );
    }

    #[test]
    fn a_callee_who_was_never_heard_means_failed_media() {
        use InboundAudio::{Heard, None as Unheard};
        let callee = Some(HungUpBy::Callee);
        assert_eq!(of_talk(Reason::HungUp, Unheard, callee), Reason::MediaFailed);
        assert_eq!(of_talk(Reason::NoInput, Unheard, None), Reason::MediaFailed);
        assert_eq!(of_talk(Reason::HungUp, Heard, callee), Reason::HungUp);
        assert_eq!(
            of_talk(Reason::KeyConfirmed, Unheard, callee),
            Reason::KeyConfirmed
        );
    }

    #[test]
    fn a_dialog_that_the_network_lost_was_hung_up_by_nobody() {
        let network = Some(HungUpBy::Network);
        assert_eq!(
            of_talk(Reason::HungUp, InboundAudio::Heard, network),
            Reason::TrunkDown
        );
        assert_eq!(
            of_talk(Reason::HungUp, InboundAudio::None, network),
            Reason::MediaFailed
        );
        assert_eq!(
            of_talk(Reason::KeyConfirmed, InboundAudio::Heard, network),
            Reason::KeyConfirmed
        );
    }
}
