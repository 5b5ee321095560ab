//! A receiver of webhooks that keeps what came. Every signature is checked by the `standardwebhooks` crate; one that
//! does not hold is kept as a fault and fails the test that looks.
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

/// Of every house here.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WAIT_MAX: Duration = Duration::from_secs(90);

/// One delivery that was received, answered or not.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) verification: String,
    pub(crate) body: Value,
    /// Why the signature does not hold.
    pub(crate) fault: Option<String>,
    pub(crate) accepted: bool,
}

/// What the receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Accept,
    /// 503.
    Refuse,
    /// Takes the delivery and never answers: its 200 is lost.
    Swallow,
}

#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Hook>>>,
    changed: watch::Sender<()>,
    mood: watch::Sender<Mood>,
}

impl Hooks {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let hooks = Self {
            url: format!("http://{}/hooks", listener.local_addr().unwrap()),
            came: Arc::default(),
            changed: watch::Sender::new(()),
            mood: watch::Sender::new(Mood::Accept),
        };
        let routes = Router::new().fallback(take).with_state(hooks.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        hooks
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub(crate) fn all(&self) -> Vec<Hook> {
        self.came.lock().unwrap().clone()
    }

    pub(crate) fn of(&self, verification: &str) -> Vec<Hook> {
        let mut all = self.all();
        all.retain(|hook| hook.verification == verification);
        all
    }

    /// Waits until `found` sees what it looks for.
    pub(crate) async fn until<T>(&self, what: &str, mut found: impl FnMut(&[Hook]) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = found(&self.all()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(WAIT_MAX, search).await {
            Ok(found) => found,
            Err(_) => panic!("no webhook in {WAIT_MAX:?}: {what}; {} came", self.all().len()),
        }
    }

    /// The terminal event of this verification, once it was accepted.
    pub(crate) async fn terminal(&self, verification: &str) -> Hook {
        let wanted = |hook: &Hook| hook.verification == verification && hook.is_terminal() && hook.accepted;
        self.until(verification, |hooks| hooks.iter().find(|h| wanted(h)).cloned())
            .await
    }

    /// Ids of the terminal events of this verification, however often each came.
    pub(crate) fn terminal_ids(&self, verification: &str) -> BTreeSet<String> {
        let hooks = self.of(verification);
        hooks
            .into_iter()
            .filter(Hook::is_terminal)
            .map(|h| h.id)
            .collect()
    }
}

impl Hook {
    pub(crate) fn is_terminal(&self) -> bool {
        const TERMINAL: [&str; 7] = [
            "approved",
            "delivered",
            "denied",
            "expired",
            "failed",
            "blocked",
            "canceled",
        ];
        self.kind
            .strip_prefix("verification.")
            .is_some_and(|kind| TERMINAL.contains(&kind))
    }
}

async fn take(State(hooks): State<Hooks>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    let fault = webhook.verify(&body, &headers).err().map(|e| e.to_string());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mood = *hooks.mood.borrow();
    let id = headers.get("webhook-id").and_then(|v| v.to_str().ok());
    hooks.came.lock().unwrap().push(Hook {
        id: id.unwrap_or_default().to_owned(),
        kind: text(&body["type"]),
        verification: text(&body["data"]["id"]),
        body,
        fault,
        accepted: mood == Mood::Accept,
    });
    hooks.changed.send_replace(());
    match mood {
        Mood::Accept => StatusCode::NO_CONTENT,
        Mood::Refuse => StatusCode::SERVICE_UNAVAILABLE,
        Mood::Swallow => std::future::pending().await,
    }
}
