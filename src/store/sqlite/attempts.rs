//! The corridor between the stops: due, claim, stage, decide (stop 2), report.
use rusqlite::Connection;

use crate::model::{AttemptId, AttemptReport, Entropy, Outcome, Reason, Stage, UnixMillis, VerificationId};

use super::super::{
    Agenda, BLOCK_FOR_EVER, Block, BlockSubject, Claim, Claimed, Decided, Decision, DueAttempt, Next,
    ProgressKind, StageSet, StoreError,
};
use super::accept::queued_attempt;
use super::publish::DayCounter;
use super::records::find_block;
use super::rows::{load, outcome_of};
use super::{Row, Sqlite, Tx, get, get_count, get_json, get_parsed, get_parsed_option, query, to_json};

impl Sqlite {
    pub(in super::super) async fn agenda(&self, now: UnixMillis, limit: u32) -> Result<Agenda, StoreError> {
        self.read(move |conn| {
            Ok(Agenda {
                due: due_attempts(conn, now, limit)?,
                next_at: next_attempt_at(conn, now)?,
                is_overdue: super::endings::is_overdue(conn, now)?,
            })
        })
        .await
    }

    pub(in super::super) async fn claim(
        &self,
        claim: Claim,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Claimed, StoreError> {
        self.write(move |tx| claim_attempt(tx, &claim, entropy.clone(), now))
            .await
    }

    pub(in super::super) async fn set_stage(
        &self,
        attempt: AttemptId,
        stage: Stage,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<StageSet, StoreError> {
        self.write_soon(move |tx| set_stage(tx, attempt, stage, entropy.clone(), now))
            .await
    }

    pub(in super::super) async fn decide(
        &self,
        decision: Decision,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Decided, StoreError> {
        self.write(move |tx| decide(tx, &decision, entropy.clone(), now))
            .await
    }

    pub(in super::super) async fn free_number(&self, attempt: AttemptId) -> Result<(), StoreError> {
        self.write_idly(move |tx| free_number(tx, attempt)).await
    }

    pub(in super::super) async fn finish_report(
        &self,
        attempt: AttemptId,
        report: AttemptReport,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.write_soon(move |tx| finish_report(tx, attempt, &report, now))
            .await
    }
}

fn due_attempts(conn: &Connection, now: UnixMillis, limit: u32) -> Result<Vec<DueAttempt>, StoreError> {
    let rows = query(
        "SELECT a.id, a.verification_id, a.number, a.due_at, v.profile, v.country, v.calling_code, v.expires_at,
                (SELECT json_group_array(t.trunk) FROM (SELECT trunk FROM attempts
                  WHERE verification_id = v.id AND trunk <> '' ORDER BY number) t) AS tried
         FROM attempts a JOIN verifications v ON v.id = a.verification_id
         WHERE a.due_at <= ?1 AND v.expires_at > ?1
           AND NOT EXISTS (SELECT 1 FROM attempts other WHERE other.taken_number = v.number)
         ORDER BY a.due_at, a.id LIMIT ?2",
    )
    .bind(now.0)
    .bind(limit)
    .fetch_all(conn)?;
    rows.iter().map(due_of).collect()
}

fn next_attempt_at(conn: &Connection, now: UnixMillis) -> Result<Option<UnixMillis>, StoreError> {
    // An attempt that waits for its number is woken when that is free, and one that waits for a trunk by the trunk: of
    // both only the end of their life is a time.
    let row = query(
        "SELECT min(at) AS at FROM (
             SELECT CASE WHEN a.due_at <= ?1
                           OR EXISTS (SELECT 1 FROM attempts other WHERE other.taken_number = v.number)
                         THEN v.expires_at ELSE min(a.due_at, v.expires_at) END AS at
             FROM attempts a JOIN verifications v ON v.id = a.verification_id WHERE a.due_at IS NOT NULL)
         WHERE at > ?1",
    )
    .bind(now.0)
    .fetch_one(conn)?;
    Ok(get::<Option<i64>>(&row, "at")?.map(UnixMillis))
}

fn due_of(row: &Row) -> Result<DueAttempt, StoreError> {
    Ok(DueAttempt {
        id: get_parsed(row, "id")?,
        verification: get_parsed(row, "verification_id")?,
        number: get_count(row, "number")?,
        profile: get(row, "profile")?,
        country: get(row, "country")?,
        internal: get::<Option<i64>>(row, "calling_code")?.is_none(),
        due_at: UnixMillis(get(row, "due_at")?),
        expires_at: UnixMillis(get(row, "expires_at")?),
        tried_trunks: get_json(row, "tried")?,
    })
}

/// An attempt with what its verification says of it.
struct Standing {
    verification: VerificationId,
    attempt_number: u32,
    node: Option<String>,
    stage: Stage,
    outcome: Option<Outcome>,
    is_due: bool,
    /// Of the verification.
    ended: Option<Outcome>,
    cancel_reason: Option<Reason>,
    expires_at: UnixMillis,
    number: String,
    end_user: Option<String>,
    /// Its phone may ring or talk, by this call or another.
    number_is_taken: bool,
    /// What [`Tx::note`] and [`Tx::count_day`] want to know of the verification, until its sequence grows.
    row: Row,
}

impl Tx<'_> {
    fn standing(&mut self, attempt: AttemptId) -> Result<Option<Standing>, StoreError> {
        let row = query(
            "SELECT a.verification_id, a.number AS attempt_number, a.node, a.stage, a.reason, a.due_at,
                    v.reason AS ended, v.cancel_reason, v.expires_at, v.number, v.end_user_id, v.created_at,
                    v.calling_code, v.country, v.sequence, v.callback_url, v.subscription,
                    EXISTS (SELECT 1 FROM attempts other WHERE other.taken_number = v.number) AS number_is_taken
             FROM attempts a JOIN verifications v ON v.id = a.verification_id WHERE a.id = ?",
        )
        .bind(attempt.to_string())
        .fetch_optional(self.conn)?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(Standing {
            verification: get_parsed(&row, "verification_id")?,
            attempt_number: get_count(&row, "attempt_number")?,
            node: get(&row, "node")?,
            stage: get_parsed(&row, "stage")?,
            outcome: outcome_of(&row)?,
            is_due: get::<Option<i64>>(&row, "due_at")?.is_some(),
            ended: get_parsed_option::<Reason>(&row, "ended")?.map(Outcome::new),
            cancel_reason: get_parsed_option(&row, "cancel_reason")?,
            expires_at: UnixMillis(get(&row, "expires_at")?),
            number: get(&row, "number")?,
            end_user: get(&row, "end_user_id")?,
            number_is_taken: get(&row, "number_is_taken")?,
            row,
        }))
    }
}

fn claim_attempt(
    mut tx: Tx<'_>,
    claim: &Claim,
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<Claimed, StoreError> {
    let Some(standing) = tx.standing(claim.attempt)? else {
        return Ok(Claimed::NoLonger);
    };
    let over = standing.ended.is_some() || standing.cancel_reason.is_some() || standing.expires_at <= now;
    if !standing.is_due || over {
        return Ok(Claimed::NoLonger);
    }
    let end_user = standing.end_user.as_deref();
    if let Some(block) = find_block(tx.conn, &standing.number, end_user, now)? {
        let outcome = Outcome::new(match block.subject {
            BlockSubject::EndUser(_) => Reason::UserBlocked,
            BlockSubject::Number(_) | BlockSubject::Prefix(_) => Reason::NumberBlocked,
        });
        tx.end(
            standing.verification,
            outcome,
            standing.attempt_number,
            &mut entropy,
            now,
        )?;
        return Ok(Claimed::Blocked(outcome));
    }
    if standing.number_is_taken {
        return Ok(Claimed::NumberBusy);
    }
    query(
        "UPDATE attempts SET node = ?1, call_id = ?2, trunk = ?3, stage = ?4, dialed_at = ?5, due_at = NULL,
                live_number = ?6, taken_number = ?6 WHERE id = ?7",
    )
    .bind(&claim.node)
    .bind(&claim.call_id)
    .bind(&claim.trunk)
    .bind(Stage::Dialing.as_str())
    .bind(now.0)
    .bind(&standing.number)
    .bind(claim.attempt.to_string())
    .execute(tx.conn)?;
    let dialing = StageMove {
        stage: Stage::Dialing,
        caller_id: claim.caller_id.as_deref(),
    };
    tx.move_stage(&standing, dialing, &mut entropy, now)?;
    let verification = load(tx.conn, standing.verification)?.ok_or(StoreError::NotFound("verification"))?;
    Ok(Claimed::Dialing(Box::new(verification)))
}

impl Tx<'_> {
    /// The verification stands where its newest attempt stands.
    fn move_stage(
        &mut self,
        standing: &Standing,
        to: StageMove<'_>,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        query(
            "UPDATE verifications
             SET stage = ?, caller_id = coalesce(?, caller_id), sequence = sequence + 1 WHERE id = ?",
        )
        .bind(to.stage.as_str())
        .bind(to.caller_id)
        .bind(standing.verification.to_string())
        .execute(self.conn)?;
        let kind = ProgressKind::Stage(to.stage);
        self.note(
            standing.verification,
            &standing.row,
            kind,
            standing.attempt_number,
            entropy,
            now,
        )
    }
}

struct StageMove<'a> {
    stage: Stage,
    /// `None` keeps the one that stands.
    caller_id: Option<&'a str>,
}

impl StageMove<'_> {
    const fn to(stage: Stage) -> Self {
        Self {
            stage,
            caller_id: None,
        }
    }
}

fn set_stage(
    mut tx: Tx<'_>,
    attempt: AttemptId,
    stage: Stage,
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<StageSet, StoreError> {
    let standing = tx.standing(attempt)?.ok_or(StoreError::NotFound("attempt"))?;
    let over = standing.outcome.is_some() || standing.ended.is_some();
    if over || standing.node.is_none() || stage <= standing.stage {
        return Ok(StageSet::Unchanged);
    }
    query("UPDATE attempts SET stage = ? WHERE id = ?")
        .bind(stage.as_str())
        .bind(attempt.to_string())
        .execute(tx.conn)?;
    // A call may go straight to `prompting` when the stages in between were missed: it counts once.
    if standing.stage < Stage::Answered && stage >= Stage::Answered {
        tx.count_day(&standing.row, DayCounter::Answered)?;
    }
    let sequence = tx.move_stage(&standing, StageMove::to(stage), &mut entropy, now)?;
    Ok(StageSet::Moved { sequence })
}

fn decide(
    mut tx: Tx<'_>,
    decision: &Decision,
    mut entropy: Entropy,
    now: UnixMillis,
) -> Result<Decided, StoreError> {
    let Some(standing) = tx.standing(decision.attempt)? else {
        return Ok(Decided::NotOurs);
    };
    if standing.node.as_deref() != Some(decision.node.as_str()) {
        return Ok(Decided::NotOurs);
    }
    if let Some(outcome) = standing.outcome.or(standing.ended) {
        return Ok(Decided::Already(outcome));
    }
    query(
        "UPDATE attempts SET reason = ?, report = ?, decided_at = ?, live_number = NULL,
                taken_number = CASE WHEN ? THEN NULL ELSE taken_number END WHERE id = ?",
    )
    .bind(decision.outcome.reason().as_str())
    .bind(to_json(&decision.report)?)
    .bind(now.0)
    .bind(decision.frees_number)
    .bind(decision.attempt.to_string())
    .execute(tx.conn)?;
    if decision.frees_number {
        tx.signals.attempts_due |= tx.is_awaited(&standing.number)?;
    }
    if let Some(until) = decision.block_until {
        let block = Block {
            id: format!("blk_{}", entropy.token()),
            ..block_of(&standing, decision.outcome, until, now)
        };
        tx.insert_block(&block)?;
    }
    if let Next::Retry { due_at } = decision.next
        && standing.cancel_reason.is_none()
        && due_at < standing.expires_at
    {
        return tx.retry(standing, due_at, &mut entropy, now);
    }
    let outcome = final_outcome(decision, standing.cancel_reason);
    let ended = tx.end(
        standing.verification,
        outcome,
        standing.attempt_number,
        &mut entropy,
        now,
    )?;
    let sequence = ended.ok_or(StoreError::Conflict("verification"))?;
    Ok(Decided::Finished { outcome, sequence })
}

/// A cancel that met a failing call is what the reader asked for; a call that had its own end keeps it.
fn final_outcome(decision: &Decision, cancel_reason: Option<Reason>) -> Outcome {
    match (decision.next, cancel_reason) {
        (Next::Retry { .. }, Some(reason)) => Outcome::new(reason),
        (Next::Retry { .. } | Next::Finish, _) => decision.outcome,
    }
}

impl Tx<'_> {
    /// Whether an attempt that is due may have waited for this number.
    fn is_awaited(&self, number: &str) -> Result<bool, StoreError> {
        let waiting = query(
            "SELECT 1 FROM verifications v JOIN attempts a ON a.verification_id = v.id
             WHERE v.number = ? AND v.reason IS NULL AND a.due_at IS NOT NULL LIMIT 1",
        )
        .bind(number)
        .fetch_optional(self.conn)?;
        Ok(waiting.is_some())
    }

    fn retry(
        &mut self,
        mut standing: Standing,
        due_at: UnixMillis,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<Decided, StoreError> {
        standing.attempt_number = standing.attempt_number.saturating_add(1);
        let attempt = queued_attempt(AttemptId::generate(now, entropy), standing.attempt_number, now);
        self.insert_attempt(standing.verification, &attempt, due_at)?;
        self.signals.attempts_due = true;
        let sequence = self.move_stage(&standing, StageMove::to(Stage::Queued), entropy, now)?;
        Ok(Decided::Retrying {
            attempt: attempt.id,
            sequence,
        })
    }
}

/// The block that the callee of this call asked for, without its id.
fn block_of(standing: &Standing, outcome: Outcome, until: UnixMillis, now: UnixMillis) -> Block {
    let (what, created_by) = match outcome.reason() {
        Reason::FraudReported => ("fraud reported", "fraud_report"),
        _ => ("calls are unwanted, as told", "callee"),
    };
    Block {
        id: String::new(),
        subject: BlockSubject::Number(standing.number.clone()),
        note: format!("{what} in {}", standing.verification),
        created_by: created_by.into(),
        created_at: now,
        expires_at: (until < BLOCK_FOR_EVER).then_some(until),
    }
}

fn free_number(tx: Tx<'_>, attempt: AttemptId) -> Result<(), StoreError> {
    // Without an outcome its call is live, whatever the caller thinks.
    let taken = query(
        "SELECT taken_number FROM attempts WHERE id = ? AND taken_number IS NOT NULL AND reason IS NOT NULL",
    )
    .bind(attempt.to_string())
    .fetch_optional(tx.conn)?;
    let Some(row) = taken else {
        return Ok(());
    };
    query("UPDATE attempts SET taken_number = NULL WHERE id = ?")
        .bind(attempt.to_string())
        .execute(tx.conn)?;
    // The next attempt, or another verification, may have waited for it.
    tx.signals.attempts_due |= tx.is_awaited(get(&row, "taken_number")?)?;
    Ok(())
}

fn finish_report(
    tx: Tx<'_>,
    attempt: AttemptId,
    report: &AttemptReport,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let row = query(
        "SELECT v.id, v.sequence FROM attempts a JOIN verifications v ON v.id = a.verification_id
         WHERE a.id = ? AND a.reason IS NOT NULL",
    )
    .bind(attempt.to_string())
    .fetch_optional(tx.conn)?
    .ok_or(StoreError::NotFound("decided attempt"))?;
    query("UPDATE attempts SET report = ?, ended_at = coalesce(ended_at, ?) WHERE id = ?")
        .bind(to_json(report)?)
        .bind(now.0)
        .bind(attempt.to_string())
        .execute(tx.conn)?;
    // Readers see the report, so the sequence grows; the last event stays the outcome.
    let (id, sequence): (VerificationId, u64) = (get_parsed(&row, "id")?, get_count(&row, "sequence")?);
    query("UPDATE verifications SET sequence = sequence + 1 WHERE id = ?")
        .bind(id.to_string())
        .execute(tx.conn)?;
    tx.signals.changed.push((id, sequence + 1));
    Ok(())
}
