//! Opening the file: its URL, its privileges, its settings, its schema.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::{StoreError, StoreOptions};
use super::statement::engine_error;

/// Statements kept prepared per connection; more than this engine has.
const STATEMENTS_MAX: usize = 256;

/// Scripts that bring the schema from one version to the next; `PRAGMA user_version` counts those that ran.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_init.sql"),
    include_str!("migrations/0002_taken_number.sql"),
    include_str!("migrations/0003_outbox_leased.sql"),
];

/// How to open the file again.
#[derive(Clone)]
pub(super) struct Connect {
    path: Arc<Path>,
    busy_timeout: Duration,
}

impl Connect {
    /// Makes the file when it is missing.
    pub(super) fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        let path = path_of(&options.url)?;
        create_private(&path)?;
        Ok(Self {
            path: path.into(),
            busy_timeout: options.busy_timeout,
        })
    }

    /// For the one that writes.
    pub(super) fn to_write(&self) -> Result<Connection, StoreError> {
        let conn = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // A commit that was answered survives a power cut. Erased numbers leave no trace in free pages.
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA secure_delete = FAST;",
        )
        .map_err(engine_error)?;
        Ok(conn)
    }

    pub(super) fn to_read(&self) -> Result<Connection, StoreError> {
        self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        // Each connection is used by one thread at a time.
        let conn = Connection::open_with_flags(&*self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(engine_error)?;
        conn.busy_timeout(self.busy_timeout).map_err(engine_error)?;
        // A plan that never looks at bound values. Without this a statement on a table with a partial index is prepared
        // anew each time it is bound: most of ours are.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(engine_error)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(conn)
    }
}

fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let unusable =
        |why: &str| StoreError::Unusable(format!("store.url: expected sqlite://<file>, found {why}"));
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if path == ":memory:" || parameters.contains("mode=memory") {
        return Err(unusable("a database in memory, which forgets its calls"));
    }
    if !parameters.is_empty() {
        return Err(unusable(&format!(
            "parameters ({parameters:?}), which it does not take"
        )));
    }
    if path.is_empty() {
        return Err(unusable("no file name"));
    }
    Ok(PathBuf::from(path))
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

/// Brings the schema up to date. Several processes may come at once: each step is one transaction.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    loop {
        let step = conn
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(engine_error)?;
        let done = version_of(&step)?;
        if done > MIGRATIONS.len() {
            return Err(StoreError::Unusable(format!(
                "store.url: the schema is of a newer program: expected version {} at most, found {done}",
                MIGRATIONS.len()
            )));
        }
        let Some(script) = MIGRATIONS.get(done) else {
            return Ok(());
        };
        step.execute_batch(script).map_err(engine_error)?;
        let next = i64::try_from(done + 1).unwrap_or(i64::MAX);
        step.pragma_update(None, "user_version", next)
            .map_err(engine_error)?;
        step.commit().map_err(engine_error)?;
    }
}

fn version_of(conn: &Connection) -> Result<usize, StoreError> {
    let version = |sql| {
        conn.query_row(sql, (), |row| row.get::<_, i64>(0))
            .map_err(engine_error)
    };
    let mut found = version("PRAGMA user_version")?;
    // Files of the first builds counted in a table.
    if found == 0
        && version("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'")?
            > 0
    {
        found = version("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")?;
    }
    usize::try_from(found).map_err(|_| StoreError::Corrupt(format!("user_version: found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(conn: &Connection) -> i64 {
        let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'verifications'";
        conn.query_row(count, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_new_file_gets_every_step_once() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        migrate(&mut conn).unwrap();
        assert_eq!((version_of(&conn).unwrap(), tables(&conn)), (MIGRATIONS.len(), 1));
    }

    #[test]
    fn a_file_of_the_first_builds_goes_on_where_its_table_says() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MIGRATIONS[0]).unwrap();
        conn.execute_batch(
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, success BOOLEAN NOT NULL);
             INSERT INTO _sqlx_migrations VALUES (1, TRUE);",
        )
        .unwrap();
        migrate(&mut conn).unwrap();
        let version: i64 = conn
            .query_row("PRAGMA user_version", (), |row| row.get(0))
            .unwrap();
        assert_eq!(usize::try_from(version).unwrap(), MIGRATIONS.len());
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused_with_both_versions() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut conn).unwrap_err().to_string();
        assert!(error.contains("version 3 at most, found 99"), "{error}");
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE outbox (x)").unwrap();
        assert!(migrate(&mut conn).is_err());
        assert_eq!((version_of(&conn).unwrap(), tables(&conn)), (0, 0));
    }
}
