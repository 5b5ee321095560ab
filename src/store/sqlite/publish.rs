//! Changes that a reader can see: sequence, event, webhooks, in the transaction of the change.

use crate::model::{Entropy, EventId, Outcome, Reason, Status, UnixMillis, Verification, VerificationId};

use super::super::{EventType, OutboxState, ProgressKind, StoreError, Subscription, WebhookEvent};
use super::rows::{load, words_of};
use super::{Row, Tx, get, get_count, query};

/// Who wants to hear of a change of a verification, and as which one in its sequence.
struct Audience {
    sequence: u64,
    callback_url: Option<String>,
    subscription: Subscription,
}

/// Of the change that comes after what was read in `row`: sequence, callback_url, subscription.
fn next_audience_of(row: &Row) -> Result<Audience, StoreError> {
    let sequence: u64 = get_count(row, "sequence")?;
    Ok(Audience {
        sequence: sequence + 1,
        callback_url: get(row, "callback_url")?,
        subscription: Subscription::from_bits(get_count(row, "subscription")?),
    })
}

impl Tx<'_> {
    /// The first event: the row was inserted with sequence 1.
    pub(super) fn note_created(
        &mut self,
        verification: &Verification,
        subscription: Subscription,
        entropy: &mut Entropy,
    ) -> Result<(), StoreError> {
        let audience = Audience {
            sequence: verification.sequence,
            callback_url: verification.callback_url.clone(),
            subscription,
        };
        let (id, at) = (verification.id, verification.created_at);
        self.publish(id, audience, ProgressKind::Created, 0, entropy, at)
            .map(drop)
    }

    /// A change short of an outcome. `row` is the verification before it: sequence, callback_url, subscription.
    /// Returns the new sequence.
    pub(super) fn note(
        &mut self,
        id: VerificationId,
        row: &Row,
        kind: ProgressKind,
        attempt: u32,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        self.publish(id, next_audience_of(row)?, kind, attempt, entropy, now)
    }

    /// Writes the outcome of a pending verification, with all that follows from it. `None`: it had one.
    pub(super) fn end(
        &mut self,
        id: VerificationId,
        outcome: Outcome,
        attempt: u32,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        // Not RETURNING, which makes a table of its own for its row, here and in all that runs for each call.
        let row = query(
            "SELECT sequence, callback_url, subscription, created_at, number, calling_code, country,
                 EXISTS (SELECT 1 FROM attempts WHERE verification_id = verifications.id
                         AND due_at IS NOT NULL) AS has_due
             FROM verifications WHERE id = ? AND reason IS NULL",
        )
        .bind(id.to_string())
        .fetch_optional(self.conn)?;
        let Some(row) = row else {
            return Ok(None);
        };
        query(
            "UPDATE verifications
             SET status = ?, reason = ?, ended_at = ?, code = NULL, sequence = sequence + 1 WHERE id = ?",
        )
        .bind(outcome.status().as_str())
        .bind(outcome.reason().as_str())
        .bind(now.0)
        .bind(id.to_string())
        .execute(self.conn)?;
        if get(&row, "has_due")? {
            self.close_due_attempt(id, outcome, now)?;
        }
        if matches!(outcome.status(), Status::Approved | Status::Delivered) {
            self.count_day(&row, DayCounter::Approved)?;
        }
        let audience = next_audience_of(&row)?;
        self.publish(id, audience, ProgressKind::Ended(outcome), attempt, entropy, now)
            .map(Some)
    }

    /// What was never dialled ends with its verification.
    fn close_due_attempt(
        &mut self,
        id: VerificationId,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE attempts SET due_at = NULL, reason = ?1, decided_at = ?2, ended_at = ?2
             WHERE verification_id = ?3 AND due_at IS NOT NULL",
        )
        .bind(outcome.reason().as_str())
        .bind(now.0)
        .bind(id.to_string())
        .execute(self.conn)
        .map(drop)
    }

    fn publish(
        &mut self,
        id: VerificationId,
        audience: Audience,
        kind: ProgressKind,
        attempt: u32,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let (kind_word, word) = words_of(kind);
        query(
            "INSERT INTO events (verification_id, sequence, at, kind, word, attempt) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(audience.sequence as i64)
        .bind(now.0)
        .bind(kind_word)
        .bind(word)
        .bind(attempt)
        .execute(self.conn)?;
        self.signals.changed.push((id, audience.sequence));
        self.queue_webhooks(id, &audience, kind, entropy, now)?;
        Ok(audience.sequence)
    }

    fn queue_webhooks(
        &mut self,
        id: VerificationId,
        audience: &Audience,
        kind: ProgressKind,
        entropy: &mut Entropy,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let Some(url) = audience.callback_url.as_deref() else {
            return Ok(());
        };
        let fraud = matches!(kind, ProgressKind::Ended(o) if o.reason() == Reason::FraudReported);
        let mut kinds = Vec::with_capacity(2);
        kinds.extend(
            kind.event_type()
                .filter(|event| audience.subscription.wants(*event)),
        );
        kinds.extend(fraud.then_some(EventType::FraudReported));
        if kinds.is_empty() {
            return Ok(());
        }
        let verification = load(self.conn, id)?.ok_or(StoreError::NotFound("verification"))?;
        if audience.subscription != Subscription::terminal_only() {
            self.drop_overtaken(id, now)?;
        }
        for kind in kinds {
            let event = WebhookEvent {
                id: EventId::generate(now, entropy),
                kind,
                at: now,
                verification: &verification,
            };
            let body = (self.render)(&event);
            let row = OutboxRow {
                id: event.id,
                verification: Some(id),
                profile: &verification.profile,
                kind,
                sequence: audience.sequence,
                url,
                body: &body,
                at: now,
            };
            self.insert_outbox(row)?;
        }
        Ok(())
    }

    /// Progress that has not left yet is worthless once something later is due. One that is on its way stays:
    /// its own result decides.
    fn drop_overtaken(&mut self, id: VerificationId, now: UnixMillis) -> Result<(), StoreError> {
        query(
            "UPDATE outbox SET state = ?1, settled_at = ?2
             WHERE verification_id = ?3 AND progress = 1 AND state = 'pending'
               AND (leased_until IS NULL OR leased_until <= ?2)",
        )
        .bind(OutboxState::Dropped.as_str())
        .bind(now.0)
        .bind(id.to_string())
        .execute(self.conn)
        .map(drop)
    }

    pub(super) fn insert_outbox(&mut self, row: OutboxRow<'_>) -> Result<(), StoreError> {
        // A URL that answered 410 gets nothing more; the row says so.
        query(
            "INSERT INTO outbox (id, verification_id, profile, kind, progress, sequence, url, body, created_at,
                                 next_at, state, settled_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9,
                    CASE WHEN gone THEN 'disabled' ELSE 'pending' END, CASE WHEN gone THEN ?9 END
             FROM (SELECT EXISTS (SELECT 1 FROM disabled_urls WHERE url = ?7) AS gone)",
        )
        .bind(row.id.to_string())
        .bind(row.verification.map(|id| id.to_string()))
        .bind(row.profile)
        .bind(row.kind.as_str())
        .bind(row.kind.is_progress())
        .bind(row.sequence as i64)
        .bind(row.url)
        .bind(row.body)
        .bind(row.at.0)
        .execute(self.conn)?;
        self.signals.outbox_due = true;
        Ok(())
    }

    /// `row` holds created_at, number, calling_code and country of a verification: the day of its acceptance counts.
    pub(super) fn count_day(&mut self, row: &Row, counter: DayCounter) -> Result<(), StoreError> {
        let to = super::rows::destination_of(row)?;
        let created_at = UnixMillis(get(row, "created_at")?);
        self.count_day_of(&to, created_at, counter)
    }

    pub(super) fn count_day_of(
        &mut self,
        to: &crate::model::Destination,
        created_at: UnixMillis,
        counter: DayCounter,
    ) -> Result<(), StoreError> {
        let (accepted, answered, approved) = match counter {
            DayCounter::Accepted => (1, 0, 0),
            DayCounter::Answered => (0, 1, 0),
            DayCounter::Approved => (0, 0, 1),
        };
        query(
            "INSERT INTO usage_days (day, country, prefix, accepted, answered, approved)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted,
                 answered = answered + excluded.answered, approved = approved + excluded.approved",
        )
        .bind(day_of(created_at))
        .bind(to.country().unwrap_or_default())
        .bind(prefix_of(to))
        .bind(accepted)
        .bind(answered)
        .bind(approved)
        .execute(self.conn)
        .map(drop)
    }
}

/// A row about to be written to the outbox.
pub(super) struct OutboxRow<'a> {
    pub(super) id: EventId,
    pub(super) verification: Option<VerificationId>,
    pub(super) profile: &'a str,
    pub(super) kind: EventType,
    pub(super) sequence: u64,
    pub(super) url: &'a str,
    pub(super) body: &'a str,
    pub(super) at: UnixMillis,
}

#[derive(Clone, Copy)]
pub(super) enum DayCounter {
    Accepted,
    Answered,
    Approved,
}

const DAY_MS: i64 = 24 * 3600 * 1000;
/// `+` and seven digits: the longest prefix that limits use.
const PREFIX_CHARS: usize = 8;

pub(super) fn day_of(at: UnixMillis) -> i64 {
    at.0.div_euclid(DAY_MS) * DAY_MS
}

fn prefix_of(to: &crate::model::Destination) -> &str {
    match to {
        crate::model::Destination::E164(number) => number.reveal().get(..PREFIX_CHARS).unwrap_or_default(),
        crate::model::Destination::Internal(_) => "internal",
    }
}
