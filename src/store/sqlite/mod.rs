//! The SQLite engine.
use std::time::Duration;

use crate::model::*;

use super::changes::Changes;
use super::*;

#[derive(Clone)]
pub(super) struct Sqlite {}

#[allow(unused_variables, clippy::unused_async)]
impl Sqlite {
    pub(super) async fn open(options: &StoreOptions, changes: Changes) -> Result<Self, StoreError> {
        unimplemented!()
    }
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn accept(
        &self,
        request: Accept,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Accepted, StoreError> {
        unimplemented!()
    }
    pub(super) async fn idempotency_begin(
        &self,
        key: IdempotencyKey,
        now: UnixMillis,
    ) -> Result<IdempotencyStart, StoreError> {
        unimplemented!()
    }
    pub(super) async fn idempotency_finish(
        &self,
        key: IdempotencyKey,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn idempotency_abandon(&self, key: IdempotencyKey) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn due_attempts(
        &self,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<DueAttempt>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn next_attempt_at(&self) -> Result<Option<UnixMillis>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn claim(&self, claim: Claim, now: UnixMillis) -> Result<Claimed, StoreError> {
        unimplemented!()
    }
    pub(super) async fn set_stage(
        &self,
        attempt: AttemptId,
        stage: Stage,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<StageSet, StoreError> {
        unimplemented!()
    }
    pub(super) async fn decide(
        &self,
        decision: Decision,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Decided, StoreError> {
        unimplemented!()
    }
    pub(super) async fn finish_report(
        &self,
        attempt: AttemptId,
        report: AttemptReport,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn end_queued(
        &self,
        id: VerificationId,
        outcome: Outcome,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    pub(super) async fn cancel(
        &self,
        id: VerificationId,
        visibility: &Visibility,
        reason: Reason,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Canceled, StoreError> {
        unimplemented!()
    }
    pub(super) async fn pending_cancels(&self, node: &str) -> Result<Vec<CancelNotice>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn expire_due(
        &self,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Vec<VerificationId>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn recover(
        &self,
        node: &str,
        entropy: Entropy,
        now: UnixMillis,
    ) -> Result<Recovered, StoreError> {
        unimplemented!()
    }
    pub(super) async fn in_progress(&self) -> Result<(u64, u64), StoreError> {
        unimplemented!()
    }
    pub(super) async fn verification(
        &self,
        id: VerificationId,
        visibility: &Visibility,
    ) -> Result<Option<Verification>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn verifications(
        &self,
        filter: &ListFilter,
        visibility: &Visibility,
    ) -> Result<Page<Verification>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn events_after(
        &self,
        id: VerificationId,
        sequence: u64,
    ) -> Result<Vec<Progress>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn enqueue(&self, event: LooseEvent) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn outbox_due(
        &self,
        now: UnixMillis,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn outbox_result(&self, tried: DeliveryTry) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn next_outbox_at(&self) -> Result<Option<UnixMillis>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn outbox_pending(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }
    pub(super) async fn deliveries(
        &self,
        verification: Option<VerificationId>,
        limit: u32,
        cursor: Option<&Cursor>,
        visibility: &Visibility,
    ) -> Result<Page<Delivery>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn redeliver(
        &self,
        event: EventId,
        visibility: &Visibility,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    pub(super) async fn key_create(&self, key: ApiKey, hash: [u8; 32]) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn key_revoke(&self, id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        unimplemented!()
    }
    pub(super) async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn key_touch(&self, id: &str, now: UnixMillis) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn enrollment_create(&self, enrollment: Enrollment) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn enrollment(
        &self,
        id: &str,
        visibility: &Visibility,
    ) -> Result<Option<Enrollment>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn enrollment_by_token(
        &self,
        token_hash: &[u8; 32],
    ) -> Result<Option<Enrollment>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn enrollment_update(&self, enrollment: Enrollment) -> Result<u64, StoreError> {
        unimplemented!()
    }
    pub(super) async fn block_add(&self, block: Block) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn blocks(
        &self,
        now: UnixMillis,
        limit: u32,
        cursor: Option<&Cursor>,
    ) -> Result<Page<Block>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn block_remove(&self, id: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
    pub(super) async fn blocked(
        &self,
        destination: &str,
        end_user: Option<&str>,
        now: UnixMillis,
    ) -> Result<Option<Block>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn audit(&self, row: AuditRow) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub(super) async fn audit_rows(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn daily_usage(&self, since: UnixMillis) -> Result<Vec<DailyUsage>, StoreError> {
        unimplemented!()
    }
    pub(super) async fn purge(&self, retention: &Retention, now: UnixMillis) -> Result<Purged, StoreError> {
        unimplemented!()
    }
    pub(super) async fn erase_number(&self, number: &str, now: UnixMillis) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
