//! The SQLite engine: one file, write-ahead log, every commit synced to disk.
//!
//! Does: all SQL of this engine. Does not: decide anything that another engine would have to decide again.
//! One process serves a file; the command line may open it beside.
mod accept;
mod attempts;
mod connect;
mod endings;
mod enrollments;
mod idempotency;
mod keys;
mod outbox;
mod publish;
mod readers;
mod records;
mod retention;
mod rows;
mod statement;
mod writer;

use rusqlite::Connection;

use super::changes::Changes;
use super::{StoreError, StoreOptions};
use connect::Connect;
use readers::Readers;
use statement::{Row, get, get_count, get_json, get_parsed, get_parsed_option, query};
use writer::{Haste, Tx, Writer};

const READERS_MAX: u32 = 64;

#[derive(Clone)]
pub(super) struct Sqlite {
    readers: Readers,
    writer: Writer,
}

impl Sqlite {
    pub(super) async fn open(options: &StoreOptions, changes: Changes) -> Result<Self, StoreError> {
        let (options, render, gather) = (options.clone(), options.render.clone(), options.gather);
        let opened = tokio::task::spawn_blocking(move || {
            let connect = Connect::new(&options)?;
            let mut conn = connect.to_write()?;
            connect::migrate(&mut conn)?;
            let readers = Readers::open(connect.clone(), options.readers.clamp(1, READERS_MAX) as usize)?;
            Ok((conn, connect, readers))
        });
        let (conn, connect, readers) = opened
            .await
            .unwrap_or_else(|_| Err(StoreError::Corrupt("opening it panicked".into())))?;
        let writer = Writer::start(conn, connect, gather, render, changes)?;
        Ok(Self { readers, writer })
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.readers.close();
        self.writer.close().await
    }

    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        self.read(|conn| query("SELECT 1").fetch_one(conn).map(drop))
            .await?;
        self.write(|_| Ok(())).await
    }

    pub(super) fn writes_waiting(&self) -> usize {
        self.writer.waiting()
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.read(work).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(Haste::Now, work).await
    }

    /// For what nobody waits for.
    async fn write_soon<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(Haste::Soon, work).await
    }

    /// For what nobody waits for and a power cut may forget.
    async fn write_idly<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(Haste::Idle, work).await
    }

    /// For what may be forgotten in a power cut, and is then done again.
    async fn write_unsynced<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(Haste::Unsynced, work).await
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unusable(error.to_string()))
}

/// Profiles that a reader may see, as a JSON array; `None`: all.
fn visible_profiles(visibility: &super::Visibility) -> Result<Option<String>, StoreError> {
    match visibility {
        super::Visibility::All => Ok(None),
        super::Visibility::Profiles(profiles) => to_json(profiles).map(Some),
    }
}
