//! What an enrolment is: the request of the platform, what the person did, and the signed result.
//!
//! The two JSON documents live in the store's row; the pages (`web`) read and write them too.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::request::EndUser;
use super::{ApiState, Problem};
use crate::model::{Masked, Method, Purpose, UnixMillis, UnknownWord, Verification};
use crate::store::Enrollment;

/// A result is good for so long.
pub const RESULT_LIFE: Duration = Duration::from_secs(300);

/// A link is followed for so long after its end: a call placed in its last second ends, and the person returns.
pub const LINK_GRACE: Duration = Duration::from_secs(300);

/// The request as accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentRequest {
    pub return_url: String,
    pub locale: Option<String>,
    pub brand: Option<String>,
    pub purpose: Purpose,
    pub client_ref: Option<String>,
    pub end_user: EndUser,
    pub callback_url: Option<String>,
    /// Preselected in the drop-down.
    pub region: Option<String>,
    pub current_methods: Vec<CurrentMethod>,
    /// How the call may confirm; the first is preselected.
    pub allowed_methods: Vec<Method>,
    pub alternatives: Vec<Alternative>,
    pub tags: BTreeMap<String, String>,
}

/// A method that the person has already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentMethod {
    /// The platform's own id.
    pub id: String,
    pub kind: MethodKind,
    pub label: Option<String>,
    /// Masked by the platform: `+1 ••• ••23`.
    pub detail: Option<String>,
    pub is_default: bool,
    pub removable: bool,
}

/// Another way to prove oneself, on the platform's own pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    pub kind: MethodKind,
    pub label: Option<String>,
    pub url: String,
}

macro_rules! method_kinds {
    ($($variant:ident = $word:literal, $title:literal;)+) => {
        /// Kinds of sign-in methods that the list shows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum MethodKind { $($variant),+ }

        impl MethodKind {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// As the pages call it.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

method_kinds! {
    Phone = "phone", "Phone";
    Sms = "sms", "Text message";
    Authenticator = "authenticator", "Authenticator app";
    Email = "email", "Email";
    SecurityQuestions = "security_questions", "Security questions";
    SecurityKey = "security_key", "Security key";
    Passkey = "passkey", "Passkey";
    Password = "password", "Password";
    Other = "other", "Another method";
}

impl std::str::FromStr for MethodKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .iter()
            .copied()
            .find(|k| k.as_str() == text)
            .ok_or_else(|| UnknownWord {
                what: "type",
                found: text.chars().take(64).collect(),
                expected: Self::ALL.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(" "),
            })
    }
}

impl Serialize for MethodKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MethodKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What the person entered and chose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wizard {
    pub draft: Option<Draft>,
    pub action: Option<Action>,
}

/// A number that waits for the person's Next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// As typed, for the way back to the form.
    pub typed: String,
    pub region: Option<String>,
    /// Canonical, as it will be dialled.
    pub number: String,
    pub extension: Option<String>,
    pub method: Method,
}

/// What the person asked the platform to do with a current method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `remove` or `set_default`.
    #[serde(rename = "type")]
    pub kind: ActionKind,
    pub method_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    Remove,
    SetDefault,
}

/// Where an enrolment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrollmentStatus {
    Open,
    Calling,
    Completed,
    Expired,
}

impl EnrollmentStatus {
    pub const ALL: &'static [Self] = &[Self::Open, Self::Calling, Self::Completed, Self::Expired];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Calling => "calling",
            Self::Completed => "completed",
            Self::Expired => "expired",
        }
    }

    /// Decided by the verification alone, whether or not the person's page has seen it.
    #[must_use]
    pub fn of(enrollment: &Enrollment, verification: Option<&Verification>, now: UnixMillis) -> Self {
        use crate::model::Status;
        match verification.map(Verification::status) {
            Some(Status::Approved | Status::Delivered) => Self::Completed,
            Some(Status::Pending) => Self::Calling,
            _ if now >= enrollment.expires_at => Self::Expired,
            _ => Self::Open,
        }
    }
}

/// Whether the link opens nothing any more: no page, and no result that is signed anew.
#[must_use]
pub fn is_link_over(enrollment: &Enrollment, now: UnixMillis) -> bool {
    now >= enrollment.expires_at.plus(LINK_GRACE)
}

/// The stored form of a token of the URL.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// 256 random bits, 64 hex characters.
pub(super) fn new_token(state: &ApiState) -> Masked<String> {
    let mut entropy = state.entropy();
    Masked::new(format!("{}{}", entropy.token(), entropy.token()))
}

/// Reads the two documents of a row.
pub fn documents(enrollment: &Enrollment) -> Result<(EnrollmentRequest, Wizard), Problem> {
    let request = serde_json::from_str(&enrollment.request_json).map_err(|e| Problem::internal(&e))?;
    let wizard = serde_json::from_str(&enrollment.wizard_json).map_err(|e| Problem::internal(&e))?;
    Ok((request, wizard))
}

/// Claims of the result that the browser carries back.
#[derive(Debug, Serialize)]
struct ResultClaims<'a> {
    iss: &'a str,
    /// The profile.
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    enrollment: &'a str,
    verification: Option<String>,
    /// Of the verification; `none` when no call was placed.
    status: &'static str,
    reason: Option<&'static str>,
    client_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a Action>,
}

/// `return_url` with `enrollment` and `result` added to its query.
pub fn return_url(
    state: &ApiState,
    enrollment: &Enrollment,
    verification: Option<&Verification>,
) -> Result<String, Problem> {
    let (request, wizard) = documents(enrollment)?;
    let now = state.now();
    let config = state.config();
    let claims = ResultClaims {
        iss: &config.public_url,
        aud: &enrollment.profile,
        iat: now.as_seconds(),
        exp: now.plus(RESULT_LIFE).as_seconds(),
        jti: state.token(),
        enrollment: &enrollment.id,
        verification: verification.map(|v| v.id.to_string()),
        status: verification.map_or("none", |v| v.status().as_str()),
        reason: verification.and_then(|v| v.outcome).map(|o| o.reason().as_str()),
        client_ref: request.client_ref.as_deref(),
        action: wizard.action.as_ref(),
    };
    let result = state.signer().sign(&claims).map_err(|e| Problem::internal(&e))?;
    let mut url = reqwest::Url::parse(&request.return_url).map_err(|e| Problem::internal(&e))?;
    url.query_pairs_mut()
        .append_pair("enrollment", &enrollment.id)
        .append_pair("result", &result);
    Ok(url.into())
}
