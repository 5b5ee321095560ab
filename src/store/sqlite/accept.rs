//! Stop 1.

use crate::model::{Attempt, Stage};
use crate::model::{
    AttemptId, AttemptReport, Destination, Entropy, Outcome, Reason, UnixMillis, Verification, VerificationId,
};
use crate::policy::{Limit, ProblemCode, Quota, Refusal};

use super::super::{
    Accept, Accepted, AuditRow, BlockSubject, CancelNotice, DueAttempt, IdempotencyStart, ProgressKind,
    StoreError,
};
use super::publish::DayCounter;
use super::{Row, Sqlite, Tx, get, get_parsed, get_parsed_option, query, to_json};

impl Sqlite {
    pub(in super::super) async fn accept(
        &self,
        request: Accept,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Accepted, StoreError> {
        self.write(move |tx| accept(tx, &request, entropy.clone(), now))
            .await
    }
}

fn accept(
    mut tx: Tx<'_>,
    request: &Accept,
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<Accepted, StoreError> {
    if let Some(key) = &request.idempotency {
        match tx.idempotency_start(key, now)? {
            IdempotencyStart::Fresh => {}
            IdempotencyStart::Replay(answer) => return Ok(Accepted::Replay(answer)),
            IdempotencyStart::Mismatch => return Ok(Accepted::IdempotencyMismatch),
            IdempotencyStart::InFlight => return Ok(Accepted::IdempotencyInFlight),
        }
    }
    let in_the_way = tx.in_progress(request)?;
    if let Some(other) = in_the_way.iter().find(|other| !other.gives_way_to(request)) {
        tx.idempotency_forget(request.idempotency.as_ref())?;
        return Ok(Accepted::NumberBusy {
            verification: other.id,
        });
    }
    if let Some(refusal) = tx.refusal(request, !in_the_way.is_empty(), now)? {
        tx.insert_audit(&refusal_audit(&request.verification, &refusal, now))?;
        tx.idempotency_forget(request.idempotency.as_ref())?;
        return Ok(Accepted::Refused(refusal));
    }
    // Last: a block or a limit says more than that the call before is still ending.
    if let Some(verification) = tx.still_ringing(request)? {
        tx.idempotency_forget(request.idempotency.as_ref())?;
        return Ok(Accepted::NumberBusy { verification });
    }
    for other in in_the_way {
        tx.supersede(other, &mut entropy, now)?;
    }
    tx.create(request, &mut entropy, now)
}

/// A verification in progress for the same number.
struct InProgress {
    id: VerificationId,
    key_id: String,
    cancel_reason: Option<Reason>,
    live: Option<(AttemptId, u32, String)>,
}

impl InProgress {
    fn gives_way_to(&self, request: &Accept) -> bool {
        request.supersede && self.key_id == request.verification.key_id
    }
}

fn in_progress_of(row: &Row) -> Result<InProgress, StoreError> {
    let live = match get_parsed_option(row, "attempt_id")? {
        Some(id) => Some((id, super::get_count(row, "attempt_number")?, get(row, "node")?)),
        None => None,
    };
    Ok(InProgress {
        id: get_parsed(row, "id")?,
        key_id: get(row, "key_id")?,
        cancel_reason: get_parsed_option(row, "cancel_reason")?,
        live,
    })
}

impl Tx<'_> {
    /// Blocks, then limits, in the order in which they help the caller most.
    fn refusal(
        &mut self,
        request: &Accept,
        superseding: bool,
        now: UnixMillis,
    ) -> Result<Option<Refusal>, StoreError> {
        let verification = &request.verification;
        let number = verification.to.reveal();
        let end_user = verification.end_user_id.as_deref();
        if let Some(block) = super::records::find_block(self.conn, number, end_user, now)? {
            let refusal = match block.subject {
                BlockSubject::EndUser(_) => {
                    Refusal::new(ProblemCode::UserBlocked, "calls for this end user are blocked")
                }
                BlockSubject::Number(_) | BlockSubject::Prefix(_) => {
                    Refusal::new(ProblemCode::NumberBlocked, "calls to this number are blocked")
                }
            };
            return Ok(Some(refusal));
        }
        // What replaces a call in progress need not wait for the cool-down after it; all other limits hold.
        for quota in request
            .quotas
            .iter()
            .filter(|quota| !(superseding && quota.cool_down))
        {
            let nth_newest = self.nth_newest_use(quota)?;
            if let Some(refusal) = quota.judge(nth_newest, now) {
                return Ok(Some(refusal));
            }
        }
        if let Some(refusal) = self.queue_refusal(request.pending_max)? {
            return Ok(Some(refusal));
        }
        // What supersedes a call takes its place.
        if superseding {
            return Ok(None);
        }
        self.live_refusal(request.live_max)
    }

    fn nth_newest_use(&mut self, quota: &Quota) -> Result<Option<UnixMillis>, StoreError> {
        let row =
            query("SELECT at FROM usage WHERE kind = ? AND subject = ? ORDER BY at DESC LIMIT 1 OFFSET ?")
                .bind(quota.kind.as_str())
                .bind(&quota.subject)
                .bind(i64::from(quota.max.saturating_sub(1)))
                .fetch_optional(self.conn)?;
        row.map(|row| Ok(UnixMillis(get(&row, "at")?))).transpose()
    }

    fn queue_refusal(&mut self, pending_max: u32) -> Result<Option<Refusal>, StoreError> {
        if pending_max == 0 {
            return Ok(None);
        }
        let full = query("SELECT 1 FROM verifications WHERE reason IS NULL LIMIT 1 OFFSET ?")
            .bind(i64::from(pending_max) - 1)
            .fetch_optional(self.conn)?;
        let wait = std::time::Duration::from_secs(5);
        Ok(full.map(|_| {
            Refusal::limited(
                Limit::Global,
                wait,
                format!("{pending_max} verifications are in progress"),
            )
        }))
    }

    /// One more call would wait for a place until its life ends: better said at once.
    fn live_refusal(&mut self, live_max: u32) -> Result<Option<Refusal>, StoreError> {
        if live_max == 0 {
            return Ok(None);
        }
        let full = query("SELECT 1 FROM attempts WHERE live_number IS NOT NULL LIMIT 1 OFFSET ?")
            .bind(i64::from(live_max) - 1)
            .fetch_optional(self.conn)?;
        Ok(full.map(|_| Refusal {
            retry_after: Some(std::time::Duration::from_secs(5)),
            ..Refusal::new(
                ProblemCode::Overloaded,
                format!("{live_max} calls are live, as many as this server carries; send the request again"),
            )
        }))
    }

    fn in_progress(&mut self, request: &Accept) -> Result<Vec<InProgress>, StoreError> {
        let rows = query(
            "SELECT v.id, v.key_id, v.cancel_reason, a.id AS attempt_id, a.number AS attempt_number, a.node
             FROM verifications v
             LEFT JOIN attempts a ON a.verification_id = v.id AND a.live_number IS NOT NULL
             WHERE v.number = ? AND v.reason IS NULL",
        )
        .bind(request.verification.to.reveal())
        .fetch_all(self.conn)?;
        let mut found: Vec<InProgress> = rows.iter().map(in_progress_of).collect::<Result<_, _>>()?;
        // The newest first.
        found.sort_by_key(|other| std::cmp::Reverse(other.id));
        Ok(found)
    }

    /// A verification that has its outcome while its phone may still ring or talk. One that supersedes may wait for it.
    fn still_ringing(&mut self, request: &Accept) -> Result<Option<VerificationId>, StoreError> {
        let row = query(
            "SELECT v.id, v.key_id FROM attempts a JOIN verifications v ON v.id = a.verification_id
             WHERE a.taken_number = ? AND v.reason IS NOT NULL",
        )
        .bind(request.verification.to.reveal())
        .fetch_optional(self.conn)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let gives_way = request.supersede && get::<&str>(&row, "key_id")? == request.verification.key_id;
        match gives_way {
            true => Ok(None),
            false => get_parsed(&row, "id").map(Some),
        }
    }

    fn supersede(
        &mut self,
        other: InProgress,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let reason = Reason::Superseded;
        match other.live {
            None => self
                .end(other.id, Outcome::new(reason), 0, entropy, now)
                .map(drop),
            // Told to end before: nothing more to say.
            Some(_) if other.cancel_reason.is_some() => Ok(()),
            Some((attempt, number, node)) => {
                let notice = CancelNotice {
                    verification: other.id,
                    attempt,
                    node,
                    reason,
                };
                self.request_cancel(notice, number, entropy, now)
            }
        }
    }

    fn create(
        &mut self,
        request: &Accept,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<Accepted, StoreError> {
        let subscription = request.subscription;
        let mut verification = request.verification.clone();
        verification.sequence = 1;
        verification.stage = Stage::Queued;
        verification.outcome = None;
        self.insert_verification(&verification, subscription.to_bits())?;
        let attempt = first_attempt(AttemptId::generate(now, entropy), now);
        self.insert_attempt(verification.id, &attempt, now)?;
        let due = due_now(&verification, &attempt);
        verification.attempts = vec![attempt];
        self.count_uses(&request.quotas, verification.id, now)?;
        self.count_day_of(&verification.to, verification.created_at, DayCounter::Accepted)?;
        self.note_created(&verification, subscription, entropy)?;
        // What supersedes may have to wait for the phone of the call before it.
        match request.supersede {
            true => self.signals.attempts_due = true,
            false => self.signals.created.push(due),
        }
        let answer = (request.render_answer)(&verification);
        if let Some(key) = &request.idempotency {
            self.idempotency_answer(key, &answer)?;
        }
        Ok(Accepted::Created {
            verification: Box::new(verification),
            answer,
        })
    }

    fn insert_verification(
        &mut self,
        verification: &Verification,
        subscription: u8,
    ) -> Result<(), StoreError> {
        let v = verification;
        let calling_code = match &v.to {
            Destination::E164(number) => Some(i64::from(number.calling_code())),
            Destination::Internal(_) => None,
        };
        query(
            "INSERT INTO verifications (id, key_id, profile, number, calling_code, country, extension_digits,
                 extension_wait_ms, method, code, purpose, locale, brand, client_ref, end_user_id, end_user_ip,
                 callback_url, subscription, tags, message, caller_id, created_at, expires_at, stage, status,
                 sequence)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
        )
        .bind(v.id.to_string())
        .bind(&v.key_id)
        .bind(&v.profile)
        .bind(v.to.reveal())
        .bind(calling_code)
        .bind(v.to.country())
        .bind(v.extension.as_ref().map(|extension| extension.digits.reveal()))
        .bind(v.extension.as_ref().map(|extension| extension.wait_ms))
        .bind(v.method.as_str())
        .bind(v.code.as_ref().map(|code| code.reveal().reveal()))
        .bind(v.purpose.as_str())
        .bind(&v.locale)
        .bind(&v.brand)
        .bind(&v.client_ref)
        .bind(&v.end_user_id)
        .bind(&v.end_user_ip)
        .bind(&v.callback_url)
        .bind(subscription)
        .bind(to_json(&v.tags)?)
        .bind(to_json(&v.message)?)
        .bind(&v.caller_id)
        .bind(v.created_at.0)
        .bind(v.expires_at.0)
        .bind(v.stage.as_str())
        .bind(v.sequence as i64)
        .execute(self.conn)
        .map(drop)
    }

    pub(super) fn insert_attempt(
        &mut self,
        verification: VerificationId,
        attempt: &Attempt,
        due_at: UnixMillis,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO attempts (id, verification_id, number, trunk, stage, created_at, due_at, report)
             VALUES (?, ?, ?, '', ?, ?, ?, ?)",
        )
        .bind(attempt.id.to_string())
        .bind(verification.to_string())
        .bind(attempt.number)
        .bind(attempt.stage.as_str())
        .bind(attempt.created_at.0)
        .bind(due_at.0)
        .bind(to_json(&attempt.report)?)
        .execute(self.conn)
        .map(drop)
    }

    /// One row per subject, however many limits it has.
    fn count_uses(
        &mut self,
        quotas: &[Quota],
        id: VerificationId,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        if quotas.is_empty() {
            return Ok(());
        }
        let subjects: Vec<[&str; 2]> = quotas
            .iter()
            .map(|quota| [quota.kind.as_str(), quota.subject.as_str()])
            .collect();
        query(
            "INSERT OR IGNORE INTO usage (kind, subject, at, verification_id)
             SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), ?, ? FROM json_each(?)",
        )
        .bind(now.0)
        .bind(id.to_string())
        .bind(to_json(&subjects)?)
        .execute(self.conn)
        .map(drop)
    }

    /// Tells a live call to end, durably and by notice.
    pub(super) fn request_cancel(
        &mut self,
        notice: CancelNotice,
        attempt_number: u32,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let row = query("SELECT sequence, callback_url, subscription FROM verifications WHERE id = ?")
            .bind(notice.verification.to_string())
            .fetch_one(self.conn)?;
        query("UPDATE verifications SET cancel_reason = ?, sequence = sequence + 1 WHERE id = ?")
            .bind(notice.reason.as_str())
            .bind(notice.verification.to_string())
            .execute(self.conn)?;
        let kind = ProgressKind::CancelRequested(notice.reason);
        self.note(notice.verification, &row, kind, attempt_number, entropy, now)?;
        self.signals.cancels.push(notice);
        Ok(())
    }
}

fn due_now(verification: &Verification, attempt: &Attempt) -> DueAttempt {
    DueAttempt {
        id: attempt.id,
        verification: verification.id,
        number: attempt.number,
        profile: verification.profile.clone(),
        country: verification.to.country().map(str::to_owned),
        internal: matches!(verification.to, Destination::Internal(_)),
        due_at: attempt.created_at,
        expires_at: verification.expires_at,
        tried_trunks: Vec::new(),
    }
}

fn first_attempt(id: AttemptId, now: UnixMillis) -> Attempt {
    queued_attempt(id, 1, now)
}

pub(super) fn queued_attempt(id: AttemptId, number: u32, now: UnixMillis) -> Attempt {
    Attempt {
        id,
        number,
        trunk: String::new(),
        call_id: None,
        node: None,
        stage: Stage::Queued,
        outcome: None,
        created_at: now,
        dialed_at: None,
        ended_at: None,
        report: AttemptReport::default(),
    }
}

fn refusal_audit(verification: &Verification, refusal: &Refusal, now: UnixMillis) -> AuditRow {
    AuditRow {
        at: now,
        actor: verification.key_id.clone(),
        action: "verification.refused".into(),
        subject: verification.to.masked(),
        detail: refusal.to_string(),
    }
}
