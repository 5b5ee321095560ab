//! What the pages say about a call: while it is on, and for each way in which it can end.
use crate::api::{Code, Problem};
use crate::model::{Digit, Method, Reason, Stage};

/// Steps of the progress bar.
pub(super) const STEPS: [&str; 4] = ["Calling", "Ringing", "Answered", "Confirmed"];

/// One stage of a call in words.
#[derive(Debug)]
pub(super) struct StageText {
    pub(super) stage: &'static str,
    /// Place in [`STEPS`].
    pub(super) step: usize,
    pub(super) headline: &'static str,
    pub(super) instruction: String,
}

/// Name of a key as it is read aloud.
pub(super) fn key_name(key: Digit) -> String {
    match key {
        Digit::POUND => "# (pound or hash)".to_owned(),
        Digit::STAR => "* (star)".to_owned(),
        other => other.to_string(),
    }
}

/// What the person does after the answer.
pub(super) fn what_to_do(method: Method, key: Digit) -> String {
    let key = key_name(key);
    match method {
        Method::PressKey => format!("Answer the call, listen, and press {key}."),
        Method::RandomKey => "Answer the call, listen, and press the key that the voice names.".to_owned(),
        Method::MatchCode => {
            format!("Answer the call, key in the code that this page shows, and press {key}.")
        }
        Method::SpeakCode => "Answer the call and press 1 to hear your code.".to_owned(),
    }
}

pub(super) fn stage_text(stage: Stage, method: Method, key: Digit) -> StageText {
    let key_text = key_name(key);
    let (step, headline, instruction) = match stage {
        Stage::Queued | Stage::Dialing => (
            0,
            "Calling…",
            "Have the telephone at hand. It rings in a few seconds.".to_owned(),
        ),
        Stage::Ringing | Stage::EarlyMedia => {
            (1, "Ringing", "Your telephone is ringing. Answer it.".to_owned())
        }
        Stage::Answered | Stage::Prompting => match method {
            Method::PressKey => (
                2,
                "Answered: listen and press the key",
                format!("Listen, then press {key_text}."),
            ),
            Method::RandomKey => (
                2,
                "Answered: listen and press the key",
                "Press the key that the voice names.".to_owned(),
            ),
            Method::MatchCode => (
                2,
                "Answered: key in the code",
                format!("Key in the code below, then press {key_text}."),
            ),
            Method::SpeakCode => (2, "Answered: listen", "Press 1 to hear your code.".to_owned()),
        },
    };
    StageText {
        stage: stage.as_str(),
        step,
        headline,
        instruction,
    }
}

/// How a call ended, and the one clear next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndText {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) next: &'static str,
    /// Whether the same number may be tried again.
    pub(super) again: bool,
    /// `bad` for an alarm, `warn` for what can happen.
    pub(super) tone: &'static str,
}

const fn end(title: &'static str, text: &'static str, next: &'static str) -> EndText {
    EndText {
        title,
        text,
        next,
        again: true,
        tone: "warn",
    }
}

const fn end_for_good(title: &'static str, text: &'static str, next: &'static str) -> EndText {
    EndText {
        title,
        text,
        next,
        again: false,
        tone: "bad",
    }
}

const CONFIRMED: EndText = end("Confirmed", "We heard your key.", "Continue.");
const FRAUD_REPORTED: EndText = end_for_good(
    "The call was reported as fraud",
    "Somebody pressed 0 and # on the telephone. We call this number no more for now.",
    "If you asked for the call and pressed the wrong keys, speak to your administrator.",
);
const WRONG_KEY: EndText = end(
    "Another key was pressed",
    "We heard keys, but not the one that the voice asked for.",
    "Call again, listen to the end of the sentence, and press the key that it names.",
);
const WRONG_CODE: EndText = end(
    "The code did not match",
    "The digits that were keyed in were not those on the screen.",
    "Call again: the page shows a new code.",
);
const DECLINED: EndText = end(
    "The call was declined",
    "The telephone turned the call away.",
    "Call again and answer it. The number that calls stands on this page.",
);
const HUNG_UP: EndText = end(
    "The call ended too early",
    "The telephone hung up before we heard the key.",
    "Call again and press the key before you hang up.",
);
const NO_ANSWER: EndText = end(
    "Nobody answered",
    "We let the telephone ring, but nobody answered.",
    "Make sure that it is switched on and near you, then call again.",
);
const NO_INPUT: EndText = end(
    "We heard no key",
    "The call was answered, but no key was pressed.",
    "Call again, open the keypad of the telephone, and press the key that the voice names.",
);
const VOICEMAIL: EndText = end(
    "Voicemail answered",
    "An answering machine took the call. We left no message.",
    "Make sure that the telephone can ring, then call again and answer yourself.",
);
const CALL_SCREENED: EndText = end(
    "Call screening answered",
    "An assistant on the telephone answered for you.",
    "Switch call screening off for a moment or save the number that calls as a contact, then call again.",
);
const SUSPECT_MACHINE: EndText = end(
    "A machine seems to have answered",
    "What we heard did not come from a person.",
    "Call again and answer yourself, or use another number.",
);
const TOO_LATE: EndText = end(
    "The call came too late",
    "It could not be placed in time.",
    "Call again.",
);
const BUSY: EndText = end(
    "The line is busy",
    "Somebody is talking on this telephone.",
    "End the other call, then call again.",
);
const UNREACHABLE: EndText = end(
    "The telephone cannot be reached",
    "It may be switched off, without coverage or out of service.",
    "Switch it on or check the digits, then call again.",
);
const NO_SUCH_NUMBER: EndText = end_for_good(
    "This number does not exist",
    "The telephone network knows nobody with this number.",
    "Check the digits and change the number.",
);
const NETWORK_BUSY: EndText = end(
    "The telephone network is busy",
    "Our line to the network could not take the call.",
    "Call again in a minute, or use another method.",
);
const NETWORK_BLOCKED: EndText = end(
    "The network blocked the call",
    "The telephone company of this number turned the call away.",
    "Allow calls from the number on this page with your telephone company, or use another method.",
);
const CALL_FAILED: EndText = end(
    "The call failed",
    "This was not your fault: the call could not be carried through.",
    "Call again, or use another method.",
);
const COUNTRY_NOT_OFFERED: EndText = end_for_good(
    "Calls to this country are not offered",
    "Your organisation does not call numbers of this country.",
    "Change the number, or use another method.",
);
const NUMBER_BLOCKED: EndText = end_for_good(
    "This number is not called",
    "It was reported or blocked before.",
    "Use another number, or speak to your administrator.",
);
const PREMIUM_NUMBER: EndText = end_for_good(
    "This kind of number is not called",
    "Premium-rate and satellite numbers cannot be used.",
    "Use a mobile or landline number.",
);
const TOO_MANY_CALLS: EndText = end_for_good(
    "Too many calls",
    "No more calls can be placed for now.",
    "Use another method, or come back later.",
);
const CANCELLED: EndText = end(
    "The call was cancelled",
    "It ended before it was confirmed.",
    "Call again when you are ready.",
);

pub(super) const fn end_text(reason: Reason) -> EndText {
    match reason {
        Reason::KeyConfirmed | Reason::CodeMatched | Reason::CodePlayed => CONFIRMED,
        Reason::FraudReported => FRAUD_REPORTED,
        Reason::WrongKey => WRONG_KEY,
        Reason::WrongCode => WRONG_CODE,
        Reason::Declined => DECLINED,
        Reason::HungUp => HUNG_UP,
        Reason::NoAnswer => NO_ANSWER,
        Reason::NoInput => NO_INPUT,
        Reason::Voicemail => VOICEMAIL,
        Reason::CallScreened => CALL_SCREENED,
        Reason::SuspectMachine => SUSPECT_MACHINE,
        Reason::Ttl => TOO_LATE,
        Reason::Busy => BUSY,
        Reason::Unreachable => UNREACHABLE,
        Reason::InvalidNumber | Reason::NotAllocated => NO_SUCH_NUMBER,
        Reason::Congestion | Reason::TrunkAuth | Reason::TrunkDown => NETWORK_BUSY,
        Reason::RejectedByNetwork => NETWORK_BLOCKED,
        Reason::CodecMismatch | Reason::MediaFailed | Reason::UnknownAfterCrash | Reason::Internal => {
            CALL_FAILED
        }
        Reason::CountryNotAllowed => COUNTRY_NOT_OFFERED,
        Reason::NumberBlocked | Reason::UserBlocked => NUMBER_BLOCKED,
        Reason::PremiumNumber => PREMIUM_NUMBER,
        Reason::RateLimited | Reason::SpendLimit => TOO_MANY_CALLS,
        Reason::ByClient | Reason::Superseded | Reason::Shutdown => CANCELLED,
    }
}

/// What is wrong with an entry, for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// Id of the control, or `page`.
    pub(super) field: &'static str,
    pub(super) text: String,
}

/// A refusal of the API in the person's words.
pub(super) fn field_error(problem: &Problem) -> FieldError {
    let at = |field, text: &str| FieldError {
        field,
        text: text.to_owned(),
    };
    match problem.code {
        Code::NumberInvalid => at(
            "number",
            "Enter a telephone number that can be called, with all its digits",
        ),
        Code::NumberAmbiguous => at(
            "number",
            "Start the number with + and the country code, so that it has one meaning only",
        ),
        Code::RegionRequired => at("region", "Choose a country or region, or start the number with +"),
        Code::ParamInvalid if problem.param.as_deref() == Some("to.region") => {
            at("region", "Choose a country or region")
        }
        Code::ExtensionInvalid if problem.param.as_deref() == Some("to.number") => {
            at("number", "Enter the extension in its own field")
        }
        Code::ExtensionInvalid => at("extension", "Enter the extension with digits only, at most 16"),
        Code::CountryNotAllowed => at(
            "number",
            "Your organisation does not call numbers of this country",
        ),
        Code::PremiumNumber => at(
            "number",
            "Enter a mobile or landline number: premium-rate numbers are not called",
        ),
        Code::NumberBlocked => at(
            "number",
            "This number is blocked. Enter another one or speak to your administrator",
        ),
        Code::UserBlocked => at(
            "page",
            "No calls are placed for you at present. Speak to your administrator.",
        ),
        Code::CallInProgress => at(
            "page",
            "A call to this number is in progress. Wait until it has ended.",
        ),
        Code::RateLimited => FieldError {
            field: "page",
            text: wait_text(problem),
        },
        Code::NoTrunkAvailable | Code::ShuttingDown | Code::StoreUnavailable | Code::Overloaded => at(
            "page",
            "No call can be placed at this moment. Try again in a minute, or use another method.",
        ),
        _ => at(
            "page",
            "The call could not be placed. Check what you entered and try again.",
        ),
    }
}

fn wait_text(problem: &Problem) -> String {
    match problem.retry_after_s {
        Some(s) if s <= 90 => format!("Too many calls in a short time. Try again in {s} seconds."),
        Some(s) if s <= 5400 => format!("Too many calls. Try again in {} minutes.", s.div_ceil(60)),
        Some(s) => format!("Too many calls. Try again in {} hours.", s.div_ceil(3600)),
        None => "Too many calls. Try again later.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_title_and_one_next_step() {
        for reason in Reason::ALL {
            let text = end_text(*reason);
            assert!(!text.title.is_empty() && text.next.ends_with('.'), "{reason}");
        }
    }

    #[test]
    fn waiting_times_are_said_in_fitting_units() {
        let said = |s| {
            let mut problem = Problem::new(Code::RateLimited, "");
            problem.retry_after_s = Some(s);
            field_error(&problem).text
        };
        assert!(said(42).contains("42 seconds"));
        assert!(said(600).contains("10 minutes"));
        assert!(said(86_000).contains("24 hours"));
    }
}
