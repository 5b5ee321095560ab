//! A server, its store, a key, and a clock that can be moved.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use ringproof::api::{
    self, Admission, ApiConfig, ApiState, CallerIds, Clock, HttpLimits, MessageCheck, MessageFault, Profile,
    SpokenMessage, render_webhook, system_clock,
};
use ringproof::model::{self, Entropy, Masked, UnixMillis, VerificationId};
use ringproof::policy::{NumberLimits, Policy, PolicySettings};
use ringproof::prompt::{Catalogue, CatalogueOptions, Wanted, check_message};
use ringproof::store::{ApiKey, Scope, Store, StoreOptions};
use serde_json::Value;

/// What a test may change before the server starts.
pub(crate) struct Setup {
    pub(crate) policy: PolicySettings,
    pub(crate) profile: Profile,
    pub(crate) limits: HttpLimits,
    pub(crate) trunks: Vec<CallerIds>,
}

impl Default for Setup {
    fn default() -> Self {
        let policy = PolicySettings {
            countries: vec!["US".into(), "DE".into()],
            internal_numbers: vec!["1\\d{3}".into()],
            per_number: NumberLimits {
                per_hour: 0,
                per_day: 0,
                again_after_s: 0,
            },
            per_end_user_per_hour: 0,
            per_ip_per_hour: 0,
            per_key_per_hour: 0,
            per_prefix_per_hour: 0,
            ..PolicySettings::default()
        };
        let profile = Profile {
            brand: Some("Contoso".into()),
            callbacks: vec![
                "https://idp.example/hooks".parse().unwrap(),
                "http://127.0.0.1/".parse().unwrap(),
            ],
            return_urls: vec!["https://idp.example/".parse().unwrap()],
            ..Profile::default()
        };
        let trunk = CallerIds {
            trunk: "carrier".into(),
            default: "+18005550199".into(),
            by_country: BTreeMap::from([("DE".into(), "+4930123456".into())]),
        };
        Self {
            policy,
            profile,
            limits: HttpLimits::default(),
            trunks: vec![trunk],
        }
    }
}

impl Setup {
    /// As the default, but with these limits of one number.
    pub(crate) fn with_number_limits(per_hour: u32, per_day: u32, again_after_s: u32) -> Self {
        let mut setup = Self::default();
        setup.policy.per_number = NumberLimits {
            per_hour,
            per_day,
            again_after_s,
        };
        setup
    }
}

/// A running server.
pub(crate) struct Lab {
    pub(crate) base: String,
    pub(crate) store: Store,
    pub(crate) state: ApiState,
    pub(crate) key: String,
    pub(crate) client: reqwest::Client,
    pub(crate) clock_shift_ms: Arc<AtomicI64>,
    /// Ends when the listener has closed.
    pub(crate) served: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let url = format!("sqlite://{}/api.db", dir.path().display());
        let store = Store::open(StoreOptions::new(url, render_webhook(&base)))
            .await
            .unwrap();
        let clock_shift_ms = Arc::new(AtomicI64::new(0));
        let profiles = BTreeMap::from([
            ("default".to_owned(), setup.profile.clone()),
            (
                "other".to_owned(),
                Profile {
                    methods: vec![model::Method::PressKey],
                    ..setup.profile
                },
            ),
        ]);
        let config = ApiConfig {
            public_url: base.clone(),
            default_profile: "default".into(),
            profiles,
            call_again_after_s: 60,
            policy: Policy::new(setup.policy).unwrap(),
            trunks: setup.trunks,
            signing_seed: Masked::new([7; 32]),
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            limits: setup.limits,
            message_check: MessageCheck::new(can_be_spoken),
        };
        let clock = shifted(&clock_shift_ms);
        let state = ApiState::new(
            store.clone(),
            config,
            Admission::default(),
            Entropy::from_number(1),
            clock,
        );
        let app = api::router(state.clone(), ringproof::web::routes());
        let serving = state.clone();
        let served = tokio::spawn(api::serve(listener, app, serving));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let mut lab = Self {
            base,
            store,
            state,
            key: String::new(),
            client,
            clock_shift_ms,
            served,
            _dir: dir,
        };
        lab.key = lab
            .create_key(
                "lab",
                &[Scope::Verifications, Scope::Enrollments, Scope::Blocks],
                &["default"],
            )
            .await;
        lab
    }

    /// Makes an API key and returns its text.
    pub(crate) async fn create_key(&self, id: &str, scopes: &[Scope], profiles: &[&str]) -> String {
        let key = api::key::generate(&mut self.state.entropy());
        let row = ApiKey {
            id: format!("key_{id}"),
            label: id.into(),
            scopes: scopes.to_vec(),
            profiles: profiles.iter().map(|p| (*p).to_owned()).collect(),
            created_at: self.now(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        self.store.key_create(row, key.hash).await.unwrap();
        key.text.into_inner()
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.state.now()
    }

    pub(crate) fn move_clock(&self, by_ms: i64) {
        self.clock_shift_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body).send().await.unwrap()).await
    }

    /// Creates a verification and returns its id and the answer.
    pub(crate) async fn create(&self, body: &Value) -> (VerificationId, Value) {
        let answer = self.post("/v1/verifications", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let json = answer.json();
        (json["id"].as_str().unwrap().parse().unwrap(), json)
    }
}

/// The recordings in the box, as the server has them.
fn can_be_spoken(spoken: SpokenMessage<'_>) -> Result<(), MessageFault> {
    static VOICES: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::load(&CatalogueOptions::default()).unwrap().0);
    let voice = VOICES.voice(Wanted {
        request: spoken.locale,
        country: spoken.country,
        profile: Some("en-US"),
    });
    check_message(&voice, spoken.message).map_err(|error| MessageFault {
        param: error.param(),
        detail: error.to_string(),
    })
}

fn shifted(shift_ms: &Arc<AtomicI64>) -> Clock {
    let (system, shift_ms) = (system_clock(), Arc::clone(shift_ms));
    Arc::new(move || UnixMillis(system().0 + shift_ms.load(Ordering::Relaxed)))
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}
