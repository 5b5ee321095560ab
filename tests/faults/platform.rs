//! The identity platform: a receiver of webhooks that keeps how each verification ended, for thousands of them.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use crate::line::text;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Terminal events of one verification: webhook id → `data`.
pub(crate) type Ends = BTreeMap<String, Value>;

#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) url: String,
    ends: Arc<Mutex<BTreeMap<String, Ends>>>,
    changed: watch::Sender<()>,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let platform = Self {
            url: format!("http://{}/hooks", listener.local_addr().unwrap()),
            ends: Arc::default(),
            changed: watch::Sender::new(()),
        };
        let routes = Router::new().fallback(take).with_state(platform.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        platform
    }

    /// What every one of them ended as, once `count` have.
    pub(crate) async fn ended(&self, count: usize, at_most: Duration) -> BTreeMap<String, Ends> {
        let mut changed = self.changed.subscribe();
        let all = async {
            while self.ends.lock().unwrap().len() < count {
                changed.changed().await.unwrap();
            }
        };
        let in_time = tokio::time::timeout(at_most, all).await.is_ok();
        let ends = self.ends.lock().unwrap().clone();
        assert!(in_time, "{} of {count} ended within {at_most:?}", ends.len());
        ends
    }
}

async fn take(State(platform): State<Platform>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    if webhook.verify(&body, &headers).is_err() {
        // The event stays undelivered, and the test that waits for it fails.
        return StatusCode::UNAUTHORIZED;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let mut ends = platform.ends.lock().unwrap();
    let ends_of = ends.entry(text(&body["data"]["id"]).to_owned()).or_default();
    ends_of.insert(id.unwrap_or_default().to_owned(), body["data"].clone());
    drop(ends);
    platform.changed.send_replace(());
    StatusCode::NO_CONTENT
}
