//! Verifications, attempts and events as rows.
use rusqlite::Connection;

use crate::model::{
    Attempt, AttemptId, AttemptReport, Destination, Digits, Extension, Masked, Outcome, PhoneNumber, Reason,
    Stage, UnixMillis, Verification, VerificationId,
};

use super::super::records::Cursor;
use super::super::{ListFilter, Page, Progress, ProgressKind, StoreError, Visibility};
use super::{Row, Sqlite, get, get_count, get_json, get_parsed, get_parsed_option, query, visible_profiles};

/// Most events that one reader gets at a time.
const EVENTS_MAX: i64 = 256;

/// Columns that make a [`Verification`]. Its attempts come in the same statement, so that no reader sees one
/// without the other.
macro_rules! verification_columns {
    () => {
        "id, key_id, profile, number, calling_code, country, extension_digits, extension_wait_ms, method, \
         code, purpose, locale, brand, client_ref, end_user_id, end_user_ip, callback_url, tags, message, \
         caller_id, created_at, expires_at, stage, reason, sequence, \
         (SELECT json_group_array(json_object('id', id, 'number', number, 'trunk', trunk, 'call_id', call_id, \
             'node', node, 'stage', stage, 'reason', reason, 'created_at', created_at, 'dialed_at', dialed_at, \
             'ended_at', ended_at, 'report', json(report))) \
          FROM (SELECT * FROM attempts WHERE verification_id = verifications.id ORDER BY number)) AS attempts"
    };
}

impl Sqlite {
    pub(in super::super) async fn verification(
        &self,
        id: VerificationId,
        visibility: &Visibility,
    ) -> Result<Option<Verification>, StoreError> {
        let found = self.read(move |conn| load(conn, id)).await?;
        Ok(found.filter(|verification| visibility.sees(&verification.profile)))
    }

    pub(in super::super) async fn verifications(
        &self,
        filter: &ListFilter,
        visibility: &Visibility,
    ) -> Result<Page<Verification>, StoreError> {
        let limit = ListFilter::limit_in_bounds(filter.limit);
        let (filter, profiles) = (filter.clone(), visible_profiles(visibility)?);
        self.read(move |conn| {
            let rows = query(concat!(
                "SELECT ",
                verification_columns!(),
                " FROM verifications
             WHERE (?1 IS NULL OR id < ?1)
               AND (?2 IS NULL OR status = ?2)
               AND (?3 IS NULL OR country = ?3)
               AND (?4 IS NULL OR created_at > ?4)
               AND (?5 IS NULL OR client_ref = ?5)
               AND (?6 IS NULL OR profile IN (SELECT value FROM json_each(?6)))
             ORDER BY id DESC LIMIT ?7"
            ))
            .bind(filter.cursor.as_ref().map(|cursor| cursor.0.as_str()))
            .bind(filter.status.map(|status| status.as_str()))
            .bind(filter.country.as_deref())
            .bind(filter.created_after.map(|at| at.0))
            .bind(filter.client_ref.as_deref())
            .bind(profiles)
            .bind(i64::from(limit) + 1)
            .fetch_all(conn)?;
            let items = rows.iter().map(verification_of).collect::<Result<Vec<_>, _>>()?;
            Ok(page_of(items, limit, |verification| verification.id.to_string()))
        })
        .await
    }

    pub(in super::super) async fn events_after(
        &self,
        id: VerificationId,
        sequence: u64,
    ) -> Result<Vec<Progress>, StoreError> {
        self.read(move |conn| {
            let rows = query(
                "SELECT sequence, at, kind, word, attempt FROM events
             WHERE verification_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            )
            .bind(id.to_string())
            .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
            .bind(EVENTS_MAX)
            .fetch_all(conn)?;
            rows.iter().map(progress_of).collect()
        })
        .await
    }

    pub(in super::super) async fn in_progress(&self) -> Result<(u64, u64), StoreError> {
        self.read(move |conn| {
            let row = query(
                "SELECT (SELECT count(*) FROM verifications WHERE reason IS NULL) AS pending,
                    (SELECT count(*) FROM attempts WHERE live_number IS NOT NULL) AS live",
            )
            .fetch_one(conn)?;
            Ok((get_count(&row, "pending")?, get_count(&row, "live")?))
        })
        .await
    }
}

/// Cuts the one item too many that says whether there is a next page.
pub(super) fn page_of<T>(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| Cursor(key(last)));
    Page { items, next }
}

pub(super) fn load(conn: &Connection, id: VerificationId) -> Result<Option<Verification>, StoreError> {
    let row = query(concat!(
        "SELECT ",
        verification_columns!(),
        " FROM verifications WHERE id = ?"
    ))
    .bind(id.to_string())
    .fetch_optional(conn)?;
    row.as_ref().map(verification_of).transpose()
}

fn verification_of(row: &Row) -> Result<Verification, StoreError> {
    let code: Option<Digits> = digits(row, "code")?;
    Ok(Verification {
        id: get_parsed(row, "id")?,
        key_id: get(row, "key_id")?,
        profile: get(row, "profile")?,
        to: destination_of(row)?,
        extension: extension_of(row)?,
        method: get_parsed(row, "method")?,
        code: code.map(Masked::new),
        purpose: get_parsed(row, "purpose")?,
        locale: get(row, "locale")?,
        brand: get(row, "brand")?,
        client_ref: get(row, "client_ref")?,
        end_user_id: get(row, "end_user_id")?,
        end_user_ip: get(row, "end_user_ip")?,
        callback_url: get(row, "callback_url")?,
        tags: get_json(row, "tags")?,
        message: get_json(row, "message")?,
        caller_id: get(row, "caller_id")?,
        created_at: UnixMillis(get(row, "created_at")?),
        expires_at: UnixMillis(get(row, "expires_at")?),
        stage: get_parsed(row, "stage")?,
        outcome: outcome_of(row)?,
        sequence: get_count(row, "sequence")?,
        attempts: get_json::<Vec<AttemptRow>>(row, "attempts")?
            .into_iter()
            .map(Attempt::from)
            .collect(),
    })
}

pub(super) fn destination_of(row: &Row) -> Result<Destination, StoreError> {
    let number: &str = get(row, "number")?;
    let Some(calling_code) = get::<Option<i64>>(row, "calling_code")? else {
        return Ok(Destination::Internal(number.to_owned()));
    };
    let country: Option<&str> = get(row, "country")?;
    u16::try_from(calling_code)
        .ok()
        .and_then(|code| PhoneNumber::restore(number, code, country))
        .map(Destination::E164)
        .ok_or_else(|| StoreError::Corrupt("number: found one that is not E.164".into()))
}

fn extension_of(row: &Row) -> Result<Option<Extension>, StoreError> {
    let Some(digits) = digits(row, "extension_digits")? else {
        return Ok(None);
    };
    let wait_ms: Option<i64> = get(row, "extension_wait_ms")?;
    let wait_ms = wait_ms
        .and_then(|ms| u32::try_from(ms).ok())
        .unwrap_or(Extension::WAIT_MS_DEFAULT);
    Ok(Some(Extension { digits, wait_ms }))
}

fn digits(row: &Row, column: &'static str) -> Result<Option<Digits>, StoreError> {
    let text: Option<&str> = get(row, column)?;
    text.map(Digits::parse)
        .transpose()
        // The error would name a digit of a code.
        .map_err(|_| StoreError::Corrupt(format!("{column}: found something else than digits")))
}

pub(super) fn outcome_of(row: &Row) -> Result<Option<Outcome>, StoreError> {
    Ok(get_parsed_option::<Reason>(row, "reason")?.map(Outcome::new))
}

/// An attempt as the statement makes it.
#[derive(serde::Deserialize)]
struct AttemptRow {
    id: AttemptId,
    number: u32,
    trunk: String,
    call_id: Option<String>,
    node: Option<String>,
    stage: Stage,
    reason: Option<Reason>,
    created_at: UnixMillis,
    dialed_at: Option<UnixMillis>,
    ended_at: Option<UnixMillis>,
    report: AttemptReport,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            id: row.id,
            number: row.number,
            trunk: row.trunk,
            call_id: row.call_id,
            node: row.node,
            stage: row.stage,
            outcome: row.reason.map(Outcome::new),
            created_at: row.created_at,
            dialed_at: row.dialed_at,
            ended_at: row.ended_at,
            report: row.report,
        }
    }
}

fn progress_of(row: &Row) -> Result<Progress, StoreError> {
    let kind = match get::<&str>(row, "kind")? {
        "created" => ProgressKind::Created,
        "stage" => ProgressKind::Stage(get_parsed(row, "word")?),
        "cancel" => ProgressKind::CancelRequested(get_parsed(row, "word")?),
        "ended" => ProgressKind::Ended(Outcome::new(get_parsed(row, "word")?)),
        other => return Err(StoreError::Corrupt(format!("events.kind: found {other:?}"))),
    };
    Ok(Progress {
        sequence: get_count(row, "sequence")?,
        at: UnixMillis(get(row, "at")?),
        kind,
        attempt: get_count(row, "attempt")?,
    })
}

/// `kind` and `word` of an event row.
pub(super) fn words_of(kind: ProgressKind) -> (&'static str, &'static str) {
    match kind {
        ProgressKind::Created => ("created", ""),
        ProgressKind::Stage(stage) => ("stage", stage.as_str()),
        ProgressKind::CancelRequested(reason) => ("cancel", reason.as_str()),
        ProgressKind::Ended(outcome) => ("ended", outcome.reason().as_str()),
    }
}
