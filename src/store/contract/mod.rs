//! What every engine must do. Each test gets a [`Lab`]; the list at the end runs all of them per engine.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::*;
use crate::policy::{Quota, QuotaKind};

use super::*;

mod corridor;
mod lives;
mod outbox;
mod records;
mod stops;
mod throughput;

pub(super) const T0: UnixMillis = UnixMillis(1_800_000_000_000);
pub(super) const NODE: &str = "node-1";

pub(super) fn at(seconds: u64) -> UnixMillis {
    T0.plus(Duration::from_secs(seconds))
}

/// A store on a directory of its own, its clock and its entropy.
pub(super) struct Lab {
    dir: tempfile::TempDir,
    pub(super) store: Store,
    seed: AtomicU64,
}

impl Lab {
    async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open_sqlite(dir.path()).await;
        Self {
            dir,
            store,
            seed: AtomicU64::new(1),
        }
    }

    /// What a `kill -9` at this instant would leave, opened by a new process.
    pub(super) async fn crash(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ringproof.db", "ringproof.db-wal"] {
            let from = self.dir.path().join(name);
            if from.exists() {
                std::fs::copy(from, dir.path().join(name)).unwrap();
            }
        }
        let store = open_sqlite(dir.path()).await;
        let seed = AtomicU64::new(self.seed.load(Ordering::Relaxed) + 1_000_000);
        Self { dir, store, seed }
    }

    pub(super) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("ringproof.db")
    }

    pub(super) fn entropy(&self) -> Entropy {
        Entropy::from_number(self.seed.fetch_add(1, Ordering::Relaxed))
    }

    /// A request for `+1500555<last>` at second `second`, with a callback and no limits.
    pub(super) fn request(&self, last: u32, second: u64) -> Accept {
        accept_of(verification_of(last, at(second), &mut self.entropy()))
    }

    pub(super) async fn created(&self, request: Accept) -> Verification {
        let now = request.verification.created_at;
        match self.store.accept(request, self.entropy(), now).await.unwrap() {
            Accepted::Created { verification, .. } => *verification,
            other => panic!("expected Created, got {other:?}"),
        }
    }

    pub(super) async fn claim(&self, verification: &Verification, now: UnixMillis) -> Claimed {
        let attempt = verification.attempts.last().unwrap().id;
        self.store
            .claim(claim_of(attempt, "carrier"), self.entropy(), now)
            .await
            .unwrap()
    }

    /// Accepted and dialing.
    pub(super) async fn dialing(&self, last: u32) -> Verification {
        let verification = self.created(self.request(last, 0)).await;
        match self.claim(&verification, at(1)).await {
            Claimed::Dialing(verification) => *verification,
            other => panic!("expected Dialing, got {other:?}"),
        }
    }

    pub(super) async fn stage(&self, verification: &Verification, stage: Stage, now: UnixMillis) -> StageSet {
        let attempt = verification.attempts.last().unwrap().id;
        self.store
            .set_stage(attempt, stage, self.entropy(), now)
            .await
            .unwrap()
    }

    pub(super) async fn decide(&self, decision: Decision, now: UnixMillis) -> Decided {
        self.store.decide(decision, self.entropy(), now).await.unwrap()
    }

    pub(super) async fn read(&self, id: VerificationId) -> Verification {
        self.store
            .verification(id, &Visibility::All)
            .await
            .unwrap()
            .unwrap()
    }

    pub(super) async fn due(&self, now: UnixMillis) -> Vec<AttemptId> {
        self.store
            .agenda(now, 100)
            .await
            .unwrap()
            .due
            .into_iter()
            .map(|due| due.id)
            .collect()
    }

    pub(super) async fn events(&self, id: VerificationId) -> Vec<ProgressKind> {
        let events = self.store.events_after(id, 0).await.unwrap();
        assert!(events.is_sorted_by(|a, b| a.sequence < b.sequence), "{events:?}");
        events.into_iter().map(|event| event.kind).collect()
    }

    pub(super) async fn leased(&self, now: UnixMillis) -> Vec<OutboxItem> {
        self.store
            .outbox_due(now, 100, Duration::from_secs(30))
            .await
            .unwrap()
            .items
    }

    /// Of a look that finds nothing to send.
    pub(super) async fn next_webhook_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        let look = self.store.outbox_due(now, 100, Duration::from_secs(30)).await;
        let DueWebhooks { items, next_at } = look.unwrap();
        assert_eq!(items, []);
        next_at
    }

    pub(super) async fn tried(&self, event: EventId, now: UnixMillis, verdict: DeliveryVerdict) {
        let tried = DeliveryTry {
            event,
            at: now,
            duration: Duration::from_millis(12),
            status: Some(200),
            error: None,
            verdict,
        };
        self.store.outbox_result(tried).await.unwrap();
    }
}

async fn open_sqlite(dir: &Path) -> Store {
    let url = format!("sqlite://{}", dir.join("ringproof.db").display());
    let mut options = StoreOptions::new(url, Arc::new(render));
    options.busy_timeout = Duration::from_millis(100);
    options.gather = Duration::ZERO;
    Store::open(options).await.unwrap()
}

fn render(event: &WebhookEvent<'_>) -> String {
    format!(
        "{} {} {}",
        event.kind, event.verification.id, event.verification.sequence
    )
}

pub(super) fn number_of(last: u32) -> PhoneNumber {
    PhoneNumber::parse(&format!("+1500555{last:04}"), None, NumberValidation::Strict).unwrap()
}

pub(super) fn verification_of(last: u32, now: UnixMillis, entropy: &mut Entropy) -> Verification {
    Verification {
        id: VerificationId::generate(now, entropy),
        key_id: "key_a".into(),
        profile: "default".into(),
        to: Destination::E164(number_of(last)),
        extension: Some(Extension::parse("12#4", 1500).unwrap()),
        method: Method::MatchCode,
        code: Some(Masked::new(Digits::parse("481920").unwrap())),
        purpose: Purpose::Enroll,
        locale: Some("en-US".into()),
        brand: Some("Contoso".into()),
        client_ref: Some("ref-1".into()),
        end_user_id: Some("user-1".into()),
        end_user_ip: Some("203.0.113.7".into()),
        callback_url: Some("https://idp.example/hooks".into()),
        tags: [("app".to_owned(), "sspr".to_owned())].into(),
        message: [("amount".to_owned(), "12 €".to_owned())].into(),
        caller_id: "+18005550199".into(),
        created_at: now,
        expires_at: now.plus(Duration::from_secs(120)),
        stage: Stage::Queued,
        outcome: None,
        sequence: 0,
        attempts: Vec::new(),
    }
}

pub(super) fn accept_of(verification: Verification) -> Accept {
    Accept {
        verification,
        subscription: Subscription::terminal_only(),
        idempotency: None,
        supersede: false,
        quotas: Vec::new(),
        pending_max: 0,
        live_max: 0,
        render_answer: Box::new(|verification| StoredAnswer {
            status: 201,
            location: Some(format!("/v1/verifications/{}", verification.id)),
            body: format!("sequence {}", verification.sequence),
        }),
    }
}

pub(super) fn claim_of(attempt: AttemptId, trunk: &str) -> Claim {
    Claim {
        attempt,
        node: NODE.into(),
        call_id: format!("call-{attempt}"),
        trunk: trunk.into(),
        caller_id: None,
    }
}

pub(super) fn finish(verification: &Verification, reason: Reason) -> Decision {
    let mut report = AttemptReport::default();
    report.pressed(Digit::POUND, KeyTransport::Rfc4733);
    Decision {
        attempt: verification.attempts.last().unwrap().id,
        node: NODE.into(),
        outcome: reason.into(),
        report,
        next: Next::Finish,
        block_until: None,
        frees_number: true,
    }
}

pub(super) fn per_hour(max: u32) -> Quota {
    Quota {
        kind: QuotaKind::Number,
        subject: "+15005550001".into(),
        max,
        window: Duration::from_secs(3600),
        cool_down: false,
    }
}

macro_rules! contract {
    ($($room:ident :: $name:ident),+ $(,)?) => {
        mod sqlite {
            use super::*;

            $(
                #[tokio::test]
                async fn $name() {
                    $room::$name(Lab::sqlite().await).await;
                }
            )+

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "a measurement: run it alone, in release mode"]
            async fn claims_and_completions_per_second() {
                throughput::claims_and_completions_per_second(Lab::sqlite().await).await;
            }
        }
    };
}

contract! {
    stops::an_accepted_request_is_stored_whole_with_a_due_attempt,
    stops::the_same_idempotency_key_gives_the_same_answer_and_another_body_is_refused,
    stops::an_idempotency_key_in_flight_is_told_so_until_it_is_finished_or_abandoned,
    stops::of_many_requests_for_one_number_one_wins,
    stops::a_superseding_request_takes_the_place_of_a_queued_one,
    stops::a_superseding_request_waits_for_the_live_call_to_end,
    stops::only_the_key_that_asked_may_supersede,
    stops::limits_are_counted_in_the_transaction_and_refusals_are_audited,
    stops::a_refused_request_leaves_its_idempotency_key_free,
    stops::superseding_skips_the_cool_down_and_no_other_limit,
    stops::blocked_numbers_prefixes_and_end_users_are_refused_until_the_block_ends,
    stops::a_full_queue_refuses,
    stops::as_many_live_calls_as_there_may_be_refuse,
    stops::an_outcome_is_decided_once,
    stops::only_the_node_that_claimed_decides,
    stops::an_unwanted_call_blocks_the_number_for_ever,
    stops::a_fraud_report_blocks_the_number_and_says_so_twice,
    corridor::a_claim_is_durable_before_it_returns_and_happens_once,
    corridor::nothing_is_claimed_after_cancel_or_expiry,
    corridor::what_was_blocked_while_it_waited_is_not_dialled,
    corridor::stages_only_go_forward_and_readers_see_each,
    corridor::a_network_failure_goes_to_another_trunk_while_there_is_time,
    corridor::a_cancel_during_a_failing_call_ends_the_verification,
    corridor::a_number_stays_taken_until_its_phone_is_quiet,
    corridor::another_trunk_waits_for_the_phone_of_the_first,
    corridor::a_restart_frees_the_numbers_of_calls_that_were_decided,
    corridor::a_late_report_changes_no_outcome,
    corridor::cancel_is_idempotent_and_tells_a_live_call_once,
    corridor::a_stranger_cancels_and_sees_nothing,
    corridor::only_queued_verifications_expire,
    corridor::a_clock_that_is_set_back_holds_nothing_up,
    corridor::a_crash_in_any_state_loses_nothing_and_redials_nothing,
    corridor::a_watcher_wakes_after_the_commit,
    corridor::a_first_attempt_is_told_as_a_look_would_find_it,
    corridor::a_queued_verification_can_be_ended_by_policy,
    lives::random_lives_keep_every_invariant,
    outbox::webhooks_of_one_verification_leave_in_order,
    outbox::progress_gives_way_to_what_comes_later,
    outbox::a_terminal_event_never_waits_for_progress,
    outbox::a_lease_ends_and_a_crash_sends_again_with_the_same_id,
    outbox::tries_are_kept_and_retries_wait_for_their_time,
    outbox::gone_disables_the_url_until_a_redelivery_succeeds,
    outbox::events_without_a_verification_are_delivered_too,
    records::api_keys_are_found_by_hash_and_revoked,
    records::an_enrollment_is_updated_by_who_read_it_last,
    records::lists_are_paged_filtered_and_limited_to_visible_profiles,
    records::retention_erases_the_person_and_keeps_the_outcome,
    records::a_number_is_erased_on_request,
    records::old_rows_are_deleted_in_batches,
    records::a_failing_write_spoils_no_other_of_its_group,
    records::a_lock_held_by_another_process_is_told_and_survived,
    records::a_store_is_refused_that_would_forget_or_cannot_be_opened,
    records::a_closed_store_answers_unavailable_and_keeps_its_rows,
    records::conversions_are_counted_by_day_and_prefix,
}
