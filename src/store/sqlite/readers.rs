//! Connections for reading, each used by one reader at a time on a thread that may block.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::super::StoreError;
use super::connect::Connect;

/// Longest wait for a connection.
const READER_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Readers(Arc<Pool>);

struct Pool {
    connect: Connect,
    /// One permit per connection that may be open.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Connections are opened when they are needed, the first now.
    pub(super) fn open(connect: Connect, readers_max: usize) -> Result<Self, StoreError> {
        let first = connect.to_read()?;
        Ok(Self(Arc::new(Pool {
            connect,
            permits: Arc::new(Semaphore::new(readers_max)),
            idle: Mutex::new(vec![first]),
        })))
    }

    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = tokio::time::timeout(READER_WAIT, self.0.permits.clone().acquire_owned())
            .await
            .map_err(|_| StoreError::Overloaded)?
            .map_err(|_| closed())?;
        let pool = self.0.clone();
        let read = tokio::task::spawn_blocking(move || {
            // Held to the end, even when the caller goes away.
            let _permit = permit;
            let conn = match pool.idle().pop() {
                Some(conn) => conn,
                None => pool.connect.to_read()?,
            };
            let found = work(&conn);
            if !pool.permits.is_closed() {
                pool.idle().push(conn);
            }
            found
        });
        read.await
            .unwrap_or_else(|_| Err(StoreError::Corrupt("a read panicked".into())))
    }

    /// Later reads are refused; those that run end by themselves.
    pub(super) fn close(&self) {
        self.0.permits.close();
        self.0.idle().clear();
    }
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}
