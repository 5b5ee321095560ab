//! A receiver of webhooks that answers by a script and keeps what came.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

/// One received request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An answer of the script.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) header: Option<(&'static str, String)>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, header: None }
    }
}

#[derive(Clone)]
struct Shared {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    received: mpsc::UnboundedSender<Received>,
}

pub(crate) struct Sink {
    pub(crate) url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Sink {
    /// Answers by `replies` in turn, then 204.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let (sender, received) = mpsc::unbounded_channel();
        let shared = Shared {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            received: sender,
        };
        let app = Router::new().fallback(receive).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, received }
    }

    pub(crate) async fn next(&mut self) -> Received {
        self.received.recv().await.unwrap()
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.received.try_recv().is_err()
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let reply = shared
        .replies
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or(Reply::status(204));
    // The test may have ended; then nobody counts any more.
    let _ = shared.received.send(Received {
        headers,
        body,
        at: Instant::now(),
    });
    let mut response = StatusCode::from_u16(reply.status).unwrap().into_response();
    if let Some((name, value)) = reply.header {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
