//! Why a call ended, as the peer said it: status line, Reason (RFC 3326, RFC 6432) and, for want of a Reason's text,
//! Warning (RFC 3261 §20.43) → [`HangupCause`].
use crate::model::{HangupCause, HungUpBy};
use crate::sip::message::{Headers, Request, Response};
use crate::sip::wire::unquote;

const TEXT_CHARS_MAX: usize = 128;

/// The cause of a final response to our INVITE.
#[must_use]
pub(crate) fn of_response(response: &Response) -> HangupCause {
    let (q850, reason_text) = reason_of(&response.headers);
    let reason_text = reason_text.or_else(|| warning_of(&response.headers));
    let hung_up_by = match response.status {
        // The answers that a person or a telephone gives.
        486 | 600 | 603 | 607 => HungUpBy::Callee,
        // 487 follows our own CANCEL.
        487 => HungUpBy::Us,
        _ => HungUpBy::Network,
    };
    HangupCause {
        sip_status: Some(response.status),
        sip_reason: shortened(&response.reason),
        q850,
        reason_text,
        hung_up_by: Some(hung_up_by),
    }
}

/// The cause of a peer's BYE.
#[must_use]
pub(crate) fn of_bye(bye: &Request) -> HangupCause {
    let (q850, reason_text) = reason_of(&bye.headers);
    HangupCause {
        sip_status: Some(200),
        sip_reason: None,
        q850,
        reason_text,
        hung_up_by: Some(HungUpBy::Callee),
    }
}

/// The dialog is lost without a BYE: no ACK, no answer to a refresh, or 481.
#[must_use]
pub(crate) fn of_lost_dialog(text: &str) -> HangupCause {
    HangupCause {
        sip_status: Some(200),
        reason_text: shortened(text),
        hung_up_by: Some(HungUpBy::Network),
        ..HangupCause::default()
    }
}

/// The Q.850 cause, and the text beside it or else the first text.
fn reason_of(headers: &Headers) -> (Option<u16>, Option<String>) {
    let reasons = headers.reasons();
    let q850 = reasons.iter().find(|reason| reason.is_q850());
    let cause = q850
        .and_then(|reason| reason.cause)
        .filter(|cause| (1..=127).contains(cause));
    let text = q850
        .and_then(|reason| reason.text.as_deref())
        .or_else(|| reasons.iter().find_map(|r| r.text.as_deref()));
    (cause, text.and_then(shortened))
}

/// `305 carrier.example "Incompatible media format"`: its code and its text.
fn warning_of(headers: &Headers) -> Option<String> {
    let warning = headers.all("Warning").next()?;
    let (code, _) = warning.split_once(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let text = unquote(warning.get(warning.find('"')?..)?);
    is_code
        .then(|| format!("{code} {text}"))
        .as_deref()
        .and_then(shortened)
}

fn shortened(text: &str) -> Option<String> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(TEXT_CHARS_MAX)
        .collect();
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Method;

    #[test]
    fn q850_is_read_beside_other_reasons_and_the_status_kept() {
        let mut response = Response::new(480, Some("Not here"));
        response.headers.push(
            "Reason",
            "SIP;cause=480;text=\"gone\", Q.850;cause=19;text=\"No answer\"",
        );
        let cause = of_response(&response);
        assert_eq!((cause.sip_status, cause.q850), (Some(480), Some(19)));
        assert_eq!(cause.sip_reason.as_deref(), Some("Not here"));
        assert_eq!(cause.reason_text.as_deref(), Some("No answer"));
        assert_eq!(cause.hung_up_by, Some(HungUpBy::Network));
    }

    #[test]
    fn a_warning_explains_where_no_reason_does() {
        let mut response = Response::new(488, None);
        response.headers.push(
            "Warning",
            "305 carrier.example \"Incompatible \\\"media\\\" format\", 399 x \"more\"",
        );
        assert_eq!(
            of_response(&response).reason_text.as_deref(),
            Some("305 Incompatible \"media\" format")
        );
        response
            .headers
            .push("Reason", "Q.850;cause=88;text=\"Incompatible destination\"");
        assert_eq!(
            of_response(&response).reason_text.as_deref(),
            Some("Incompatible destination")
        );
        for odd in ["305", "305 x", "30 x \"y\"", "abc x \"y\"", "\"", "305 x \""] {
            let mut response = Response::new(488, None);
            response.headers.push("Warning", odd);
            let _ = of_response(&response);
        }
    }

    #[test]
    fn the_side_that_ended_follows_from_the_status() {
        for (status, side) in [
            (486, HungUpBy::Callee),
            (603, HungUpBy::Callee),
            (487, HungUpBy::Us),
            (503, HungUpBy::Network),
            (404, HungUpBy::Network),
        ] {
            assert_eq!(
                of_response(&Response::new(status, None)).hung_up_by,
                Some(side),
                "{status}"
            );
        }
    }

    #[test]
    fn a_bye_carries_its_reason_and_long_or_impossible_values_are_cut() {
        let mut bye = Request::new(Method::Bye, "sip:a@192.0.2.1".parse().unwrap());
        bye.headers
            .push("Reason", format!("Q.850;cause=999;text=\"{}\"", "x".repeat(500)));
        let cause = of_bye(&bye);
        assert_eq!(cause.q850, None);
        assert_eq!(cause.reason_text.unwrap().len(), TEXT_CHARS_MAX);
        assert_eq!(cause.hung_up_by, Some(HungUpBy::Callee));
    }
}
