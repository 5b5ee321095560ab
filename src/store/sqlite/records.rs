//! Blocks, audit rows, daily counters.
use rusqlite::Connection;

use crate::model::UnixMillis;

use super::super::records::Cursor;
use super::super::{AuditRow, Block, BlockSubject, DailyUsage, ListFilter, Page, StoreError};
use super::publish::day_of;
use super::rows::page_of;
use super::{Row, Sqlite, Tx, get, get_count, query};

const DETAIL_CHARS_MAX: usize = 2048;
const DAYS_ROWS_MAX: i64 = 10_000;

macro_rules! block_columns {
    () => {
        "id, kind, value, note, created_by, created_at, expires_at"
    };
}

impl Sqlite {
    pub(in super::super) async fn block_add(&self, block: Block) -> Result<(), StoreError> {
        self.write(move |mut tx| tx.insert_block(&block)).await
    }

    pub(in super::super) async fn blocks(
        &self,
        now: UnixMillis,
        limit: u32,
        cursor: Option<&Cursor>,
    ) -> Result<Page<Block>, StoreError> {
        let limit = ListFilter::limit_in_bounds(limit);
        let cursor = cursor.cloned();
        self.read(move |conn| {
            // Ids of blocks are random: the row number gives the order.
            let rows = query(concat!(
                "SELECT ",
                block_columns!(),
                " FROM blocks
             WHERE (expires_at IS NULL OR expires_at > ?1)
               AND (?2 IS NULL OR rowid < (SELECT rowid FROM blocks WHERE id = ?2))
             ORDER BY rowid DESC LIMIT ?3"
            ))
            .bind(now.0)
            .bind(cursor.as_ref().map(|cursor| cursor.0.as_str()))
            .bind(i64::from(limit) + 1)
            .fetch_all(conn)?;
            let items = rows.iter().map(block_of).collect::<Result<Vec<_>, _>>()?;
            Ok(page_of(items, limit, |block| block.id.clone()))
        })
        .await
    }

    pub(in super::super) async fn block_remove(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |tx| {
            query("DELETE FROM blocks WHERE id = ?")
                .bind(&id)
                .execute(tx.conn)
                .map(|changed| changed > 0)
        })
        .await
    }

    pub(in super::super) async fn blocked(
        &self,
        destination: &str,
        end_user: Option<&str>,
        now: UnixMillis,
    ) -> Result<Option<Block>, StoreError> {
        let (destination, end_user) = (destination.to_owned(), end_user.map(str::to_owned));
        self.read(move |conn| find_block(conn, &destination, end_user.as_deref(), now))
            .await
    }

    pub(in super::super) async fn audit(&self, row: AuditRow) -> Result<(), StoreError> {
        self.write(move |mut tx| tx.insert_audit(&row)).await
    }

    pub(in super::super) async fn audit_rows(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.read(move |conn| {
            let rows = query("SELECT at, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?")
                .bind(ListFilter::limit_in_bounds(limit))
                .fetch_all(conn)?;
            rows.iter()
                .map(|row| {
                    Ok(AuditRow {
                        at: UnixMillis(get(row, "at")?),
                        actor: get(row, "actor")?,
                        action: get(row, "action")?,
                        subject: get(row, "subject")?,
                        detail: get(row, "detail")?,
                    })
                })
                .collect()
        })
        .await
    }

    pub(in super::super) async fn daily_usage(
        &self,
        since: UnixMillis,
    ) -> Result<Vec<DailyUsage>, StoreError> {
        self.read(move |conn| {
            let rows = query(
                "SELECT day, country, prefix, accepted, answered, approved FROM usage_days
             WHERE day >= ? ORDER BY day, country, prefix LIMIT ?",
            )
            .bind(day_of(since))
            .bind(DAYS_ROWS_MAX)
            .fetch_all(conn)?;
            rows.iter()
                .map(|row| {
                    Ok(DailyUsage {
                        day: UnixMillis(get(row, "day")?),
                        country: get(row, "country")?,
                        prefix: get(row, "prefix")?,
                        accepted: get_count(row, "accepted")?,
                        answered: get_count(row, "answered")?,
                        approved: get_count(row, "approved")?,
                    })
                })
                .collect()
        })
        .await
    }
}

impl Tx<'_> {
    pub(super) fn insert_block(&mut self, block: &Block) -> Result<(), StoreError> {
        query(concat!(
            "INSERT INTO blocks (",
            block_columns!(),
            ") VALUES (?, ?, ?, ?, ?, ?, ?)"
        ))
        .bind(&block.id)
        .bind(block.subject.kind())
        .bind(block.subject.value())
        .bind(&block.note)
        .bind(&block.created_by)
        .bind(block.created_at.0)
        .bind(block.expires_at.map(|at| at.0))
        .execute(self.conn)
        .map(drop)
    }

    pub(super) fn insert_audit(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        query("INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)")
            .bind(row.at.0)
            .bind(&row.actor)
            .bind(&row.action)
            .bind(&row.subject)
            .bind(row.detail.chars().take(DETAIL_CHARS_MAX).collect::<String>())
            .execute(self.conn)
            .map(drop)
    }
}

/// The first block in force for a number, its prefixes, or an end user.
pub(super) fn find_block(
    conn: &Connection,
    number: &str,
    end_user: Option<&str>,
    now: UnixMillis,
) -> Result<Option<Block>, StoreError> {
    let row = query(concat!(
        "SELECT ",
        block_columns!(),
        " FROM blocks
         WHERE (expires_at IS NULL OR expires_at > ?1)
           AND ((kind = 'number' AND value = ?2)
             OR (kind = 'prefix' AND value = substr(?2, 1, length(value)))
             OR (kind = 'end_user' AND value = ?3))
         LIMIT 1"
    ))
    .bind(now.0)
    .bind(number)
    .bind(end_user)
    .fetch_optional(conn)?;
    row.as_ref().map(block_of).transpose()
}

fn block_of(row: &Row) -> Result<Block, StoreError> {
    let value: String = get(row, "value")?;
    let subject = match get::<&str>(row, "kind")? {
        "number" => BlockSubject::Number(value),
        "prefix" => BlockSubject::Prefix(value),
        "end_user" => BlockSubject::EndUser(value),
        other => return Err(StoreError::Corrupt(format!("blocks.kind: found {other:?}"))),
    };
    Ok(Block {
        id: get(row, "id")?,
        subject,
        note: get(row, "note")?,
        created_by: get(row, "created_by")?,
        created_at: UnixMillis(get(row, "created_at")?),
        expires_at: get::<Option<i64>>(row, "expires_at")?.map(UnixMillis),
    })
}
