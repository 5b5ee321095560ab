//! Idempotency keys: one answer per key and body for 24 hours.
use rusqlite::Connection;

use crate::model::UnixMillis;

use super::super::{IDEMPOTENCY_LIFE_MS, IdempotencyKey, IdempotencyStart, StoreError, StoredAnswer};
use super::{Sqlite, Tx, get, query};

/// A key whose work has not been answered after this long was left by a crash: it may be used again.
const IN_FLIGHT_MAX_MS: i64 = 120_000;

impl Sqlite {
    pub(in super::super) async fn idempotency_begin(
        &self,
        key: IdempotencyKey,
        now: UnixMillis,
    ) -> Result<IdempotencyStart, StoreError> {
        self.write(move |mut tx| tx.idempotency_start(&key, now)).await
    }

    pub(in super::super) async fn idempotency_find(
        &self,
        key: IdempotencyKey,
        now: UnixMillis,
    ) -> Result<IdempotencyStart, StoreError> {
        self.read(move |conn| find(conn, &key, now)).await
    }

    pub(in super::super) async fn idempotency_finish(
        &self,
        key: IdempotencyKey,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        self.write(move |mut tx| tx.idempotency_answer(&key, &answer))
            .await
    }

    pub(in super::super) async fn idempotency_abandon(&self, key: IdempotencyKey) -> Result<(), StoreError> {
        self.write(move |mut tx| tx.idempotency_forget(Some(&key))).await
    }
}

impl Tx<'_> {
    pub(super) fn idempotency_start(
        &mut self,
        key: &IdempotencyKey,
        now: UnixMillis,
    ) -> Result<IdempotencyStart, StoreError> {
        match find(self.conn, key, now)? {
            IdempotencyStart::Fresh => self.idempotency_take(key, now),
            found => Ok(found),
        }
    }

    fn idempotency_take(
        &mut self,
        key: &IdempotencyKey,
        now: UnixMillis,
    ) -> Result<IdempotencyStart, StoreError> {
        query(
            "INSERT OR REPLACE INTO idempotency (key_id, value, body_hash, created_at) VALUES (?, ?, ?, ?)",
        )
        .bind(&key.key_id)
        .bind(&key.value)
        .bind(key.body_hash.as_slice())
        .bind(now.0)
        .execute(self.conn)?;
        Ok(IdempotencyStart::Fresh)
    }

    pub(super) fn idempotency_answer(
        &mut self,
        key: &IdempotencyKey,
        answer: &StoredAnswer,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE idempotency SET status = ?, location = ?, body = ? WHERE key_id = ? AND value = ? AND status IS NULL",
        )
        .bind(answer.status)
        .bind(&answer.location)
        .bind(&answer.body)
        .bind(&key.key_id)
        .bind(&key.value)
        .execute(self.conn)
        .map(drop)
    }

    /// A refused request leaves its key free: the next try is judged anew.
    pub(super) fn idempotency_forget(&mut self, key: Option<&IdempotencyKey>) -> Result<(), StoreError> {
        let Some(key) = key else {
            return Ok(());
        };
        query("DELETE FROM idempotency WHERE key_id = ? AND value = ? AND status IS NULL")
            .bind(&key.key_id)
            .bind(&key.value)
            .execute(self.conn)
            .map(drop)
    }
}

/// What is stored under a key; `Fresh` when nothing is that still counts. Takes nothing.
fn find(conn: &Connection, key: &IdempotencyKey, now: UnixMillis) -> Result<IdempotencyStart, StoreError> {
    let row = query(
        "SELECT body_hash, created_at, status, location, body FROM idempotency WHERE key_id = ? AND value = ?",
    )
    .bind(&key.key_id)
    .bind(&key.value)
    .fetch_optional(conn)?;
    let Some(row) = row else {
        return Ok(IdempotencyStart::Fresh);
    };
    let status: Option<i64> = get(&row, "status")?;
    let created_at: i64 = get(&row, "created_at")?;
    let life_ms = if status.is_some() {
        IDEMPOTENCY_LIFE_MS
    } else {
        IN_FLIGHT_MAX_MS
    };
    if created_at.saturating_add(life_ms) <= now.0 {
        return Ok(IdempotencyStart::Fresh);
    }
    if get::<&[u8]>(&row, "body_hash")? != key.body_hash {
        return Ok(IdempotencyStart::Mismatch);
    }
    let Some(status) = status else {
        return Ok(IdempotencyStart::InFlight);
    };
    Ok(IdempotencyStart::Replay(StoredAnswer {
        status: u16::try_from(status).map_err(|_| StoreError::Corrupt("idempotency.status".into()))?,
        location: get(&row, "location")?,
        body: get::<Option<String>>(&row, "body")?.unwrap_or_default(),
    }))
}
