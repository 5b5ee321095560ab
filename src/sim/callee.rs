//! What each simulated telephone does, as data.
//!
//! The called number chooses the callee (contract §7). [`defaults`] is the table of the box; `PUT
//! /sim/numbers/{number}` and the configuration replace single ones.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Codec, Digits};

/// One telephone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callee {
    /// For people: what it is like.
    pub about: String,
    /// Done in order; after the last step the callee waits for the caller to hang up.
    pub steps: Vec<Step>,
    /// How many first calls are rejected instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_first: Option<AtFirst>,
    #[serde(default)]
    pub dtmf: Dtmf,
    #[serde(default)]
    pub rtp: Rtp,
    #[serde(default)]
    pub srtp: Srtp,
    /// The only ones of the box's codecs that it knows; empty: all of them. The caller's order decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codecs: Vec<Codec>,
}

/// The first `calls` calls to a number are rejected, later ones answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtFirst {
    pub calls: u32,
    pub reject: Rejection,
}

/// A final answer other than 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// 300–699.
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
    /// Header fields, such as `Retry-After` or `Reason`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// One thing that a callee does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Says nothing at all, not even 100; only as the first step.
    Silent,
    /// 180.
    Ring,
    /// 183 with SDP, and a tone that is no answer.
    EarlyMedia {
        ms: u32,
    },
    Wait {
        ms: u32,
    },
    Reject(Rejection),
    /// 200 with SDP.
    Answer,
    /// Waits for CANCEL and answers the call all the same: 200 crossing CANCEL.
    AnswerWhenCanceled,
    /// Until the sentence that names a key has been heard, or speech and then a pause.
    WaitUntilTold,
    /// Until the sentence that says how to report fraud has been heard, or speech and then a pause.
    WaitUntilToldOfFraud,
    /// Until the caller has stopped speaking.
    WaitForPause,
    /// Until the clip of this name has been heard to its end.
    WaitForClip {
        clip: String,
    },
    Press {
        digits: String,
        #[serde(default)]
        by: PressBy,
    },
    /// Until these keys have come from the caller, one after the other: an extension.
    WaitForDigits {
        digits: String,
    },
    /// The digit of the last `digit-…` clip that was heard.
    PressHeardDigit,
    /// The code that `PUT /sim/numbers/{number}` gave, then `#`.
    PressCode,
    /// Plays the greeting of a machine, then a beep.
    Greeting {
        ms: u32,
        #[serde(default)]
        all_tones: bool,
    },
    /// Speaks, as an auto-attendant does.
    Speak {
        ms: u32,
    },
    /// The tone of a transfer that rings elsewhere.
    Ringback {
        ms: u32,
    },
    /// Speaks like a call-screening robot: a question, a pause for the answer, a request to wait.
    Screening,
    HangUp,
}

/// How keys are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PressBy {
    #[default]
    Rfc4733,
    Inband,
    Info,
    /// telephone-event without a marker and with three end packets.
    Rfc4733NoMarker,
}

/// What the SDP answer says of telephone-event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtmf {
    #[default]
    TelephoneEvent,
    /// Refused.
    None,
}

/// What the callee's media path is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rtp {
    #[default]
    Good,
    /// Answers and never sends a packet.
    Silent,
    /// 10 % loss and reordering.
    Lossy,
    /// The SDP names a port that leads nowhere: the packets come from another one.
    BehindNat,
}

/// What the callee does with keys in the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Srtp {
    /// Answers them with its own.
    #[default]
    Taken,
    /// Answers RTP/SAVP with 488, and ignores keys in RTP/AVP.
    Refused,
}

impl Callee {
    /// Rejects every call.
    #[must_use]
    pub fn rejecting(about: &str, rejection: Rejection) -> Self {
        Self::new(about, vec![Step::Reject(rejection)])
    }

    /// What cannot be played, in words.
    pub fn check(&self) -> Result<(), CalleeError> {
        if self.steps.len() > STEPS_MAX {
            return Err(CalleeError::Steps(self.steps.len()));
        }
        if let Some(first) = &self.at_first {
            first.reject.check()?;
        }
        self.steps
            .iter()
            .enumerate()
            .try_for_each(|(at, step)| step.check(at))
    }

    /// Whether the script needs the caller's keys.
    pub(super) fn listens_for_digits(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::WaitForDigits { .. }))
    }

    fn new(about: &str, steps: Vec<Step>) -> Self {
        Self {
            about: about.to_owned(),
            steps,
            at_first: None,
            dtmf: Dtmf::default(),
            rtp: Rtp::default(),
            srtp: Srtp::default(),
            codecs: Vec::new(),
        }
    }
}

/// Steps of one callee.
const STEPS_MAX: usize = 64;
/// Longest wait or sound of one step.
const STEP_MS_MAX: u32 = 300_000;

/// A number as the box keeps it: with a `+`, whatever form it was written or dialled in; a short one, an extension,
/// without.
pub(super) fn canonical(number: &str) -> String {
    let digits = number.trim_start_matches('+');
    let digits = digits.strip_prefix("00").unwrap_or(digits);
    if digits.len() > 6 {
        format!("+{digits}")
    } else {
        digits.to_owned()
    }
}

/// The canonical form of a number of a script.
pub(super) fn number_of_script(number: &str) -> Result<String, CalleeError> {
    let found = canonical(number);
    let digits = found.trim_start_matches('+');
    let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| found.clone())
        .ok_or_else(|| CalleeError::Number(number.chars().take(32).collect()))
}

/// A script from outside, checked, with its number as calls look it up.
pub fn scripted(number: &str, callee: Callee) -> Result<(String, Callee), CalleeError> {
    let number = number_of_script(number)?;
    callee.check()?;
    Ok((number, callee))
}

/// Why a callee cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalleeError {
    #[error("number: expected + and up to 15 digits, found {0:?}")]
    Number(String),
    #[error("steps: expected at most {STEPS_MAX}, found {0}")]
    Steps(usize),
    #[error("ms: expected at most {STEP_MS_MAX}, found {0}")]
    Ms(u32),
    #[error("digits: expected 1 to 32 of 0-9, A-D, * and #, found {0:?}")]
    Digits(String),
    #[error("status: expected 300 to 699, found {0}")]
    Status(u16),
    #[error("phrase: expected printable text, found {0:?}")]
    Phrase(String),
    #[error("headers: expected a name of letters, digits and - with a printable value, found {0:?}")]
    Header(String),
    #[error("silent: expected as the first step, found as step {0}")]
    Silent(usize),
}

impl Step {
    fn check(&self, at: usize) -> Result<(), CalleeError> {
        match self {
            Self::Silent if at > 0 => Err(CalleeError::Silent(at + 1)),
            Self::Wait { ms }
            | Self::EarlyMedia { ms }
            | Self::Speak { ms }
            | Self::Ringback { ms }
            | Self::Greeting { ms, .. }
                if *ms > STEP_MS_MAX =>
            {
                Err(CalleeError::Ms(*ms))
            }
            Self::Press { digits, .. } | Self::WaitForDigits { digits } => {
                let fits = (1..=32).contains(&digits.len()) && Digits::parse(digits).is_ok();
                if fits {
                    Ok(())
                } else {
                    Err(CalleeError::Digits(digits.clone()))
                }
            }
            Self::Reject(rejection) => rejection.check(),
            _ => Ok(()),
        }
    }
}

impl Rejection {
    fn check(&self) -> Result<(), CalleeError> {
        if !(300..=699).contains(&self.status) {
            return Err(CalleeError::Status(self.status));
        }
        if let Some(phrase) = self.phrase.as_ref().filter(|p| p.chars().any(char::is_control)) {
            return Err(CalleeError::Phrase(phrase.clone()));
        }
        let bad = self.headers.iter().find(|(name, value)| {
            name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                || value.chars().any(char::is_control)
        });
        match bad {
            Some((name, _)) => Err(CalleeError::Header(name.clone())),
            None => Ok(()),
        }
    }
}

fn press(digits: &str, by: PressBy) -> Step {
    Step::Press {
        digits: digits.to_owned(),
        by,
    }
}

fn reject(status: u16, phrase: Option<&str>, headers: &[(&str, &str)]) -> Rejection {
    Rejection {
        status,
        phrase: phrase.map(str::to_owned),
        headers: headers
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    }
}

/// Rings for two seconds, answers, then does `rest`.
fn answers(about: &str, rest: Vec<Step>) -> Callee {
    let mut steps = vec![Step::Ring, Step::Wait { ms: 2000 }, Step::Answer];
    steps.extend(rest);
    Callee::new(about, steps)
}

fn confirms(about: &str, by: PressBy) -> Callee {
    answers(about, vec![Step::WaitUntilTold, press("#", by)])
}

/// The callees of the contract, by the last four digits of +1 500 555 ….
#[must_use]
pub fn defaults() -> BTreeMap<String, Callee> {
    [
        keys_and_refusals(),
        people_and_machines(),
        odd_media(),
        special_calls(),
    ]
    .into_iter()
    .flatten()
    .map(|(tail, callee)| (format!("+1500555{tail}"), callee))
    .collect()
}

/// Keys by every way, and what a network answers instead.
fn keys_and_refusals() -> Vec<(&'static str, Callee)> {
    use PressBy::{Inband, Info, Rfc4733};
    vec![
        ("0001", confirms("answers and presses # by RFC 4733", Rfc4733)),
        (
            "0002",
            Callee {
                dtmf: Dtmf::None,
                ..confirms("answers and presses # as a tone", Inband)
            },
        ),
        ("0003", confirms("answers and presses # by SIP INFO", Info)),
        (
            "0004",
            Callee::new("is busy", vec![Step::Reject(reject(486, None, &[]))]),
        ),
        ("0005", Callee::new("rings for ever", vec![Step::Ring])),
        (
            "0006",
            Callee::new(
                "declines",
                vec![
                    Step::Ring,
                    Step::Wait { ms: 500 },
                    Step::Reject(reject(603, None, &[])),
                ],
            ),
        ),
        (
            "0007",
            Callee::new(
                "is not allocated",
                vec![Step::Reject(reject(404, None, &[("Reason", "Q.850;cause=1")]))],
            ),
        ),
        (
            "0008",
            Callee {
                at_first: Some(AtFirst {
                    calls: 1,
                    reject: reject(503, None, &[("Retry-After", "1")]),
                }),
                ..confirms(
                    "503 with Retry-After at first, then answers and confirms",
                    Rfc4733,
                )
            },
        ),
    ]
}

/// What happens after the answer, by a person or a machine.
fn people_and_machines() -> Vec<(&'static str, Callee)> {
    use PressBy::Rfc4733;
    let told = || Step::WaitUntilTold;
    vec![
        ("0009", answers("answers and presses nothing", vec![])),
        (
            "0010",
            answers(
                "presses a wrong key first",
                vec![told(), press("5", Rfc4733), told(), press("#", Rfc4733)],
            ),
        ),
        (
            "0011",
            answers(
                "reports fraud: 0#",
                vec![Step::WaitUntilToldOfFraud, press("0#", Rfc4733)],
            ),
        ),
        (
            "0012",
            answers("hangs up mid-prompt", vec![Step::Wait { ms: 2500 }, Step::HangUp]),
        ),
        (
            "0013",
            answers(
                "asks to repeat, then confirms",
                vec![told(), press("*", Rfc4733), told(), press("#", Rfc4733)],
            ),
        ),
        (
            "0014",
            answers(
                "voicemail with a beep",
                vec![Step::Greeting {
                    ms: 4000,
                    all_tones: false,
                }],
            ),
        ),
        (
            "0015",
            answers(
                "voicemail whose greeting plays all twelve tones",
                vec![Step::Greeting {
                    ms: 20_000,
                    all_tones: true,
                }],
            ),
        ),
        ("0016", answers("call-screening robot", vec![Step::Screening])),
    ]
}

/// Media before the answer, none, damaged, or understood word by word.
fn odd_media() -> Vec<(&'static str, Callee)> {
    use PressBy::{Rfc4733, Rfc4733NoMarker};
    let told = || Step::WaitUntilTold;
    vec![
        (
            "0017",
            Callee::new(
                "announcement in early media, then 480",
                vec![
                    Step::EarlyMedia { ms: 2000 },
                    Step::Reject(reject(480, None, &[])),
                ],
            ),
        ),
        (
            "0018",
            Callee {
                rtp: Rtp::Silent,
                ..answers(
                    "answers with no RTP at all",
                    vec![Step::Wait { ms: 4000 }, Step::HangUp],
                )
            },
        ),
        (
            "0019",
            confirms(
                "RFC 4733 without marker and with three end packets",
                Rfc4733NoMarker,
            ),
        ),
        (
            "0020",
            Callee {
                rtp: Rtp::Lossy,
                ..confirms("10 % loss and reordering", Rfc4733)
            },
        ),
        (
            "0021",
            answers("keys the code that the API gave", vec![told(), Step::PressCode]),
        ),
        (
            "0022",
            answers(
                "keys the random digit that it heard",
                vec![told(), Step::PressHeardDigit],
            ),
        ),
    ]
}

/// What needs more than a press: a CANCEL, an extension, a code.
fn special_calls() -> Vec<(&'static str, Callee)> {
    use PressBy::{Inband, Rfc4733};
    let told = || Step::WaitUntilTold;
    vec![
        (
            "0023",
            Callee::new(
                "answers exactly when CANCEL is sent",
                vec![Step::Ring, Step::AnswerWhenCanceled],
            ),
        ),
        (
            "0024",
            answers(
                "extension 1234 behind an auto-attendant",
                vec![
                    Step::Speak { ms: 1500 },
                    Step::WaitForDigits {
                        digits: "1234".to_owned(),
                    },
                    Step::Ringback { ms: 1200 },
                    told(),
                    press("#", Rfc4733),
                ],
            ),
        ),
        (
            "0025",
            answers("presses 1 and hears a code", vec![told(), press("1", Rfc4733)]),
        ),
        (
            "0026",
            Callee::new(
                "is blocked by the network",
                vec![Step::Reject(reject(603, Some("Network Blocked"), &[]))],
            ),
        ),
        (
            "0027",
            confirms("telephone-event agreed, but the key comes as a tone", Inband),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_callee_reads_back_from_its_json() {
        let table = defaults();
        assert_eq!(table.len(), 27);
        for (number, callee) in table {
            let json = serde_json::to_string(&callee).unwrap();
            assert_eq!(serde_json::from_str::<Callee>(&json).unwrap(), callee, "{number}");
            assert_eq!(callee.check(), Ok(()), "{number}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_said() {
        for (step, error) in [
            (Step::Wait { ms: 300_001 }, CalleeError::Ms(300_001)),
            (Step::Speak { ms: u32::MAX }, CalleeError::Ms(u32::MAX)),
            (press("", PressBy::Rfc4733), CalleeError::Digits(String::new())),
            (press("12x", PressBy::Info), CalleeError::Digits("12x".into())),
            (Step::Reject(reject(200, None, &[])), CalleeError::Status(200)),
            (Step::Reject(reject(700, None, &[])), CalleeError::Status(700)),
            (
                Step::Reject(reject(486, Some("Busy\r\nVia: x"), &[])),
                CalleeError::Phrase("Busy\r\nVia: x".into()),
            ),
            (
                Step::Reject(reject(503, None, &[("Retry-After", "1\r\nVia: x")])),
                CalleeError::Header("Retry-After".into()),
            ),
            (Step::Silent, CalleeError::Silent(2)),
        ] {
            let callee = Callee::new("", vec![Step::Ring, step]);
            assert_eq!(callee.check(), Err(error));
        }
        let endless = Callee::new("", vec![Step::Ring; 65]);
        assert_eq!(endless.check(), Err(CalleeError::Steps(65)));
        assert_eq!(Callee::new("", vec![Step::Silent]).check(), Ok(()));
    }

    fn rejecting_with(status: u16, headers: &[(&str, &str)]) -> Callee {
        Callee::rejecting("test", reject(status, None, headers))
    }

    #[test]
    fn a_script_is_checked_and_its_number_is_the_one_that_calls_look_up() {
        let good = rejecting_with(486, &[]);
        for (written, kept) in [
            ("+15005550001", "+15005550001"),
            ("15005550001", "+15005550001"),
            ("0015005550001", "+15005550001"),
            ("1001", "1001"),
            ("+1001", "1001"),
        ] {
            assert_eq!(
                scripted(written, good.clone()),
                Ok((kept.to_owned(), good.clone()))
            );
        }
        let long = Callee::new("test", vec![Step::Wait { ms: 4_000_000_000 }]);
        for (number, callee, error) in [
            ("", good.clone(), CalleeError::Number(String::new())),
            ("alice", good.clone(), CalleeError::Number("alice".to_owned())),
            (
                "+1500555000100000",
                good,
                CalleeError::Number("+1500555000100000".to_owned()),
            ),
            ("1001", rejecting_with(200, &[]), CalleeError::Status(200)),
            (
                "1001",
                rejecting_with(486, &[("Reason", "a\r\nVia: b")]),
                CalleeError::Header("Reason".to_owned()),
            ),
            ("1001", long, CalleeError::Ms(4_000_000_000)),
        ] {
            assert_eq!(scripted(number, callee), Err(error));
        }
    }
}
