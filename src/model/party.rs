//! What became of the call on its way to a telephone.

super::outcome::words!(
    /// What told that the call was forwarded.
    ForwardedBy, "sign of forwarding" { HistoryInfo = "history_info", Diversion = "diversion", Status181 = "181" }
);
use std::fmt;
use std::str::FromStr;

use super::UnknownWord;

/// The network sent the call on to another telephone than the one that was dialled.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forwarded {
    pub by: ForwardedBy,
    /// Where to, masked, as History-Info says it.
    pub to: Option<String>,
    /// `reason` of Diversion: `no-answer`, `user-busy`, `unconditional`…
    pub reason: Option<String>,
}
