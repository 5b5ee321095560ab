//! Webhooks: lease what is due, in order per verification; keep what came of each try.
use std::time::Duration;

use rusqlite::Connection;

use crate::model::{EventId, UnixMillis, VerificationId};

use super::super::records::Cursor;
use super::super::{
    Delivery, DeliveryTry, DeliveryVerdict, DueWebhooks, LastTry, ListFilter, LooseEvent, OutboxItem,
    OutboxState, Page, StoreError, Visibility,
};
use super::publish::OutboxRow;
use super::{Row, Sqlite, Tx, get, get_count, get_parsed, get_parsed_option, query, visible_profiles};

const ERROR_CHARS_MAX: usize = 512;

/// A row may leave when no earlier one of its verification has to leave first: a terminal event waits for
/// terminal events only, a progress event for every earlier one that is still on its way.
macro_rules! is_first_in_line {
    () => {
        "NOT EXISTS (SELECT 1 FROM outbox e
             WHERE e.verification_id = o.verification_id AND e.position < o.position AND e.state = 'pending'
               AND (e.progress = 0 OR o.progress = 1))"
    };
}

impl Sqlite {
    pub(in super::super) async fn enqueue(&self, event: LooseEvent) -> Result<(), StoreError> {
        self.write(move |mut tx| {
            let row = OutboxRow {
                id: event.id,
                verification: None,
                profile: &event.profile,
                kind: event.kind,
                sequence: 0,
                url: &event.url,
                body: &event.body,
                at: event.at,
            };
            tx.insert_outbox(row)
        })
        .await
    }

    pub(in super::super) async fn outbox_due(
        &self,
        now: UnixMillis,
        limit: u32,
        lease: Duration,
    ) -> Result<DueWebhooks, StoreError> {
        // A lease that a power cut forgets means the same webhook once more, with the same id.
        self.write_unsynced(move |tx| {
            Ok(DueWebhooks {
                items: lease_due(&tx, now, limit, lease)?,
                next_at: next_at(tx.conn)?,
            })
        })
        .await
    }

    pub(in super::super) async fn outbox_pending(&self) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let row =
                query("SELECT count(*) AS pending FROM outbox WHERE state = 'pending'").fetch_one(conn)?;
            get_count(&row, "pending")
        })
        .await
    }

    pub(in super::super) async fn outbox_result(&self, tried: DeliveryTry) -> Result<(), StoreError> {
        self.write_idly(move |tx| settle_try(tx, &tried)).await
    }

    pub(in super::super) async fn deliveries(
        &self,
        verification: Option<VerificationId>,
        limit: u32,
        cursor: Option<&Cursor>,
        visibility: &Visibility,
    ) -> Result<Page<Delivery>, StoreError> {
        let limit = ListFilter::limit_in_bounds(limit);
        let (cursor, profiles) = (cursor.cloned(), visible_profiles(visibility)?);
        self.read(move |conn| {
            let rows = query(
                "SELECT o.id, o.verification_id, o.profile, o.kind, o.sequence, o.url, o.state, o.created_at,
                    o.next_at, o.tries, t.at, t.duration_ms, t.status, t.error
             FROM outbox o LEFT JOIN webhook_tries t ON t.event_id = o.id AND t.number = o.tries
             WHERE (?1 IS NULL OR o.id < ?1)
               AND (?2 IS NULL OR o.verification_id = ?2)
               AND (?3 IS NULL OR o.profile IN (SELECT value FROM json_each(?3)))
             ORDER BY o.id DESC LIMIT ?4",
            )
            .bind(cursor.as_ref().map(|cursor| cursor.0.as_str()))
            .bind(verification.map(|id| id.to_string()))
            .bind(profiles)
            .bind(i64::from(limit) + 1)
            .fetch_all(conn)?;
            let items = rows.iter().map(delivery_of).collect::<Result<Vec<_>, _>>()?;
            Ok(super::rows::page_of(items, limit, |delivery| {
                delivery.id.to_string()
            }))
        })
        .await
    }

    pub(in super::super) async fn redeliver(
        &self,
        event: EventId,
        visibility: &Visibility,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let profiles = visible_profiles(visibility)?;
        self.write(move |tx| redeliver(tx, event, profiles.as_deref(), now))
            .await
    }
}

fn lease_due(
    tx: &Tx<'_>,
    now: UnixMillis,
    limit: u32,
    lease: Duration,
) -> Result<Vec<OutboxItem>, StoreError> {
    let rows = query(concat!(
        "SELECT position, id, verification_id, profile, kind, sequence, url, body, tries, created_at FROM outbox o
         WHERE o.state = 'pending' AND o.next_at <= ?1
           AND (o.leased_until IS NULL OR o.leased_until <= ?1) AND ",
        is_first_in_line!(),
        " ORDER BY o.next_at, o.position LIMIT ?2"
    ))
    .bind(now.0)
    .bind(limit)
    .fetch_all(tx.conn)?;
    let mut items = rows
        .iter()
        .map(|row| Ok((get::<i64>(row, "position")?, item_of(row)?)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    items.sort_by_key(|(position, _)| *position);
    for (position, _) in &items {
        query("UPDATE outbox SET leased_until = ? WHERE position = ?")
            .bind(now.plus(lease).0)
            .bind(*position)
            .execute(tx.conn)?;
    }
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

/// Of the rows that nobody has, the first in the order of their times; of the others, which are few, the first lease
/// that ends.
fn next_at(conn: &Connection) -> Result<Option<UnixMillis>, StoreError> {
    let row = query(concat!(
        "SELECT min(at) AS at FROM (
             SELECT * FROM (SELECT o.next_at AS at FROM outbox o
                 WHERE o.state = 'pending' AND o.leased_until IS NULL AND ",
        is_first_in_line!(),
        " ORDER BY o.next_at LIMIT 1)
             UNION ALL
             SELECT max(next_at, leased_until) FROM outbox INDEXED BY outbox_leased
             WHERE leased_until IS NOT NULL AND state = 'pending')"
    ))
    .fetch_one(conn)?;
    Ok(get::<Option<i64>>(&row, "at")?.map(UnixMillis))
}

fn item_of(row: &Row) -> Result<OutboxItem, StoreError> {
    Ok(OutboxItem {
        id: get_parsed(row, "id")?,
        verification: get_parsed_option(row, "verification_id")?,
        profile: get(row, "profile")?,
        kind: get_parsed(row, "kind")?,
        sequence: get_count(row, "sequence")?,
        url: get(row, "url")?,
        body: get(row, "body")?,
        attempts: get_count(row, "tries")?,
        created_at: UnixMillis(get(row, "created_at")?),
    })
}

fn settle_try(mut tx: Tx<'_>, tried: &DeliveryTry) -> Result<(), StoreError> {
    let row = query("SELECT tries, url, state, progress, verification_id, position FROM outbox WHERE id = ?")
        .bind(tried.event.to_string())
        .fetch_optional(tx.conn)?
        .ok_or(StoreError::NotFound("webhook"))?;
    let number = get::<i64>(&row, "tries")? + 1;
    let settled = match tried.verdict {
        DeliveryVerdict::Delivered => Some(OutboxState::Delivered),
        DeliveryVerdict::GaveUp => Some(OutboxState::GaveUp),
        DeliveryVerdict::Disabled | DeliveryVerdict::Retry { .. } => None,
    };
    query(
        "UPDATE outbox SET tries = ?, leased_until = NULL, state = coalesce(?, state),
                settled_at = coalesce(?, settled_at) WHERE id = ?",
    )
    .bind(number)
    .bind(settled.map(OutboxState::as_str))
    .bind(settled.map(|_| tried.at.0))
    .bind(tried.event.to_string())
    .execute(tx.conn)?;
    let error = tried
        .error
        .as_ref()
        .map(|error| error.chars().take(ERROR_CHARS_MAX).collect::<String>());
    query(
        "INSERT INTO webhook_tries (event_id, number, at, duration_ms, status, error) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(tried.event.to_string())
    .bind(number)
    .bind(tried.at.0)
    .bind(i64::try_from(tried.duration.as_millis()).unwrap_or(i64::MAX))
    .bind(tried.status)
    .bind(error)
    .execute(tx.conn)?;
    tx.signals.outbox_due |=
        matches!(tried.verdict, DeliveryVerdict::Retry { .. }) || tx.others_wait(&row)?;
    match tried.verdict {
        DeliveryVerdict::Delivered => tx.enable_url(get(&row, "url")?),
        DeliveryVerdict::GaveUp => Ok(()),
        DeliveryVerdict::Disabled => tx.disable_url(get(&row, "url")?, tried.at),
        DeliveryVerdict::Retry { at } => tx.retry_webhook(&row, tried.event, at, tried.at),
    }
}

impl Tx<'_> {
    /// Whether a later row of its verification may leave now that this one has its answer.
    fn others_wait(&self, row: &Row) -> Result<bool, StoreError> {
        let later = query(
            "SELECT 1 FROM outbox WHERE verification_id = ? AND position > ? AND state = 'pending' LIMIT 1",
        )
        .bind(get::<Option<&str>>(row, "verification_id")?)
        .bind(get::<i64>(row, "position")?)
        .fetch_optional(self.conn)?;
        Ok(later.is_some())
    }

    /// A progress event that was overtaken while it was on its way is not tried again.
    fn retry_webhook(
        &mut self,
        row: &Row,
        event: EventId,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        if get::<String>(row, "state")? != OutboxState::Pending.as_str() {
            return Ok(());
        }
        let later = query("SELECT 1 FROM outbox WHERE verification_id = ? AND position > ? LIMIT 1")
            .bind(get::<Option<String>>(row, "verification_id")?)
            .bind(get::<i64>(row, "position")?)
            .fetch_optional(self.conn)?;
        if later.is_some() && get::<bool>(row, "progress")? {
            return query("UPDATE outbox SET state = ?, settled_at = ? WHERE id = ?")
                .bind(OutboxState::Dropped.as_str())
                .bind(now.0)
                .bind(event.to_string())
                .execute(self.conn)
                .map(drop);
        }
        query("UPDATE outbox SET next_at = ? WHERE id = ?")
            .bind(at.0)
            .bind(event.to_string())
            .execute(self.conn)
            .map(drop)
    }

    /// 410: this row and all that wait for the same URL.
    fn disable_url(&mut self, url: String, at: UnixMillis) -> Result<(), StoreError> {
        query("INSERT OR IGNORE INTO disabled_urls (url, at) VALUES (?, ?)")
            .bind(&url)
            .bind(at.0)
            .execute(self.conn)?;
        query("UPDATE outbox SET state = ?, settled_at = ? WHERE url = ? AND state = 'pending'")
            .bind(OutboxState::Disabled.as_str())
            .bind(at.0)
            .bind(&url)
            .execute(self.conn)
            .map(drop)
    }

    fn enable_url(&mut self, url: String) -> Result<(), StoreError> {
        query("DELETE FROM disabled_urls WHERE url = ?")
            .bind(url)
            .execute(self.conn)
            .map(drop)
    }
}

fn redeliver(
    mut tx: Tx<'_>,
    event: EventId,
    profiles: Option<&str>,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let row = query(
        "UPDATE outbox SET state = 'pending', settled_at = NULL, next_at = ?1, leased_until = NULL
         WHERE id = ?2 AND body <> '' AND (?3 IS NULL OR profile IN (SELECT value FROM json_each(?3)))
         RETURNING url",
    )
    .bind(now.0)
    .bind(event.to_string())
    .bind(profiles)
    .fetch_optional(tx.conn)?;
    let Some(row) = row else {
        return Ok(false);
    };
    tx.enable_url(get(&row, "url")?)?;
    tx.signals.outbox_due = true;
    Ok(true)
}

fn delivery_of(row: &Row) -> Result<Delivery, StoreError> {
    let state = state_of(get(row, "state")?)?;
    let last_try = match get::<Option<i64>>(row, "at")? {
        Some(at) => Some(LastTry {
            at: UnixMillis(at),
            duration_ms: get_count(row, "duration_ms")?,
            status: get::<Option<i64>>(row, "status")?.and_then(|status| u16::try_from(status).ok()),
            error: get(row, "error")?,
        }),
        None => None,
    };
    let next_at = get(row, "next_at").map(UnixMillis)?;
    Ok(Delivery {
        id: get_parsed(row, "id")?,
        verification: get_parsed_option(row, "verification_id")?,
        profile: get(row, "profile")?,
        kind: get_parsed(row, "kind")?,
        sequence: get_count(row, "sequence")?,
        url: get(row, "url")?,
        state,
        created_at: UnixMillis(get(row, "created_at")?),
        next_at: (state == OutboxState::Pending).then_some(next_at),
        tries: get_count(row, "tries")?,
        last_try,
    })
}

fn state_of(word: &str) -> Result<OutboxState, StoreError> {
    OutboxState::ALL
        .iter()
        .copied()
        .find(|state| state.as_str() == word)
        .ok_or_else(|| StoreError::Corrupt(format!("outbox.state: found {word:?}")))
}
