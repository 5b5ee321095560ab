//! What time removes: personal data first, rows later, outcomes last.
use std::time::Duration;

use crate::model::{Destination, UnixMillis, VerificationId};

use super::super::{IDEMPOTENCY_LIFE_MS, Purged, Retention, StoreError, Visibility};
use super::rows::destination_of;
use super::{Row, Sqlite, Tx, get_parsed, query, to_json};

/// Rows of one kind that one run removes: a purge must not hold the writer for long.
const BATCH_MAX: u32 = 200;
/// Counters older than the longest window (a day) serve nobody.
const USAGE_LIFE: Duration = Duration::from_secs(25 * 3600);

impl Sqlite {
    pub(in super::super) async fn purge(
        &self,
        retention: &Retention,
        now: UnixMillis,
    ) -> Result<Purged, StoreError> {
        let retention = retention.clone();
        self.write(move |tx| purge(tx, &retention, now)).await
    }

    pub(in super::super) async fn erase_number(
        &self,
        number: &str,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let number = number.to_owned();
        self.write(move |tx| erase_number(tx, &number, now)).await
    }
}

fn purge(mut tx: Tx<'_>, retention: &Retention, now: UnixMillis) -> Result<Purged, StoreError> {
    let mut purged = Purged::default();
    for (profile, age) in &retention.personal_by_profile {
        purged.numbers_erased +=
            tx.erase_old(now.minus(*age), Visibility::Profiles(vec![profile.clone()]))?;
    }
    let own: Vec<&String> = retention.personal_by_profile.keys().collect();
    purged.numbers_erased += tx.erase_old_of_others(now.minus(retention.personal), to_json(&own)?)?;
    purged.verifications = tx.delete(
        "DELETE FROM verifications WHERE id IN
             (SELECT id FROM verifications WHERE ended_at < ? ORDER BY ended_at LIMIT ?)",
        now.minus(retention.verifications),
    )?;
    purged.deliveries = tx.delete(
        "DELETE FROM outbox WHERE position IN
             (SELECT position FROM outbox WHERE settled_at < ? ORDER BY settled_at LIMIT ?)",
        now.minus(retention.deliveries),
    )?;
    purged.audit_rows = tx.delete(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY at LIMIT ?)",
        now.minus(retention.audit),
    )?;
    for (statement, before) in [
        (
            "DELETE FROM idempotency WHERE (key_id, value) IN
             (SELECT key_id, value FROM idempotency WHERE created_at < ? LIMIT ?)",
            UnixMillis(now.0.saturating_sub(IDEMPOTENCY_LIFE_MS)),
        ),
        (
            "DELETE FROM usage WHERE (kind, subject, at, verification_id) IN
             (SELECT kind, subject, at, verification_id FROM usage WHERE at < ? LIMIT ?)",
            now.minus(USAGE_LIFE),
        ),
        (
            "DELETE FROM enrollments WHERE id IN (SELECT id FROM enrollments WHERE expires_at < ? LIMIT ?)",
            now.minus(retention.personal),
        ),
        (
            "DELETE FROM blocks WHERE id IN (SELECT id FROM blocks WHERE expires_at < ? LIMIT ?)",
            now,
        ),
    ] {
        purged.other += tx.delete(statement, before)?;
    }
    let batch = u64::from(BATCH_MAX);
    purged.more = [
        purged.numbers_erased,
        purged.verifications,
        purged.deliveries,
        purged.audit_rows,
    ]
    .iter()
    .any(|count| *count >= batch)
        || purged.other >= batch;
    Ok(purged)
}

impl Tx<'_> {
    /// `statement` takes the age limit and the batch size.
    fn delete(&mut self, statement: &'static str, before: UnixMillis) -> Result<u64, StoreError> {
        query(statement).bind(before.0).bind(BATCH_MAX).execute(self.conn)
    }

    fn erase_old(&mut self, before: UnixMillis, profiles: Visibility) -> Result<u64, StoreError> {
        let rows = query(
            "SELECT id, number, calling_code, country FROM verifications
             WHERE ended_at < ?1 AND erased_at IS NULL
               AND profile IN (SELECT value FROM json_each(?2)) LIMIT ?3",
        )
        .bind(before.0)
        .bind(super::visible_profiles(&profiles)?)
        .bind(BATCH_MAX)
        .fetch_all(self.conn)?;
        self.erase_rows(&rows, before)
    }

    /// Of every profile but those in the JSON array.
    fn erase_old_of_others(&mut self, before: UnixMillis, profiles: String) -> Result<u64, StoreError> {
        let rows = query(
            "SELECT id, number, calling_code, country FROM verifications
             WHERE ended_at < ?1 AND erased_at IS NULL
               AND profile NOT IN (SELECT value FROM json_each(?2)) LIMIT ?3",
        )
        .bind(before.0)
        .bind(profiles)
        .bind(BATCH_MAX)
        .fetch_all(self.conn)?;
        self.erase_rows(&rows, before)
    }

    fn erase_rows(&mut self, rows: &[Row], at: UnixMillis) -> Result<u64, StoreError> {
        for row in rows {
            let id: VerificationId = get_parsed(row, "id")?;
            self.erase(id, &destination_of(row)?, at)?;
        }
        Ok(rows.len() as u64)
    }

    /// Takes from an ended verification all that says who was called. Its outcome, times and measures stay.
    fn erase(&mut self, id: VerificationId, to: &Destination, at: UnixMillis) -> Result<(), StoreError> {
        let erased = match to {
            Destination::E164(number) => number.erased().reveal().to_owned(),
            Destination::Internal(_) => "•••".to_owned(),
        };
        query(
            "UPDATE verifications SET number = ?, code = NULL, extension_digits = NULL, extension_wait_ms = NULL,
                    end_user_id = NULL, end_user_ip = NULL, client_ref = NULL, tags = '{}', message = '{}',
                    erased_at = ? WHERE id = ?",
        )
        .bind(erased)
        .bind(at.0)
        .bind(id.to_string())
        .execute(self.conn)?;
        // A body that nobody will get any more still shows the number; one that waits is needed as it is.
        query("UPDATE outbox SET body = '' WHERE verification_id = ? AND state <> 'pending'")
            .bind(id.to_string())
            .execute(self.conn)?;
        query("DELETE FROM usage WHERE verification_id = ?")
            .bind(id.to_string())
            .execute(self.conn)
            .map(drop)
    }
}

fn erase_number(mut tx: Tx<'_>, number: &str, now: UnixMillis) -> Result<u64, StoreError> {
    let rows = query(
        "SELECT id, number, calling_code, country FROM verifications WHERE number = ? AND reason IS NOT NULL",
    )
    .bind(number)
    .fetch_all(tx.conn)?;
    let erased = tx.erase_rows(&rows, now)?;
    // A block of the number stays: it protects whoever has it.
    query("DELETE FROM usage WHERE kind = 'number' AND subject = ?")
        .bind(number)
        .execute(tx.conn)?;
    Ok(erased)
}
