//! A receiver of webhooks for the demo: verifies each signature and hands it on.
use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::mpsc;

/// One webhook as it came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) id: String,
    pub(super) at: Instant,
    /// Why the signature does not hold; `None` when it does.
    pub(super) fault: Option<String>,
    pub(super) body: Value,
}

#[derive(Clone)]
struct Sink {
    secret: Vec<u8>,
    send: mpsc::Sender<Received>,
}

/// Listens on loopback at a free port; the address ends in `/hooks`.
pub(super) async fn start(secret: &str) -> std::io::Result<(SocketAddr, mpsc::Receiver<Received>)> {
    let (send, receive) = mpsc::channel(64);
    let secret = STANDARD
        .decode(secret.trim_start_matches("whsec_"))
        .map_err(std::io::Error::other)?;
    let app = Router::new()
        .route("/hooks", post(hook))
        .with_state(Sink { secret, send });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((address, receive))
}

async fn hook(State(sink): State<Sink>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let id = header("webhook-id");
    let fault = verify(
        &sink.secret,
        &id,
        &header("webhook-timestamp"),
        &header("webhook-signature"),
        &body,
    )
    .err();
    let good = fault.is_none();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    if sink.send.send(Received { id, at, fault, body }).await.is_err() {
        return StatusCode::GONE;
    }
    if good {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::UNAUTHORIZED
    }
}

/// Standard Webhooks: one of the `v1` signatures is HMAC-SHA256 of `id.timestamp.body`.
fn verify(secret: &[u8], id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> Result<(), String> {
    let mut given = signatures.split(' ').filter_map(|s| s.strip_prefix("v1,"));
    let fits = |signature: &str| {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            return false;
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac.verify_slice(&signature).is_ok()
    };
    if given.any(fits) {
        Ok(())
    } else {
        Err(format!("no signature of {signatures:?} fits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_and_body_verify() {
        let secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let key = STANDARD.decode(secret).unwrap();
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        let signature = webhook.sign("evt_1", 1_614_265_330, b"{}").unwrap();
        assert_eq!(
            verify(&key, "evt_1", "1614265330", &format!("v1a,x {signature}"), b"{}"),
            Ok(())
        );
        assert!(verify(&key, "evt_1", "1614265330", &signature, b"{ }").is_err());
        assert!(verify(&key, "evt_2", "1614265330", &signature, b"{}").is_err());
        assert!(verify(&key, "evt_1", "1614265330", "v1,AAAA v1,", b"{}").is_err());
    }
}
