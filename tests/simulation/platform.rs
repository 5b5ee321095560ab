//! The platform: it asks, asks again, cancels, and receives webhooks badly. And our side of both, as `api` and
//! `webhook` do it.
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ringproof::model::{
    Digits, EventId, Extension, Masked, Method, Outcome, Purpose, Stage, Verification, VerificationId,
};
use ringproof::policy::{CallerOf, NumberLimits, Policy, PolicySettings};
use ringproof::store::{
    Accept, Accepted, DeliveryTry, DeliveryVerdict, IdempotencyKey, StoreError, StoredAnswer, Subscription,
    Visibility,
};

use crate::clock::At;
use crate::dice::Dice;
use crate::facts::{VerificationFacts, WebhookFacts};
use crate::ops::{Done, Op};
use crate::plan::{Plan, Plant, Receipt};
use crate::transition::{HttpAnswer, RequestIndex, Transition};
use crate::world::{Owner, World};

/// Delays of the contract after each failed try, without their jitter.
const DELAYS_S: [u64; 11] = [0, 1, 5, 15, 60, 300, 1800, 7200, 18_000, 36_000, 86_400];
/// On the way to the receiver or back, milliseconds.
const TRAVEL_MS: (u64, u64) = (2, 80);
const TIMEOUT: Duration = Duration::from_secs(15);
const LEASE: Duration = Duration::from_secs(30);
const BATCH: u32 = 64;
/// How often the platform repeats a request that got no answer.
const POSTS_MAX: u32 = 20;

#[derive(Debug, Default)]
pub(crate) struct Platform {
    pub(crate) requests: Vec<Asked>,
    pub(crate) process_down_since: Option<At>,
    pub(crate) store_down_since: Option<At>,
    /// Which request an event belongs to.
    pub(crate) events: BTreeMap<EventId, RequestIndex>,
}

#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) posts: u32,
    /// A POST is under way.
    pub(crate) waiting: bool,
    pub(crate) answer: Option<Answer>,
    /// Verifications that this request made; more than one is a fault where it was idempotent.
    pub(crate) made: Vec<VerificationId>,
    /// Tries that reached the receiver.
    receipts: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Created,
    Refused(String),
}

impl Platform {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            requests: plan.requests.iter().map(|_| Asked::default()).collect(),
            ..Self::default()
        }
    }
}

pub(crate) fn number_policy() -> Arc<Policy> {
    static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
        let settings = PolicySettings {
            countries: vec!["US".to_owned(), "GB".to_owned()],
            internal_numbers: vec!["1\\d{3}".to_owned()],
            per_number: NumberLimits {
                per_hour: 3,
                per_day: 10,
                again_after_s: 60,
            },
            per_prefix_per_hour: 0,
            ..PolicySettings::default()
        };
        Arc::new(Policy::new(settings).unwrap())
    });
    Arc::clone(&POLICY)
}

impl World<'_> {
    /// A POST reaches the API, or nobody.
    pub(crate) fn posts(&mut self, request: RequestIndex) {
        let asked = &mut self.platform.requests[request];
        if asked.waiting || asked.answer.is_some() || asked.posts >= POSTS_MAX {
            return;
        }
        asked.posts += 1;
        let accepting = self.process.as_ref().is_some_and(|process| process.accepting);
        if !accepting {
            return self.post_failed(request);
        }
        self.note(format_args!("POST of v{request}"));
        let accept = match self.accept_of(request) {
            Ok(accept) => accept,
            Err(refusal) => {
                self.platform.requests[request].answer = Some(Answer::Refused(refusal));
                return;
            }
        };
        self.platform.requests[request].waiting = true;
        self.write(Op::Accept(Box::new(accept)), Owner::Api { request });
    }

    /// No answer, or 503: asked again if that is safe.
    fn post_failed(&mut self, request: RequestIndex) {
        let again = self.plan.requests[request].idempotent;
        self.platform.requests[request].waiting = false;
        if again {
            let after_ms = self.dice.between(1_000, 5_000);
            self.after_ms(after_ms, Transition::Posts { request });
        } else {
            self.platform.requests[request].answer = Some(Answer::Refused("no answer".to_owned()));
        }
    }

    fn accept_of(&mut self, request: RequestIndex) -> Result<Accept, String> {
        let plan = Arc::clone(&self.plan);
        let asked = &plan.requests[request];
        let policy = Arc::clone(&self.policy);
        let to = policy
            .destination(&asked.number, Some("US"))
            .map_err(|refusal| refusal.code.to_string())?;
        let end_user = format!("user-{request}");
        let caller = CallerOf {
            key_id: "key_1",
            profile: "default",
            end_user_id: Some(&end_user),
            end_user_ip: None,
        };
        let mut quotas = policy.quotas(&to, &caller);
        // The limits of key and end user would count every run on the same file.
        quotas.retain(|quota| quota.kind == ringproof::policy::QuotaKind::Number);
        let wall = self.clock.wall();
        let has_code = matches!(asked.method, Method::MatchCode | Method::SpeakCode);
        let message = BTreeMap::from([
            ("amount".to_owned(), "say-goodbye".to_owned()),
            ("payee".to_owned(), "say-goodbye".to_owned()),
        ]);
        let verification = Verification {
            id: VerificationId::generate(wall, &mut self.dice),
            key_id: "key_1".to_owned(),
            profile: "default".to_owned(),
            to,
            extension: asked.extension.then(|| Extension::parse("1234", 1_500).unwrap()),
            method: asked.method,
            code: has_code.then(|| Masked::new(Digits::parse(&asked.code).unwrap())),
            purpose: if asked.transaction {
                Purpose::Transaction
            } else {
                Purpose::Enroll
            },
            locale: Some("en-US".to_owned()),
            brand: None,
            client_ref: None,
            end_user_id: Some(end_user),
            end_user_ip: None,
            callback_url: asked.receiver.as_ref().map(|_| self.callback_url(request)),
            tags: BTreeMap::new(),
            message: if asked.transaction {
                message
            } else {
                BTreeMap::new()
            },
            caller_id: "+18005550199".to_owned(),
            created_at: wall,
            expires_at: wall.plus(Duration::from_secs(asked.life_s)),
            stage: Stage::Queued,
            outcome: None,
            sequence: 0,
            attempts: Vec::new(),
        };
        let progress = asked.receiver.as_ref().is_some_and(|receiver| receiver.progress);
        Ok(Accept {
            verification,
            subscription: if progress {
                Subscription::all()
            } else {
                Subscription::terminal_only()
            },
            idempotency: asked.idempotent.then(|| IdempotencyKey {
                key_id: "key_1".to_owned(),
                value: self.callback_url(request),
                body_hash: [u8::try_from(request).unwrap(); 32],
            }),
            supersede: asked.supersede,
            quotas,
            pending_max: policy.pending_max(),
            live_max: policy.live_max(),
            render_answer: Box::new(|verification| StoredAnswer {
                status: 201,
                location: Some(format!("/v1/verifications/{}", verification.id)),
                body: verification.id.to_string(),
            }),
        })
    }

    /// One URL per request and run: what one run disables is not another's.
    fn callback_url(&self, request: RequestIndex) -> String {
        format!("https://platform.example/{}/{request}", self.seed)
    }

    /// Stop 1 was committed, whoever hears of it.
    pub(crate) fn accepted(&mut self, owner: Owner, accepted: &Accepted) {
        let (Owner::Api { request }, Accepted::Created { verification, .. }) = (owner, accepted) else {
            return;
        };
        let facts = VerificationFacts {
            request,
            accepted_at: self.now(),
            outcome: None,
            cut_by_crash: false,
        };
        self.facts.verifications.insert(verification.id, facts);
        if self.plan.requests[request].supersede {
            self.superseded();
        }
        let made = &mut self.platform.requests[request].made;
        made.push(verification.id);
        if made.len() > 1 {
            self.violate(
                1,
                format!("v{request}: one idempotent request was accepted twice"),
            );
        }
    }

    /// What was still queued for the number ends in the same transaction; a live call is told to, and ends later.
    fn superseded(&mut self) {
        let undecided = self.facts.verifications.iter();
        let undecided: Vec<VerificationId> = undecided
            .filter(|(_, facts)| facts.outcome.is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in undecided {
            let row = self
                .vault
                .wait(self.vault.store().verification(id, &Visibility::All));
            if let Ok(Some(outcome)) = row.map(|row| row.and_then(|row| row.outcome)) {
                self.outcome_known(id, outcome);
            }
        }
    }

    pub(crate) fn api_answers(&mut self, request: RequestIndex, result: Result<Done, StoreError>) {
        let asked = &mut self.platform.requests[request];
        asked.waiting = false;
        asked.answer = Some(match result {
            Ok(Done::Accepted(Accepted::Created { .. } | Accepted::Replay(_))) => Answer::Created,
            Ok(Done::Accepted(Accepted::IdempotencyInFlight)) | Err(_) => return self.post_failed(request),
            Ok(Done::Accepted(Accepted::NumberBusy { .. })) => Answer::Refused("number busy".to_owned()),
            Ok(Done::Accepted(Accepted::Refused(refusal))) => Answer::Refused(refusal.code.to_string()),
            Ok(Done::Accepted(Accepted::IdempotencyMismatch)) => {
                return self.violate(0, format!("v{request}: its own key is said to be another body's"));
            }
            // An answer to a cancel.
            Ok(_) => return,
        });
    }

    pub(crate) fn cancels(&mut self, request: RequestIndex) {
        if !self.process.as_ref().is_some_and(|process| process.accepting) {
            return;
        }
        for id in self.platform.requests[request].made.clone() {
            self.note(format_args!("cancel of v{request}"));
            self.write(
                Op::Cancel {
                    id,
                    reason: ringproof::model::Reason::ByClient,
                },
                Owner::Nobody,
            );
        }
    }

    pub(crate) fn platform_loses_process(&mut self) {
        for request in 0..self.platform.requests.len() {
            if self.platform.requests[request].waiting {
                self.post_failed(request);
            }
        }
    }

    pub(crate) fn deliver_in_ms(&mut self, ms: u64) {
        let latency_us = self.dice.between(1, self.plan.scheduling_us_max);
        let at = self.now().plus_ms(ms).plus(Duration::from_micros(latency_us));
        let life = self.life;
        let Some(process) = self.process.as_mut() else {
            return;
        };
        if process.deliver_at.is_none_or(|planned| at < planned) {
            process.deliver_at = Some(at);
            self.at(at, Transition::Deliver { life });
        }
    }

    /// One look at the outbox.
    pub(crate) fn deliver(&mut self) {
        let (now, wall) = (self.now(), self.clock.wall());
        let Some(process) = self.process.as_mut() else {
            return;
        };
        if process.deliver_at != Some(now) {
            return;
        }
        process.deliver_at = None;
        if self.store_down {
            return self.deliver_in_ms(1_000);
        }
        let due = match self.vault.wait(self.vault.store().outbox_due(wall, BATCH, LEASE)) {
            Ok(due) => due,
            Err(error) => return self.violate(0, format!("the outbox was not read: {error}")),
        };
        for item in due.items {
            let request = item
                .verification
                .and_then(|id| self.facts.verifications.get(&id))
                .map(|facts| facts.request);
            self.remember_event(item.id, &item.body, request);
            if self.plant == Some(Plant::ForgetsWebhook) && !item.kind.is_progress() {
                let tried = self.tried(item.id, now, HttpAnswer::Status(200), item.attempts);
                self.write(Op::Tried(tried), Owner::Nobody);
                continue;
            }
            let event = match (self.plant, item.attempts) {
                (Some(Plant::NewIdPerTry), 1..) => EventId::generate(wall, &mut self.dice),
                _ => item.id,
            };
            let (life, tries, body) = (self.life, item.attempts, item.body);
            if let Some(process) = self.process.as_mut() {
                process.posting.insert(event);
            }
            let after_ms = self.dice.between(TRAVEL_MS.0, TRAVEL_MS.1);
            self.after_ms(
                after_ms,
                Transition::WebhookArrives {
                    life,
                    event,
                    body,
                    tries,
                    request,
                },
            );
        }
        if let Some(at) = due.next_at {
            let wait_ms = u64::try_from(at.since(self.clock.wall()).as_millis()).unwrap();
            self.deliver_in_ms(wait_ms.max(20));
        }
    }

    fn remember_event(&mut self, event: EventId, body: &str, request: Option<RequestIndex>) {
        if let Some(request) = request {
            self.platform.events.insert(event, request);
        }
        let facts = self.facts.webhooks.entry(event).or_insert_with(|| WebhookFacts {
            body: body.to_owned(),
            arrivals: Vec::new(),
            acknowledged_at: None,
        });
        if facts.body != body {
            self.violate(6, "the body of a webhook changes between two tries".to_owned());
        }
    }

    /// The receiver gets a POST, even if its sender has died since.
    pub(crate) fn webhook_arrives(
        &mut self,
        (life, event): (u32, EventId),
        body: String,
        tries: u32,
        request: Option<RequestIndex>,
    ) {
        let now = self.now();
        let receipt = request.map_or(Receipt::Status(200), |request| {
            let asked = &mut self.platform.requests[request];
            let answers = self.plan.requests[request]
                .receiver
                .as_ref()
                .map(|receiver| &receiver.answers);
            let receipt = answers.and_then(|answers| answers.get(asked.receipts)).copied();
            asked.receipts += 1;
            receipt.unwrap_or(Receipt::Status(200))
        });
        let name = request.map_or_else(|| "?".to_owned(), |request| format!("v{request}"));
        self.note(format_args!(
            "{:>28} webhook of {name}, try {}: {receipt:?}",
            "the platform",
            tries + 1
        ));
        let answer = match receipt {
            Receipt::Status(status) => HttpAnswer::Status(status),
            Receipt::Unheard | Receipt::Refused => HttpAnswer::Nothing,
        };
        if receipt != Receipt::Refused {
            self.webhook_received(event, &body, request);
        }
        let after = match answer {
            HttpAnswer::Status(_) => Duration::from_millis(self.dice.between(TRAVEL_MS.0, TRAVEL_MS.1)),
            HttpAnswer::Nothing => TIMEOUT,
        };
        self.after(
            after,
            Transition::WebhookAnswered {
                life,
                event,
                sent: now,
                tries,
                answer,
            },
        );
    }

    fn webhook_received(&mut self, event: EventId, body: &str, request: Option<RequestIndex>) {
        let now = self.now();
        let facts = self.facts.webhooks.entry(event).or_insert_with(|| WebhookFacts {
            body: body.to_owned(),
            arrivals: Vec::new(),
            acknowledged_at: None,
        });
        facts.arrivals.push(now);
        // A clock that jumps ends leases: what was on its way before the acknowledgement was committed still arrives.
        let late = facts
            .acknowledged_at
            .is_some_and(|at| now > at.plus_ms(TRAVEL_MS.1));
        if late {
            self.violate(
                6,
                "a webhook is sent again after its acknowledgement was committed".to_owned(),
            );
        }
        if let Some(request) = request {
            self.platform.events.insert(event, request);
        }
    }

    pub(crate) fn webhook_answered(&mut self, event: EventId, sent: At, tries: u32, answer: HttpAnswer) {
        if let Some(process) = self.process.as_mut() {
            process.posting.remove(&event);
        }
        let tried = self.tried(event, sent, answer, tries);
        self.write(Op::Tried(tried), Owner::Nobody);
    }

    fn tried(&mut self, event: EventId, sent: At, answer: HttpAnswer, tries: u32) -> DeliveryTry {
        let (status, verdict) = match answer {
            HttpAnswer::Status(status @ 200..=299) => (Some(status), DeliveryVerdict::Delivered),
            HttpAnswer::Status(410) => (Some(410), DeliveryVerdict::Disabled),
            HttpAnswer::Status(status) => (Some(status), self.next_try(tries)),
            HttpAnswer::Nothing => (None, self.next_try(tries)),
        };
        DeliveryTry {
            event,
            at: self.clock.wall(),
            duration: self.now().since(sent),
            status,
            error: None,
            verdict,
        }
    }

    fn next_try(&mut self, tries: u32) -> DeliveryVerdict {
        match DELAYS_S.get(usize::try_from(tries + 1).unwrap()) {
            Some(delay_s) => {
                let jitter_ms = self.dice.between(0, delay_s * 100);
                DeliveryVerdict::Retry {
                    at: self
                        .clock
                        .wall()
                        .plus(Duration::from_millis(delay_s * 1000 + jitter_ms)),
                }
            }
            None => DeliveryVerdict::GaveUp,
        }
    }

    /// The result of a try is durable.
    pub(crate) fn webhook_settled(&mut self, tried: &DeliveryTry) {
        let now = self.now();
        if tried.verdict != DeliveryVerdict::Delivered {
            return;
        }
        let Some(facts) = self.facts.webhooks.get_mut(&tried.event) else {
            return;
        };
        facts.acknowledged_at.get_or_insert(now);
        let body = facts.body.clone();
        if self.plant == Some(Plant::PostsAfterAcknowledgement) {
            let (life, event) = (self.life, tried.event);
            let request = self.platform.events.get(&event).copied();
            self.after_ms(
                500,
                Transition::WebhookArrives {
                    life,
                    event,
                    body,
                    tries: 1,
                    request,
                },
            );
        }
    }

    /// An outcome was committed. It is the first, or the same.
    pub(crate) fn outcome_known(&mut self, id: VerificationId, outcome: Outcome) {
        let now = self.now();
        let name = self.name_of_verification(id);
        self.note(format_args!("{name} is {outcome}"));
        let Some(facts) = self.facts.verifications.get_mut(&id) else {
            return;
        };
        match facts.outcome {
            None => facts.outcome = Some((now, outcome)),
            Some((_, before)) if before == outcome => {}
            Some((_, before)) => {
                self.violate(
                    1,
                    format!("{name}: its outcome was {before} and becomes {outcome}"),
                );
            }
        }
    }
}
