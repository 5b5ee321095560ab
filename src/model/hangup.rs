//! How a call ended on the wire.

super::outcome::words!(
    /// Which side ended the call.
    HungUpBy, "side" { Us = "us", Callee = "callee", Network = "network" }
);
use std::fmt;
use std::str::FromStr;

use super::UnknownWord;

/// The raw end of a call: SIP status and `Reason` header (RFC 3326), kept with the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct HangupCause {
    /// Final status code of the INVITE, 200–699; `None` when none came.
    pub sip_status: Option<u16>,
    /// Reason phrase as received, at most 128 characters.
    pub sip_reason: Option<String>,
    /// Cause of `Reason: Q.850;cause=…`, 1–127.
    pub q850: Option<u16>,
    /// `text` of the Reason header, at most 128 characters.
    pub reason_text: Option<String>,
    pub hung_up_by: Option<HungUpBy>,
}
