//! The real store of one worker, on a file of its own.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringproof::store::{RenderWebhook, Store, StoreOptions, WebhookEvent};
use tokio::runtime::Runtime;

/// Runs on one file: what ended long ago still costs a little in every index.
const RUNS_PER_FILE: u32 = 400;

pub(crate) struct Vault {
    runtime: Runtime,
    directory: tempfile::TempDir,
    file: PathBuf,
    files: u32,
    runs: u32,
    /// `None` only while one file takes the place of another.
    store: Option<Store>,
}

impl Vault {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        // Memory-backed where there is such a place: a million runs would wear a disk out.
        let shm = Path::new("/dev/shm");
        let directory = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        }
        .unwrap();
        let file = directory.path().join("0.db");
        let store = runtime.block_on(open(&file));
        Self {
            runtime,
            directory,
            file,
            files: 0,
            runs: 0,
            store: Some(store),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Makes room for the next run.
    pub(crate) fn begin_run(&mut self) {
        self.runs += 1;
        if self.runs > RUNS_PER_FILE {
            self.replace(|_, _| {});
            self.runs = 1;
        }
    }

    /// After a run that left rows behind: nothing of it may reach the next.
    pub(crate) fn discard(&mut self) {
        self.runs = RUNS_PER_FILE;
    }

    /// What `kill -9` leaves is the files as they are: a new process opens a copy taken without closing anything.
    pub(crate) fn crash(&mut self) {
        self.replace(|from, to| {
            std::fs::copy(from, to).unwrap();
            let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
            if log(from).exists() {
                std::fs::copy(log(from), log(to)).unwrap();
            }
        });
    }

    /// A process that ends in order closes its store, and the next one opens it.
    pub(crate) fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            self.runtime.block_on(store.close()).unwrap();
        }
        self.store = Some(self.runtime.block_on(open(&self.file)));
    }

    fn replace(&mut self, fill: impl FnOnce(&Path, &Path)) {
        self.files += 1;
        let next = self.directory.path().join(format!("{}.db", self.files));
        fill(&self.file, &next);
        if let Some(store) = self.store.take() {
            self.runtime.block_on(store.close()).unwrap();
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.file.display()));
        }
        self.file = next;
        self.store = Some(self.runtime.block_on(open(&self.file)));
    }
}

async fn open(file: &Path) -> Store {
    let render: RenderWebhook = Arc::new(body);
    let mut options = StoreOptions::new(format!("sqlite://{}", file.display()), render);
    options.readers = 1;
    options.busy_timeout = Duration::from_secs(30);
    // Nothing else comes while a write waits.
    options.gather = Duration::ZERO;
    Store::open(options).await.unwrap()
}

/// As much of the public body as the receiver looks at.
fn body(event: &WebhookEvent<'_>) -> String {
    let verification = event.verification;
    format!(
        "{{\"type\":\"{}\",\"id\":\"{}\",\"sequence\":{},\"outcome\":\"{}\"}}",
        event.kind,
        verification.id,
        verification.sequence,
        verification
            .outcome
            .map_or_else(|| "pending".to_owned(), |outcome| outcome.to_string()),
    )
}
