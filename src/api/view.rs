//! A verification as programs see it: in answers, lists and webhooks.
//!
//! `display_code` is put in only for the answer to the POST. Extension digits and the code of `speak_code`
//! are never shown.
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::model::{Attempt, Method, Status, Verification};
use crate::store::RenderWebhook;

/// One confirmation call and all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verification)]
pub(super) struct VerificationView {
    /// As dialled: E.164, or an internal number. First, so that who reads a webhook by eye or by search meets it first.
    #[schema(example = "+14255550123")]
    to: String,
    #[schema(example = "ver_01932f0c8a7b7c3e9d4a5b6c7d8e9f00")]
    id: String,
    #[schema(schema_with = schema::status)]
    status: &'static str,
    /// While `pending`: where the call stands.
    #[schema(schema_with = schema::stage_or_null)]
    stage: Option<&'static str>,
    /// Once ended: why so.
    #[schema(schema_with = schema::reason_or_null)]
    reason: Option<&'static str>,
    #[schema(example = "+1••••••••23")]
    to_masked: String,
    /// ISO 3166-1 alpha-2; null for internal numbers.
    #[schema(example = "US")]
    country: Option<String>,
    #[schema(schema_with = schema::method)]
    method: &'static str,
    /// `match_code`: show these digits to the person. In the answer to the POST only.
    #[serde(skip_serializing_if = "Option::is_none")]
    display_code: Option<String>,
    #[schema(schema_with = schema::purpose)]
    purpose: &'static str,
    profile: String,
    /// As asked; null when the request named none.
    #[schema(example = "en-US")]
    locale: Option<String>,
    brand: Option<String>,
    /// The identity that the telephone shows.
    caller_id: String,
    attempts: Vec<AttemptView>,
    /// Grows by one with every change.
    sequence: u64,
    /// RFC 3339, UTC.
    created_at: String,
    expires_at: String,
    client_ref: Option<String>,
    end_user: Option<EndUserView>,
    callback_url: Option<String>,
    tags: BTreeMap<String, String>,
    links: LinksView,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndUser)]
pub(super) struct EndUserView {
    /// Opaque to Ringproof.
    id: Option<String>,
    ip: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Links)]
pub(super) struct LinksView {
    #[serde(rename = "self")]
    this: String,
    events: String,
    cancel: String,
    /// `events` with a short-lived token in the query, for a browser. In the answer to the POST only.
    #[serde(skip_serializing_if = "Option::is_none")]
    browser_events: Option<String>,
}

/// One dialled INVITE.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(super) struct AttemptView {
    id: String,
    /// Counted from 1.
    number: u32,
    trunk: String,
    /// SIP Call-ID, committed before the first octet left.
    call_id: Option<String>,
    #[schema(schema_with = schema::stage)]
    stage: &'static str,
    #[schema(schema_with = schema::status_or_null)]
    status: Option<&'static str>,
    #[schema(schema_with = schema::reason_or_null)]
    reason: Option<&'static str>,
    created_at: String,
    dialed_at: Option<String>,
    ended_at: Option<String>,
    /// Final status of the INVITE.
    sip_status: Option<u16>,
    sip_reason: Option<String>,
    /// Cause of the Reason header (RFC 3326, Q.850).
    q850: Option<u16>,
    reason_text: Option<String>,
    #[schema(schema_with = schema::side_or_null)]
    hung_up_by: Option<&'static str>,
    /// The key that decided; never a key of a code.
    key: Option<String>,
    #[schema(schema_with = schema::transport_or_null)]
    key_transport: Option<&'static str>,
    /// From the end of the sentence that names the key to the press.
    key_delay_ms: Option<u32>,
    key_duration_ms: Option<u32>,
    codec: Option<String>,
    /// SRTP suite of the audio, such as `AES_CM_128_HMAC_SHA1_80`; null where it went in the clear.
    srtp: Option<&'static str>,
    packets_sent: u64,
    packets_received: u64,
    packets_lost: u64,
    jitter_ms: Option<f32>,
    /// Packets of ours that the callee's side missed, by its last RTCP report; absent where it sent none.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_packets_lost: Option<u32>,
    /// Of our packets between its last two reports, 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_fraction_lost: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_jitter_ms: Option<f32>,
    /// Mean opinion score, 1.0–4.5.
    mos: Option<f32>,
    /// Post-dial delay.
    pdd_ms: Option<u32>,
    ring_ms: Option<u32>,
    talk_ms: Option<u32>,
    /// Words that explain, such as `dtmf_mismatch`, `no_callee_audio` (no RTP came after the answer), `silent_callee` (RTP came, all
    /// of it digital silence), `rtp_refused` (the callee's host refused ours) or `rtp_not_received` (its RTCP says that most of ours
    /// was lost).
    flags: Vec<String>,
    /// Only beside the flag `rtp_source_learned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtp_source: Option<RtpSourceView>,
    forwarded: Option<ForwardedView>,
    /// P-Asserted-Identity of the telephone that was reached, masked.
    answered_as: Option<String>,
    /// What was played, in order; of the GET of one verification, once the call is over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prompts: Vec<PlayedClipView>,
}

/// RTP came from another address than the callee's SDP named, and was followed there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RtpSource)]
struct RtpSourceView {
    /// As SDP has it, with its port.
    agreed: String,
    seen: String,
}

/// One recording as far as it was sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlayedClip)]
struct PlayedClipView {
    /// Null where it spoke a code.
    clip: Option<String>,
    /// SHA-256 of the whole recording as the codec of the call codes it, of which `played_ms` left. Null where it spoke a code, and
    /// where the codec changed while it may have played.
    sha256: Option<String>,
    played_ms: u32,
    of_ms: u32,
}

/// The network sent the call on to another telephone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Forwarded)]
struct ForwardedView {
    /// What told it: `history_info`, `diversion` or `181`.
    by: &'static str,
    /// Where to, masked, as History-Info says it.
    to: Option<String>,
    /// Why, as Diversion says it: `no-answer`, `user-busy`, `unconditional`…
    reason: Option<String>,
}

impl VerificationView {
    /// For GET, lists and webhooks: no code, no token.
    pub(super) fn new(verification: &Verification, public_url: &str) -> Self {
        let this = format!("{public_url}/v1/verifications/{}", verification.id);
        let has_end_user = verification.end_user_id.is_some() || verification.end_user_ip.is_some();
        Self {
            id: verification.id.to_string(),
            status: verification.status().as_str(),
            stage: (verification.status() == Status::Pending).then(|| verification.stage.as_str()),
            reason: verification.outcome.map(|o| o.reason().as_str()),
            to: verification.to.reveal().to_owned(),
            to_masked: verification.to.masked(),
            country: verification.to.country().map(str::to_owned),
            method: verification.method.as_str(),
            display_code: None,
            purpose: verification.purpose.as_str(),
            profile: verification.profile.clone(),
            locale: verification.locale.clone(),
            brand: verification.brand.clone(),
            caller_id: verification.caller_id.clone(),
            attempts: verification.attempts.iter().map(AttemptView::new).collect(),
            sequence: verification.sequence,
            created_at: verification.created_at.to_rfc3339(),
            expires_at: verification.expires_at.to_rfc3339(),
            client_ref: verification.client_ref.clone(),
            end_user: has_end_user.then(|| EndUserView {
                id: verification.end_user_id.clone(),
                ip: verification.end_user_ip.clone(),
            }),
            callback_url: verification.callback_url.clone(),
            tags: verification.tags.clone(),
            links: LinksView {
                events: format!("{this}/events"),
                cancel: format!("{this}/cancel"),
                browser_events: None,
                this,
            },
        }
    }

    /// For the answer to the POST: with the code for the screen and a browser's link to the events.
    pub(super) fn created(verification: &Verification, public_url: &str, browser_token: &str) -> Self {
        let mut view = Self::new(verification, public_url);
        if verification.method == Method::MatchCode {
            view.display_code = verification.code.as_ref().map(|code| code.reveal().reveal());
        }
        view.links.browser_events = Some(format!("{}?token={browser_token}", view.links.events));
        view
    }
}

impl VerificationView {
    /// With the proof of what was played: too long for lists and webhooks.
    pub(super) fn with_prompts(mut self, verification: &Verification) -> Self {
        for (view, attempt) in self.attempts.iter_mut().zip(&verification.attempts) {
            let played = attempt.report.prompts.iter();
            view.prompts = played
                .map(|played| PlayedClipView {
                    clip: played.clip.clone(),
                    sha256: played.sha256.clone(),
                    played_ms: played.played_ms,
                    of_ms: played.of_ms,
                })
                .collect();
        }
        self
    }
}

impl AttemptView {
    fn new(attempt: &Attempt) -> Self {
        let report = &attempt.report;
        Self {
            id: attempt.id.to_string(),
            number: attempt.number,
            trunk: attempt.trunk.clone(),
            call_id: attempt.call_id.clone(),
            stage: attempt.stage.as_str(),
            status: attempt.outcome.map(|o| o.status().as_str()),
            reason: attempt.outcome.map(|o| o.reason().as_str()),
            created_at: attempt.created_at.to_rfc3339(),
            dialed_at: attempt.dialed_at.map(|at| at.to_rfc3339()),
            ended_at: attempt.ended_at.map(|at| at.to_rfc3339()),
            sip_status: report.cause.sip_status,
            sip_reason: report.cause.sip_reason.clone(),
            q850: report.cause.q850,
            reason_text: report.cause.reason_text.clone(),
            hung_up_by: report.cause.hung_up_by.map(|side| side.as_str()),
            key: report.key.map(String::from),
            key_transport: report.key_transport.map(|t| t.as_str()),
            key_delay_ms: report.key_delay_ms,
            key_duration_ms: report.key_duration_ms,
            codec: report.codec.clone(),
            srtp: report.srtp.map(|suite| suite.as_str()),
            packets_sent: report.quality.packets_sent,
            packets_received: report.quality.packets_received,
            packets_lost: report.quality.packets_lost,
            jitter_ms: report.quality.jitter_ms,
            peer_packets_lost: report.quality.peer_packets_lost,
            peer_fraction_lost: report.quality.peer_fraction_lost,
            peer_jitter_ms: report.quality.peer_jitter_ms,
            mos: report.quality.mos,
            pdd_ms: report.pdd_ms,
            ring_ms: report.ring_ms,
            talk_ms: report.talk_ms,
            flags: report.flags.clone(),
            rtp_source: report.rtp_source.map(|found| RtpSourceView {
                agreed: found.agreed.to_string(),
                seen: found.seen.to_string(),
            }),
            forwarded: report.forwarded.as_ref().map(|forwarded| ForwardedView {
                by: forwarded.by.as_str(),
                to: forwarded.to.clone(),
                reason: forwarded.reason.clone(),
            }),
            answered_as: report.answered_as.clone(),
            prompts: Vec::new(),
        }
    }
}

/// Body of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookView {
    /// `verification.approved`, `fraud.reported`…
    #[serde(rename = "type")]
    #[schema(example = "verification.approved")]
    kind: &'static str,
    /// When the event was committed; RFC 3339.
    timestamp: String,
    data: VerificationView,
}

/// Makes webhook bodies for [`crate::store::StoreOptions`].
#[must_use]
pub fn render_webhook(public_url: &str) -> RenderWebhook {
    let public_url = public_url.trim_end_matches('/').to_owned();
    Arc::new(move |event| {
        let view = WebhookView {
            kind: event.kind.as_str(),
            timestamp: event.at.to_rfc3339(),
            data: VerificationView::new(event.verification, &public_url),
        };
        // Only strings, numbers and maps with string keys: serialisation has no way to fail.
        serde_json::to_string(&view).unwrap_or_default()
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::*;
    use crate::store::{EventType, WebhookEvent};

    pub(crate) fn sample(method: Method) -> Verification {
        let mut entropy = Entropy::from_number(1);
        Verification {
            id: VerificationId::generate(UnixMillis(0), &mut entropy),
            key_id: "key_1".into(),
            profile: "default".into(),
            to: Destination::Internal("1001".into()),
            extension: None,
            method,
            code: Some(Masked::new(Digits::parse("481920").unwrap())),
            purpose: Purpose::Enroll,
            locale: Some("en-US".into()),
            brand: None,
            client_ref: Some("ref".into()),
            end_user_id: None,
            end_user_ip: None,
            callback_url: None,
            tags: BTreeMap::new(),
            message: BTreeMap::new(),
            caller_id: "+18005550199".into(),
            created_at: UnixMillis(0),
            expires_at: UnixMillis(120_000),
            stage: Stage::Queued,
            outcome: None,
            sequence: 1,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn the_code_stands_in_the_answer_to_the_post_only() {
        let json = |view: &VerificationView| serde_json::to_string(view).unwrap();
        let matched = sample(Method::MatchCode);
        assert!(json(&VerificationView::created(&matched, "https://c", "t")).contains("481920"));
        assert!(!json(&VerificationView::new(&matched, "https://c")).contains("481920"));
        let spoken = sample(Method::SpeakCode);
        assert!(!json(&VerificationView::created(&spoken, "https://c", "t")).contains("481920"));
        let event = WebhookEvent {
            id: EventId::generate(UnixMillis(0), &mut Entropy::from_number(2)),
            kind: EventType::Created,
            at: UnixMillis(0),
            verification: &matched,
        };
        assert!(!render_webhook("https://c")(&event).contains("481920"));
    }

    #[test]
    fn a_stage_is_shown_while_pending_and_a_reason_afterwards() {
        let mut verification = sample(Method::PressKey);
        let pending = VerificationView::new(&verification, "");
        assert_eq!(
            (pending.status, pending.stage, pending.reason),
            ("pending", Some("queued"), None)
        );
        verification.outcome = Some(Reason::Busy.into());
        let ended = VerificationView::new(&verification, "");
        assert_eq!(
            (ended.status, ended.stage, ended.reason),
            ("failed", None, Some("busy"))
        );
    }
}
