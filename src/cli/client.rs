//! A small client of our own API, for the commands that place calls.
use std::time::Duration;

use serde_json::{Value, json};

/// The goodbye, the BYE and its answer: 12 s in all.
const EVIDENCE_PAUSE: Duration = Duration::from_millis(100);
const EVIDENCE_LOOKS_MAX: u32 = 120;

/// Why the API did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("the API cannot be reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{status} {code}: {detail}")]
    Problem {
        status: u16,
        code: String,
        detail: String,
        retry_after_s: Option<u64>,
    },
    #[error("the API answered something unexpected: {0}")]
    Unexpected(String),
}

impl ClientError {
    /// What the API refused the request with, as it would be sent over HTTP.
    pub(super) fn problem(&self) -> Option<Value> {
        let Self::Problem {
            status,
            code,
            detail,
            retry_after_s,
        } = self
        else {
            return None;
        };
        Some(json!({
            "status": status, "code": code, "detail": detail, "retry_after_s": retry_after_s,
        }))
    }

    /// Refused by policy or limits, not by a mistake of the caller.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Problem {
                status: 403 | 429,
                ..
            }
        )
    }
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    pub(super) fn new(base: String, key: String) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(70))
            .build()?;
        Ok(Self { http, base, key })
    }

    pub(super) async fn create(&self, body: &Value) -> Result<Value, ClientError> {
        let request = self
            .http
            .post(format!("{}/v1/verifications", self.base))
            .json(body);
        answer(request.bearer_auth(&self.key).send().await?).await
    }

    /// Opens a session of the hosted wizard.
    pub(super) async fn enroll(&self, body: &Value) -> Result<Value, ClientError> {
        let request = self.http.post(format!("{}/v1/enrollments", self.base)).json(body);
        answer(request.bearer_auth(&self.key).send().await?).await
    }

    /// The verification, once it has gone beyond what `seen` shows or 25 s have passed.
    pub(super) async fn changed(&self, seen: &Value) -> Result<Value, ClientError> {
        let id = seen["id"].as_str().unwrap_or_default();
        let sequence = seen["sequence"].as_u64().unwrap_or_default();
        self.read(&format!(
            "/v1/verifications/{id}?wait=25&after_sequence={sequence}"
        ))
        .await
    }

    /// The outcome is told before the goodbye has played; the rest of the evidence follows when the call is over.
    pub(super) async fn with_evidence(&self, ended: Value) -> Result<Value, ClientError> {
        let id = ended["id"].as_str().unwrap_or_default().to_owned();
        let mut verification = ended;
        for _ in 0..EVIDENCE_LOOKS_MAX {
            let mut attempts = verification["attempts"].as_array().into_iter().flatten();
            if attempts.all(|attempt| !attempt["ended_at"].is_null()) {
                break;
            }
            // No long poll: a verification that has ended does not change any more, and is answered at once.
            tokio::time::sleep(EVIDENCE_PAUSE).await;
            verification = self.read(&format!("/v1/verifications/{id}")).await?;
        }
        Ok(verification)
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<Value, ClientError> {
        let url = format!("{}/v1/verifications/{id}/cancel", self.base);
        answer(self.http.post(url).bearer_auth(&self.key).send().await?).await
    }

    /// Any other page of the same server, such as the simulator's.
    pub(super) async fn read(&self, path: &str) -> Result<Value, ClientError> {
        answer(
            self.http
                .get(format!("{}{path}", self.base))
                .bearer_auth(&self.key)
                .send()
                .await?,
        )
        .await
    }
}

async fn answer(response: reqwest::Response) -> Result<Value, ClientError> {
    let status = response.status();
    let retry_after_s = response
        .headers()
        .get("retry-after")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    let body: Value = response.json().await?;
    if status.is_success() {
        return Ok(body);
    }
    let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    if body["code"].is_string() {
        return Err(ClientError::Problem {
            status: status.as_u16(),
            code: word("code"),
            detail: word("detail"),
            retry_after_s,
        });
    }
    Err(ClientError::Unexpected(format!("{status}: {body}")))
}
