//! From a checked request to a committed verification: number, policy, identity, then stop 1 of the corridor.
//!
//! The API's POST and the enrolment pages both come through here, so one set of rules holds for both.
use std::time::Duration;

use axum::http::StatusCode;

use super::request::{Call, Dialled};
use super::shed::Place;
use super::{ApiConfig, ApiState, Code, Problem, SpokenMessage};
use crate::model::{
    Destination, Digit, Digits, Entropy, Masked, Method, Stage, UnixMillis, Verification, VerificationId,
};
use crate::policy::{CallerOf, ProblemCode, Quota, Refusal};
use crate::store::{
    Accept, Accepted, AuditRow, IdempotencyKey, IdempotencyStart, RenderAnswer, StoredAnswer, Subscription,
    Visibility,
};

/// Digits of a `match_code` that the platform left to us.
const MATCH_CODE_DIGITS: usize = 4;

/// On whose account a call is placed.
#[derive(Debug, Clone)]
pub struct Account {
    pub key_id: String,
    pub visibility: Visibility,
    pub idempotency: Option<IdempotencyKey>,
}

/// What came of it.
#[derive(Debug)]
pub enum Placed {
    Created {
        verification: Box<Verification>,
        answer: StoredAnswer,
    },
    /// The same Idempotency-Key and body had been answered before.
    Replay(StoredAnswer),
}

/// Why nothing was placed, and whether its audit row has been written.
enum Refused {
    Accounted(Problem),
    Unaccounted(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Unaccounted(problem)
    }
}

/// Judges and commits. What is refused leaves an audit row and no verification.
pub async fn place(
    state: &ApiState,
    account: Account,
    call: Call,
    render: impl Fn(&Verification) -> StoredAnswer + Send + Sync + 'static,
) -> Result<Placed, Problem> {
    let actor = account.key_id.clone();
    // Kept as it was typed: only a refusal's audit row needs it read once more, under the rules that held then.
    let (config, dialled) = (state.config(), call.to.clone());
    match judge_and_commit(state, account, call, render).await {
        Ok(placed) => Ok(placed),
        Err(Refused::Accounted(problem)) => Err(problem),
        Err(Refused::Unaccounted(problem)) => {
            let subject = subject_of(&config, &dialled);
            Err(account_for(state, &actor, subject, problem).await)
        }
    }
}

async fn judge_and_commit(
    state: &ApiState,
    account: Account,
    call: Call,
    render: impl Fn(&Verification) -> StoredAnswer + Send + Sync + 'static,
) -> Result<Placed, Refused> {
    let config = state.config();
    let now = state.now();
    check_admission(state, &config)?;
    // Before the number is judged: that may write a row.
    state.admission().shedder().judge().map_err(Refused::Accounted)?;
    let param = call.to.param;
    let to = judge_number(state, &account.key_id, &call.to)
        .await
        .map_err(Refused::Accounted)?;
    judge_message(&config, &call, &to)?;
    let caller_id = match config.trunks.first() {
        Some(ids) => ids.for_country(to.country()).to_owned(),
        None => return Err(no_trunk("no trunk is configured").into()),
    };
    let mut entropy = state.entropy();
    let quotas = quotas(&config, &call, &to, &account.key_id);
    let profile = config.profiles.get(&call.profile);
    let subscription = profile.map_or_else(Subscription::terminal_only, |p| p.subscription);
    let supersede = call.supersede;
    let (visibility, answered) = (account.visibility, account.idempotency.clone());
    let verification = verification(call, to, caller_id, &account.key_id, &mut entropy, now);
    let place = admit(state, verification.id)?;
    let render_answer: RenderAnswer = Box::new(render);
    let accept = Accept {
        verification,
        subscription,
        idempotency: account.idempotency,
        supersede,
        quotas,
        pending_max: config.policy.pending_max(),
        live_max: config.policy.live_max(),
        render_answer,
    };
    let accepted = state.store().accept(accept, entropy.fork(), now).await;
    place.committed();
    match accepted.map_err(Problem::from)? {
        Accepted::Created { verification, answer } => {
            if let Some(key) = answered {
                state.admission().shedder().note_answered(&key.value);
            }
            // What supersedes a call waits for that one's end, and then takes its place.
            if !supersede {
                place.keep();
            }
            Ok(Placed::Created { verification, answer })
        }
        Accepted::Replay(answer) => Ok(Placed::Replay(answer)),
        Accepted::IdempotencyMismatch => Err(idempotency_mismatch().into()),
        Accepted::IdempotencyInFlight => Err(idempotency_in_flight().into()),
        Accepted::NumberBusy { verification } => {
            Err(call_in_progress(state, verification, &visibility).await.into())
        }
        // The store has written the audit row in the same transaction.
        Accepted::Refused(refusal) => Err(Refused::Accounted(of_refusal(&refusal, param))),
    }
}

/// The answer that was given before to this key and body. It is looked up before the request is judged: neither a new
/// policy nor a server on its way down changes what has been answered.
pub async fn answered_before(
    state: &ApiState,
    key: Option<&IdempotencyKey>,
) -> Result<Option<StoredAnswer>, Problem> {
    let Some(key) = key else {
        return Ok(None);
    };
    match state.store().idempotency_find(key.clone(), state.now()).await? {
        IdempotencyStart::Fresh => Ok(None),
        IdempotencyStart::Replay(answer) => Ok(Some(answer)),
        IdempotencyStart::Mismatch => Err(idempotency_mismatch()),
        IdempotencyStart::InFlight => Err(idempotency_in_flight()),
    }
}

/// Judges a number without placing a call; a refusal leaves an audit row, as it does at the POST.
pub async fn judge_number(state: &ApiState, actor: &str, dialled: &Dialled) -> Result<Destination, Problem> {
    let config = state.config();
    let judged = config
        .policy
        .destination(dialled.number.reveal(), dialled.region.as_deref());
    match judged {
        Ok(to) => Ok(to),
        Err(refusal) => {
            let (subject, detail) = (subject_of(&config, dialled), refusal.to_string());
            let problem = of_refusal(&refusal, dialled.param);
            Err(write_row(state, actor, subject, detail, problem).await)
        }
    }
}

/// Nothing is promised that the voice of this call could not say.
fn judge_message(config: &ApiConfig, call: &Call, to: &Destination) -> Result<(), Problem> {
    if call.message.is_empty() {
        return Ok(());
    }
    let spoken = SpokenMessage {
        profile: &call.profile,
        locale: call.locale.as_deref(),
        country: to.country(),
        message: &call.message,
    };
    config
        .message_check
        .judge(spoken)
        .map_err(|fault| Problem::new(Code::ParamInvalid, fault.detail).at(fault.param))
}

/// The number as the policy reads it, whether or not it may be called.
pub(super) fn read_number(config: &ApiConfig, dialled: &Dialled) -> Result<Destination, Refusal> {
    config
        .policy
        .read(dialled.number.reveal(), dialled.region.as_deref())
}

/// Whether new calls are taken at present.
fn check_admission(state: &ApiState, config: &ApiConfig) -> Result<(), Problem> {
    if state.admission().is_draining() {
        let mut problem = Problem::new(
            Code::ShuttingDown,
            "the server is finishing its last calls; send the request again",
        );
        problem.retry_after_s = Some(5);
        return Err(problem);
    }
    if config.trunks.is_empty() {
        return Err(no_trunk("no trunk is configured"));
    }
    if !state.admission().are_trunks_up() {
        return Err(no_trunk("all trunks are down at present"));
    }
    Ok(())
}

/// What is shed has been counted, and leaves no row: rows are what an overloaded server has no time for.
fn admit(state: &ApiState, id: VerificationId) -> Result<Place, Refused> {
    let admitted = state.admission().shedder().admit(id);
    admitted.map_err(Refused::Accounted)
}

fn no_trunk(detail: &str) -> Problem {
    let mut problem = Problem::new(Code::NoTrunkAvailable, detail);
    problem.retry_after_s = Some(10);
    problem
}

fn quotas(config: &ApiConfig, call: &Call, to: &Destination, key_id: &str) -> Vec<Quota> {
    let ip = call.end_user.ip.map(|ip| ip.to_string());
    let caller = CallerOf {
        key_id,
        profile: &call.profile,
        end_user_id: call.end_user.id.as_deref(),
        end_user_ip: ip.as_deref(),
    };
    config.policy.quotas(to, &caller)
}

fn verification(
    call: Call,
    to: Destination,
    caller_id: String,
    key_id: &str,
    entropy: &mut Entropy,
    now: UnixMillis,
) -> Verification {
    let code = match (call.method, call.code) {
        (Method::MatchCode, None) => Some(Masked::new(random_code(entropy))),
        (_, code) => code,
    };
    Verification {
        id: VerificationId::generate(now, entropy),
        key_id: key_id.to_owned(),
        profile: call.profile,
        to,
        extension: call.extension,
        method: call.method,
        code,
        purpose: call.purpose,
        locale: call.locale,
        brand: call.brand,
        client_ref: call.client_ref,
        end_user_id: call.end_user.id,
        end_user_ip: call.end_user.ip.map(|ip| ip.to_string()),
        callback_url: call.callback_url,
        tags: call.tags,
        message: call.message,
        caller_id,
        created_at: now,
        expires_at: now.plus(Duration::from_secs(u64::from(call.expires_in_s))),
        stage: Stage::Queued,
        outcome: None,
        sequence: 0,
        attempts: Vec::new(),
    }
}

fn random_code(entropy: &mut Entropy) -> Digits {
    let mut draw = || u8::try_from(entropy.below(10)).ok().and_then(Digit::from_event);
    (0..MATCH_CODE_DIGITS)
        .map(|_| draw().unwrap_or(Digit::ZERO))
        .collect()
}

/// The number that a request was for, masked; empty when it could not be read.
pub(super) fn subject_of(config: &ApiConfig, dialled: &Dialled) -> String {
    read_number(config, dialled).map_or_else(|_| String::new(), |to| to.masked())
}

/// The problem, after its audit row. What is no refusal (malformed, or a fault of our own) leaves none.
pub(super) async fn account_for(state: &ApiState, actor: &str, subject: String, problem: Problem) -> Problem {
    if !matches!(problem.code.status().as_u16(), 403 | 409 | 422 | 429 | 503) {
        return problem;
    }
    // A problem's text, and its param below the first level, may repeat what the client sent: a number does not get
    // into the row that way.
    let field = problem.param.as_deref().and_then(|param| param.split('.').next());
    let detail = match field {
        Some(field) => format!("{} at {field}", problem.code.as_str()),
        None => problem.code.as_str().to_owned(),
    };
    write_row(state, actor, subject, detail, problem).await
}

async fn write_row(
    state: &ApiState,
    actor: &str,
    subject: String,
    detail: String,
    problem: Problem,
) -> Problem {
    let row = AuditRow {
        at: state.now(),
        actor: actor.to_owned(),
        action: "verification.refused".to_owned(),
        subject,
        detail,
    };
    match state.store().audit(row).await {
        Ok(()) => problem,
        // It asks for another try already, and that is what a store in trouble can promise.
        Err(_) if problem.code.status() == StatusCode::SERVICE_UNAVAILABLE => problem,
        // Without its audit row a refusal has not been accounted for.
        Err(error) => error.into(),
    }
}

/// A refusal of the policy as a problem.
pub(super) fn of_refusal(refusal: &Refusal, number_param: &str) -> Problem {
    let (code, param) = match refusal.code {
        ProblemCode::NumberInvalid => (Code::NumberInvalid, Some(number_param)),
        ProblemCode::NumberAmbiguous => (Code::NumberAmbiguous, Some(number_param)),
        ProblemCode::RegionRequired => (Code::RegionRequired, Some(number_param)),
        ProblemCode::ExtensionInvalid => (Code::ExtensionInvalid, Some(number_param)),
        ProblemCode::CountryNotAllowed => (Code::CountryNotAllowed, Some(number_param)),
        ProblemCode::NumberBlocked => (Code::NumberBlocked, Some(number_param)),
        ProblemCode::UserBlocked => (Code::UserBlocked, Some("end_user.id")),
        ProblemCode::PremiumNumber => (Code::PremiumNumber, Some(number_param)),
        ProblemCode::RateLimited => (Code::RateLimited, None),
        ProblemCode::NoTrunkAvailable => (Code::NoTrunkAvailable, None),
        ProblemCode::Overloaded => (Code::Overloaded, None),
    };
    let mut problem = Problem::new(code, refusal.detail.clone());
    problem.param = param.map(str::to_owned);
    problem.limit = refusal.limit.map(|limit| limit.as_str().to_owned());
    problem.retry_after_s = refusal.retry_after.map(|wait| wait.as_secs().max(1));
    problem
}

async fn call_in_progress(state: &ApiState, id: VerificationId, visibility: &Visibility) -> Problem {
    let mut problem = Problem::new(
        Code::CallInProgress,
        "wait for its end, cancel it, or send \"supersede\": true with the key that asked for it",
    );
    // Only who could read it anyway is told which one it is.
    if let Ok(Some(_)) = state.store().verification(id, visibility).await {
        problem.verification = Some(id.to_string());
    }
    problem
}

pub(super) fn idempotency_mismatch() -> Problem {
    let detail =
        "this Idempotency-Key came with another body in the last 24 h; use a new key for a new request";
    Problem::new(Code::IdempotencyMismatch, detail).at("Idempotency-Key")
}

pub(super) fn idempotency_in_flight() -> Problem {
    let detail = "the first request with this Idempotency-Key is still in work; send it again for its answer";
    let mut problem = Problem::new(Code::IdempotencyInFlight, detail).at("Idempotency-Key");
    problem.retry_after_s = Some(1);
    problem
}
