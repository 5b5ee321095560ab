//! Enrolments, blocks, audit rows, lists and retention.
use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Status, UnixMillis, VerificationId};

use super::StoreError;

/// A session of the hosted wizard. What the pages ask and remember is JSON of the web room's own making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// `enr_…`.
    pub id: String,
    /// SHA-256 of the token in the URL.
    pub token_hash: [u8; 32],
    /// API key that made it.
    pub key_id: String,
    pub profile: String,
    /// A word of the web room (`open`, `calling`, `done`…), at most 32 characters.
    pub state: String,
    /// The request as accepted: methods, texts, end user, client_ref.
    pub request_json: String,
    /// What the person entered so far.
    pub wizard_json: String,
    /// The verification placed last.
    pub verification: Option<VerificationId>,
    pub return_url: Option<String>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    pub expires_at: UnixMillis,
    /// Grows with each update; an update names the version that it read.
    pub version: u64,
}

/// Numbers, prefixes and end users that are not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// `blk_…`.
    pub id: String,
    pub subject: BlockSubject,
    /// Why, for the operator.
    pub note: String,
    /// API key or `fraud_report`.
    pub created_by: String,
    pub created_at: UnixMillis,
    /// `None`: until removed.
    pub expires_at: Option<UnixMillis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockSubject {
    /// As dialled: `+14255550123` or an internal number.
    Number(String),
    /// Start of a number in E.164, with its `+`.
    Prefix(String),
    EndUser(String),
}

impl BlockSubject {
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "number",
            Self::Prefix(_) => "prefix",
            Self::EndUser(_) => "end_user",
        }
    }

    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Number(value) | Self::Prefix(value) | Self::EndUser(value) => value,
        }
    }
}

/// Something that an operator may have to account for. Numbers in it are masked by the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub at: UnixMillis,
    /// Key id, `cli`, or the name of a loop.
    pub actor: String,
    /// `verification.refused`, `key.created`…
    pub action: String,
    /// What it concerned, masked.
    pub subject: String,
    /// More, as JSON or words, at most 2 KiB.
    pub detail: String,
}

/// `GET /v1/verifications`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    pub status: Option<Status>,
    pub country: Option<String>,
    pub created_after: Option<UnixMillis>,
    pub client_ref: Option<String>,
    /// 1–200; 0 stands for 50.
    pub limit: u32,
    pub cursor: Option<Cursor>,
}

impl ListFilter {
    pub const LIMIT_MAX: u32 = 200;

    pub(super) fn limit_in_bounds(limit: u32) -> u32 {
        match limit {
            0 => 50,
            asked => asked.min(Self::LIMIT_MAX),
        }
    }
}

/// Where a list goes on. Opaque outside: parse what came, print what goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub(super) String);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use base64::Engine;
        f.write_str(&base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl std::str::FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        use base64::Engine;
        let wrong = || StoreError::Unusable("cursor: expected the next_cursor of an earlier answer".into());
        if text.len() > 128 {
            return Err(wrong());
        }
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| wrong())?;
        let id = String::from_utf8(bytes).map_err(|_| wrong())?;
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(wrong());
        }
        Ok(Self(id))
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `None` on the last page.
    pub next: Option<Cursor>,
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Age at which the number, code, extension, end user and tags of an ended verification are erased; the outcome stays.
    pub personal: Duration,
    /// The same for single profiles.
    pub personal_by_profile: BTreeMap<String, Duration>,
    /// Age at which ended verifications are deleted with all that belongs to them.
    pub verifications: Duration,
    /// Age of delivered webhooks, given-up ones and their history.
    pub deliveries: Duration,
    pub audit: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            personal: DAY * 30,
            personal_by_profile: BTreeMap::new(),
            verifications: DAY * 365,
            deliveries: DAY * 30,
            audit: DAY * 365,
        }
    }
}

/// What one run of retention removed. `more` says that another run has work left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    pub numbers_erased: u64,
    pub verifications: u64,
    pub deliveries: u64,
    pub audit_rows: u64,
    pub other: u64,
    pub more: bool,
}
