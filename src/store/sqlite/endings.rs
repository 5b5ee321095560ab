//! Ends without a decision of a call: cancel, expiry, policy, crash.
use rusqlite::Connection;

use crate::model::{AttemptId, Entropy, Outcome, Reason, UnixMillis, Verification, VerificationId};

use super::super::{CancelNotice, Canceled, Recovered, StoreError, Visibility};
use super::rows::load;
use super::{Row, Sqlite, Tx, get, get_count, get_parsed, query};

/// Verifications that one transaction ends.
const BATCH_MAX: u32 = 64;

/// An attempt queued further ahead of the clock than this was queued before the clock was set back. Less is two tasks
/// that looked at it one after the other.
const CLOCK_AHEAD_MS: i64 = 1_000;

impl Sqlite {
    pub(in super::super) async fn cancel(
        &self,
        id: VerificationId,
        visibility: &Visibility,
        reason: Reason,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Canceled, StoreError> {
        let visibility = visibility.clone();
        self.write(move |tx| cancel(tx, id, &visibility, reason, entropy.clone(), now))
            .await
    }

    pub(in super::super) async fn end_queued(
        &self,
        id: VerificationId,
        outcome: Outcome,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.write(move |mut tx| {
            let mut entropy = entropy.clone();
            if tx.live_attempt(id)?.is_some() {
                return Ok(false);
            }
            Ok(tx.end(id, outcome, 0, &mut entropy, now)?.is_some())
        })
        .await
    }

    pub(in super::super) async fn pending_cancels(
        &self,
        node: &str,
    ) -> Result<Vec<CancelNotice>, StoreError> {
        let node = node.to_owned();
        self.read(move |conn| {
            let rows = query(
                "SELECT a.id, a.verification_id, a.node, v.cancel_reason
             FROM attempts a JOIN verifications v ON v.id = a.verification_id
             WHERE a.live_number IS NOT NULL AND a.node = ? AND v.cancel_reason IS NOT NULL",
            )
            .bind(node)
            .fetch_all(conn)?;
            rows.iter().map(notice_of).collect()
        })
        .await
    }

    pub(in super::super) async fn expire_due(
        &self,
        mut entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Vec<VerificationId>, StoreError> {
        let mut ended = Vec::new();
        loop {
            // Most runs find nothing: they must not cost a synced commit.
            let (expired, clock_was_set_back) = self.expired(now).await?;
            if clock_was_set_back {
                self.write(move |tx| follow_clock(tx, now)).await?;
            }
            if expired.is_empty() {
                return Ok(ended);
            }
            let entropy = entropy.fork();
            let batch = self
                .write(move |tx| expire(tx, &expired, entropy.clone(), now))
                .await?;
            if batch.is_empty() {
                return Ok(ended);
            }
            ended.extend(batch);
        }
    }

    /// Queued verifications whose life is over, and whether one stands that was queued by a clock since set back.
    async fn expired(&self, now: UnixMillis) -> Result<(Vec<VerificationId>, bool), StoreError> {
        self.read(move |conn| {
            let rows = query(
                "SELECT v.id, v.expires_at <= ?1 AS is_over
             FROM attempts a JOIN verifications v ON v.id = a.verification_id
             WHERE a.due_at IS NOT NULL AND (v.expires_at <= ?1 OR a.created_at > ?2)
             ORDER BY is_over DESC LIMIT ?3",
            )
            .bind(now.0)
            .bind(now.0.saturating_add(CLOCK_AHEAD_MS))
            .bind(BATCH_MAX)
            .fetch_all(conn)?;
            let mut over = Vec::new();
            let mut clock_was_set_back = false;
            for row in &rows {
                if get(row, "is_over")? {
                    over.push(get_parsed(row, "id")?);
                } else {
                    clock_was_set_back = true;
                }
            }
            Ok((over, clock_was_set_back))
        })
        .await
    }

    pub(in super::super) async fn recover(
        &self,
        node: &str,
        mut entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Recovered, StoreError> {
        let mut recovered = Recovered::default();
        loop {
            let (node, entropy) = (node.to_owned(), entropy.fork());
            let batch = self
                .write(move |tx| recover_live(tx, &node, entropy.clone(), now))
                .await?;
            if batch.is_empty() {
                break;
            }
            recovered.unknown.extend(batch);
        }
        let node = node.to_owned();
        recovered.unreported = self.write(move |tx| close_open(tx, &node, now)).await?;
        Ok(recovered)
    }
}

/// Whether [`Sqlite::expired`] would find something.
pub(super) fn is_overdue(conn: &Connection, now: UnixMillis) -> Result<bool, StoreError> {
    let found = query(
        "SELECT 1 FROM attempts a JOIN verifications v ON v.id = a.verification_id
         WHERE a.due_at IS NOT NULL AND (v.expires_at <= ?1 OR a.created_at > ?2) LIMIT 1",
    )
    .bind(now.0)
    .bind(now.0.saturating_add(CLOCK_AHEAD_MS))
    .fetch_optional(conn)?;
    Ok(found.is_some())
}

fn notice_of(row: &Row) -> Result<CancelNotice, StoreError> {
    Ok(CancelNotice {
        verification: get_parsed(row, "verification_id")?,
        attempt: get_parsed(row, "id")?,
        node: get(row, "node")?,
        reason: get_parsed(row, "cancel_reason")?,
    })
}

struct Live {
    attempt: AttemptId,
    number: u32,
    node: String,
    cancel_asked: bool,
}

impl Tx<'_> {
    fn live_attempt(&mut self, id: VerificationId) -> Result<Option<Live>, StoreError> {
        let row = query(
            "SELECT a.id, a.number, a.node, v.cancel_reason FROM attempts a
             JOIN verifications v ON v.id = a.verification_id
             WHERE a.verification_id = ? AND a.live_number IS NOT NULL",
        )
        .bind(id.to_string())
        .fetch_optional(self.conn)?;
        row.map(|row| {
            Ok(Live {
                attempt: get_parsed(&row, "id")?,
                number: get_count(&row, "number")?,
                node: get(&row, "node")?,
                cancel_asked: get::<Option<&str>>(&row, "cancel_reason")?.is_some(),
            })
        })
        .transpose()
    }

    fn load_seen(
        &mut self,
        id: VerificationId,
        visibility: &Visibility,
    ) -> Result<Box<Verification>, StoreError> {
        load(self.conn, id)?
            .filter(|verification| visibility.sees(&verification.profile))
            .map(Box::new)
            .ok_or(StoreError::NotFound("verification"))
    }
}

fn cancel(
    mut tx: Tx<'_>,
    id: VerificationId,
    visibility: &Visibility,
    reason: Reason,
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<Canceled, StoreError> {
    let verification = tx.load_seen(id, visibility)?;
    if verification.outcome.is_some() {
        return Ok(Canceled::AlreadyOver(verification));
    }
    let Some(live) = tx.live_attempt(id)? else {
        tx.end(id, Outcome::new(reason), 0, &mut entropy, now)?;
        return Ok(Canceled::Now(tx.load_seen(id, visibility)?));
    };
    if !live.cancel_asked {
        let notice = CancelNotice {
            verification: id,
            attempt: live.attempt,
            node: live.node.clone(),
            reason,
        };
        tx.request_cancel(notice, live.number, &mut entropy, now)?;
    }
    let verification = tx.load_seen(id, visibility)?;
    Ok(Canceled::Live {
        verification,
        attempt: live.attempt,
        node: live.node,
    })
}

/// Moves what is queued to the clock as it is now: due at once, with as much of its life left as it had.
fn follow_clock(tx: Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
    let ahead = now.0.saturating_add(CLOCK_AHEAD_MS);
    query(
        "UPDATE verifications SET expires_at = expires_at - (a.created_at - ?1)
         FROM attempts a WHERE a.verification_id = verifications.id AND a.due_at IS NOT NULL AND a.created_at > ?2",
    )
    .bind(now.0)
    .bind(ahead)
    .execute(tx.conn)?;
    query("UPDATE attempts SET due_at = ?1, created_at = ?1 WHERE due_at IS NOT NULL AND created_at > ?2")
        .bind(now.0)
        .bind(ahead)
        .execute(tx.conn)?;
    Ok(())
}

fn expire(
    mut tx: Tx<'_>,
    expired: &[VerificationId],
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<Vec<VerificationId>, StoreError> {
    let mut ended = Vec::with_capacity(expired.len());
    for &id in expired {
        // Claimed since it was read: its call has its own deadline.
        if tx.live_attempt(id)?.is_some() {
            continue;
        }
        if tx
            .end(id, Outcome::new(Reason::Ttl), 0, &mut entropy, now)?
            .is_some()
        {
            ended.push(id);
        }
    }
    Ok(ended)
}

fn recover_live(
    mut tx: Tx<'_>,
    node: &str,
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<Vec<VerificationId>, StoreError> {
    let outcome = Outcome::new(Reason::UnknownAfterCrash);
    let rows = query(
        "UPDATE attempts SET reason = ?1, decided_at = ?2, ended_at = ?2, live_number = NULL, taken_number = NULL
         WHERE id IN (SELECT id FROM attempts WHERE node = ?3 AND ended_at IS NULL
                      AND live_number IS NOT NULL LIMIT ?4)
         RETURNING verification_id, number",
    )
    .bind(outcome.reason().as_str())
    .bind(now.0)
    .bind(node)
    .bind(BATCH_MAX)
    .fetch_all(tx.conn)?;
    let mut ended = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = get_parsed(row, "verification_id")?;
        tx.end(id, outcome, get_count(row, "number")?, &mut entropy, now)?;
        ended.push(id);
    }
    tx.signals.attempts_due |= !ended.is_empty();
    Ok(ended)
}

/// Calls whose outcome was committed and whose report was lost, numbers whose phone nobody watches any more, and
/// webhooks that were on their way.
fn close_open(tx: Tx<'_>, node: &str, now: UnixMillis) -> Result<u64, StoreError> {
    let closed = query(
        "UPDATE attempts SET ended_at = ?1 WHERE node = ?2 AND ended_at IS NULL AND reason IS NOT NULL",
    )
    .bind(now.0)
    .bind(node)
    .execute(tx.conn)?;
    let freed = query(
        "UPDATE attempts SET taken_number = NULL
         WHERE taken_number IS NOT NULL AND node = ? AND reason IS NOT NULL",
    )
    .bind(node)
    .execute(tx.conn)?;
    tx.signals.attempts_due |= freed > 0;
    query("UPDATE outbox SET leased_until = NULL WHERE state = 'pending' AND leased_until IS NOT NULL")
        .execute(tx.conn)?;
    Ok(closed)
}
