//! `GET /v1/verifications/{id}/capture.pcap`: what the flight recorder kept of the calls of a verification.
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;

use super::auth::Caller;
use super::openapi::Refusal;
use super::verifications::{find, parse_id};
use super::{ApiState, Code, Problem};
use crate::store::Scope;

const PCAP: &str = "application/vnd.tcpdump.pcap";

/// Download the SIP messages of a verification's calls, and their RTP where `[capture] rtp` keeps it.
///
/// A pcap file for Wireshark, tshark or sngrep. Numbers are masked; credentials, keys and codes are hidden. Messages of TCP
/// and TLS stand there as datagrams. Silence stands in the RTP for what speaks a code and, unless it is kept, for what the
/// callee says. Only the last calls are kept, in memory.
#[utoipa::path(get, path = "/v1/verifications/{id}/capture.pcap", operation_id = "get_capture", tag = "operations",
    params(("id" = String, Path, description = "`ver_…`")),
    responses((status = 200, content_type = "application/vnd.tcpdump.pcap", body = [u8]),
        (status = "4XX", response = Refusal)))]
pub(super) async fn download(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Admin)?;
    let verification = find(&state, parse_id(&id)?, &caller.visibility()).await?;
    let call_ids: Vec<String> = verification
        .attempts
        .iter()
        .filter_map(|attempt| attempt.call_id.clone())
        .collect();
    let kept = match state.recorder() {
        Some(recorder) => recorder
            .capture(&call_ids)
            .map_err(|error| Problem::internal(&error))?,
        None => None,
    };
    let file = kept.ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            "no call of this verification is in the flight recorder; it keeps the last [capture] calls since the start",
        )
    })?;
    let headers: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, PCAP.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}.pcap\"", verification.id),
        ),
    ];
    Ok((StatusCode::OK, headers, file))
}
