//! The SQLite engine: one file, write-ahead log, every commit synced to disk.
//!
//! Does: all SQL of this engine. Does not: decide anything that another engine would have to decide again.
//! One process serves a file; the command line may open it beside.
mod accept;
mod attempts;
mod endings;
mod enrollments;
mod idempotency;
mod keys;
mod outbox;
mod publish;
mod records;
mod retention;
mod rows;
mod writer;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, SqlSafeStr};

use super::changes::Changes;
use super::{StoreError, StoreOptions};
use writer::{Tx, Work, Writer};

/// Longest wait for a reader.
const READER_WAIT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 64;
/// Statements kept prepared per connection; more than this engine has.
const STATEMENTS_MAX: usize = 256;

#[derive(Clone)]
pub(super) struct Sqlite {
    readers: SqlitePool,
    writer: Writer,
}

impl Sqlite {
    pub(super) async fn open(options: &StoreOptions, changes: Changes) -> Result<Self, StoreError> {
        let connect = connect_options(options)?;
        create_private(connect.get_filename())?;
        let mut conn = connect.connect().await.map_err(engine_error)?;
        migrations().run(&mut conn).await.map_err(migrate_error)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.clamp(1, READERS_MAX))
            .acquire_timeout(READER_WAIT)
            .connect_with(connect.clone().read_only(true))
            .await
            .map_err(engine_error)?;
        let writer = Writer::start(conn, connect, options.render.clone(), changes);
        Ok(Self { readers, writer })
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        self.writer.close().await
    }

    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        let mut conn = self.reader().await?;
        sqlx::query("SELECT 1")
            .execute(&mut *conn)
            .await
            .map_err(engine_error)?;
        self.write(|_| Box::pin(async { Ok(()) })).await
    }

    async fn reader(&self) -> Result<PoolConnection<sqlx::Sqlite>, StoreError> {
        self.readers.acquire().await.map_err(engine_error)
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> Work<'c, T> + Send + 'static,
    {
        self.writer.write(work).await
    }
}

fn connect_options(options: &StoreOptions) -> Result<SqliteConnectOptions, StoreError> {
    let unusable =
        |why: &str| StoreError::Unusable(format!("store.url: expected sqlite://<file>, found {why}"));
    if options.url.contains(":memory:") || options.url.contains("mode=memory") {
        return Err(unusable("a database in memory, which forgets its calls"));
    }
    let parsed =
        SqliteConnectOptions::from_str(&options.url).map_err(|error| unusable(&error.to_string()))?;
    if parsed.get_filename().as_os_str().is_empty() {
        return Err(unusable("no file name"));
    }
    Ok(parsed
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was answered survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout)
        // Erased numbers leave no trace in free pages.
        .pragma("secure_delete", "FAST")
        .statement_cache_capacity(STATEMENTS_MAX)
        .log_statements(tracing::log::LevelFilter::Off))
}

/// The file holds telephone numbers and key hashes: nobody else on the machine may read it.
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    opened
        .map(drop)
        .map_err(|error| StoreError::Unusable(format!("store.url: cannot open {}: {error}", path.display())))
}

fn migrations() -> Migrator {
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(vec![
        migration(1, "init", include_str!("migrations/0001_init.sql")),
        migration(
            2,
            "taken number",
            include_str!("migrations/0002_taken_number.sql"),
        ),
    ])
}

fn migrate_error(error: sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError as E;
    match error {
        E::Execute(error) | E::ExecuteMigration(error, _) => engine_error(error),
        // A newer program wrote this file, or somebody changed its schema by hand.
        other => StoreError::Unusable(format!(
            "store.url: the schema is not one of this program: {other}"
        )),
    }
}

/// What a failure of sqlx means to a caller.
fn engine_error(error: sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    match error {
        E::Database(error) => {
            let extended: i32 = error
                .code()
                .and_then(|code| code.parse().ok())
                .unwrap_or_default();
            // Primary result codes: https://www.sqlite.org/rescode.html
            match extended & 0xff {
                5 | 6 => StoreError::Locked,
                13 => StoreError::Full,
                11 | 26 => StoreError::Corrupt(error.message().to_owned()),
                19 => StoreError::Conflict("row"),
                _ => StoreError::Unavailable(error.to_string()),
            }
        }
        E::RowNotFound => StoreError::NotFound("row"),
        E::PoolTimedOut => StoreError::Overloaded,
        error @ (E::ColumnNotFound(_) | E::ColumnDecode { .. } | E::Decode(_) | E::TypeNotFound { .. }) => {
            StoreError::Corrupt(error.to_string())
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// A column by name.
fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(engine_error)
}

/// A column that holds a word, an id, or anything else with a text form.
fn get_parsed<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let text: &str = get(row, column)?;
    text.parse()
        .map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}

fn get_parsed_option<T>(row: &SqliteRow, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let text: Option<&str> = get(row, column)?;
    text.map(|text| {
        text.parse()
            .map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
    })
    .transpose()
}

/// A column that is never negative.
fn get_count<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let value: i64 = get(row, column)?;
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{column}: found {value}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unusable(error.to_string()))
}

fn get_json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let text: &str = get(row, column)?;
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}

/// Profiles that a reader may see, as a JSON array; `None`: all.
fn visible_profiles(visibility: &super::Visibility) -> Result<Option<String>, StoreError> {
    match visibility {
        super::Visibility::All => Ok(None),
        super::Visibility::Profiles(profiles) => to_json(profiles).map(Some),
    }
}
