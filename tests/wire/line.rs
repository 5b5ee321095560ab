//! Both ends of a test's line: the simulated carrier with its HTTP API, and a client of the API under test.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use ringproof::media::voice::Voice;
use ringproof::model::Codec;
use ringproof::net::sip_tls::{Identity, TlsServerConfig};
use ringproof::prompt::{Catalogue, CatalogueOptions, Wanted};
use ringproof::sim::{RegistrarRules, SimConfig, Simulator, defaults, router};
use ringproof::sip::transport::SipTransport;
use serde_json::{Value, json};

/// What the callees speak, unless a test says otherwise.
pub(crate) const G711: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];
/// Nothing here takes longer unless it hangs.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// The voices of the repository, as the server finds them.
pub(crate) fn voices() -> Vec<Arc<Voice>> {
    voices_in(&G711)
}

/// Encoded for these codecs.
pub(crate) fn voices_in(codecs: &[Codec]) -> Vec<Arc<Voice>> {
    let options = CatalogueOptions {
        g722: codecs.contains(&Codec::G722),
        ..CatalogueOptions::default()
    };
    let (catalogue, _) = Catalogue::load(&options).unwrap();
    let voice = |tag| {
        catalogue.voice(Wanted {
            request: Some(tag),
            country: None,
            profile: None,
        })
    };
    vec![voice("en-US"), voice("en-GB")]
}

/// A port that UDP and TCP both have free; only a moment lies between the look and the use.
fn free_for_both() -> SocketAddr {
    loop {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A certificate for sip.carrier.example that is its own authority, in files.
fn certificate(directory: &Path) -> (Identity, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["sip.carrier.example".to_owned()]).unwrap();
    let identity = Identity {
        cert_file: directory.join("carrier.pem"),
        key_file: directory.join("carrier.key"),
    };
    std::fs::write(&identity.cert_file, made.cert.pem()).unwrap();
    std::fs::write(&identity.key_file, made.signing_key.serialize_pem()).unwrap();
    let ca_file = identity.cert_file.clone();
    (identity, ca_file)
}

/// The simulated carrier.
pub(crate) struct Carrier {
    pub(crate) sip: SocketAddr,
    /// Of SIP over TLS; over TCP it is the port of UDP.
    pub(crate) sip_tls: SocketAddr,
    /// The authority of its certificate, which is for sip.carrier.example.
    pub(crate) ca_file: PathBuf,
    pub(crate) http: Http,
    _simulator: Simulator,
    _files: tempfile::TempDir,
}

impl Carrier {
    pub(crate) async fn start(voices: Vec<Arc<Voice>>) -> Self {
        Self::start_with(voices, G711.to_vec(), RegistrarRules::default()).await
    }

    pub(crate) async fn start_with(
        voices: Vec<Arc<Voice>>,
        codecs: Vec<Codec>,
        registrar: RegistrarRules,
    ) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (identity, ca_file) = certificate(files.path());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sip = free_for_both();
        let simulator = Simulator::start(SimConfig {
            sip,
            streams: vec![(SipTransport::Tcp, sip), (SipTransport::Tls, any)],
            tls: Some(TlsServerConfig {
                identity,
                client_ca_file: None,
            }),
            rtp_ports: 45_000..=46_999,
            callees: defaults(),
            voices,
            codecs,
            calls_max: 1000,
            registrar,
        })
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let routes = router(&simulator);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            sip: simulator.sip,
            sip_tls: simulator.listens(SipTransport::Tls).unwrap(),
            ca_file,
            _files: files,
            http: Http::new(base, ""),
            _simulator: simulator,
        }
    }

    /// The newest call to this number, once it has come so far.
    pub(crate) async fn wait(&self, number: &str, state: &str) -> Value {
        let number = number.replace('+', "%2B");
        self.http
            .get(&format!("/sim/wait?number={number}&state={state}&timeout=100"))
            .await
            .ok()
    }

    /// The call with this Call-ID, once it is over at the callee's side too.
    pub(crate) async fn over(&self, call_id: &str) -> Value {
        self.http
            .get(&format!("/sim/wait?call={call_id}&state=ended&timeout=100"))
            .await
            .ok()
    }

    /// Calls to this number, newest first.
    pub(crate) async fn calls_to(&self, number: &str) -> Vec<Value> {
        let calls = self.http.get("/sim/calls").await.ok();
        let all = calls["calls"].as_array().unwrap().clone();
        all.into_iter().filter(|call| call["number"] == number).collect()
    }

    pub(crate) async fn script(&self, number: &str, script: &Value) {
        let answer = self.http.put(&format!("/sim/numbers/{number}"), script).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    }

    /// A callee that does `steps`, JSON as `GET /sim/numbers` shows them.
    pub(crate) async fn callee(&self, number: &str, steps: Value) {
        self.script(number, &json!({"about": "scripted by a test", "steps": steps}))
            .await;
    }
}

/// A client of one HTTP server.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Http {
    pub(crate) fn new(base: String, key: &str) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(WAIT_MAX)
            .build()
            .unwrap();
        let key = key.to_owned();
        Self { client, base, key }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        request.bearer_auth(&self.key)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body).send().await.unwrap()).await
    }

    /// With an `Idempotency-Key`.
    pub(crate) async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).header("idempotency-key", key);
        Answer::of(request.json(body).send().await.unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.put_text(path, body.to_string()).await
    }

    pub(crate) async fn put_text(&self, path: &str, body: String) -> Answer {
        Answer::of(self.request(Method::PUT, path).body(body).send().await.unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    /// Places a call; its id.
    pub(crate) async fn create(&self, body: &Value) -> Value {
        let answer = self.post("/v1/verifications", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{body}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn read(&self, id: &str) -> Value {
        self.get(&format!("/v1/verifications/{id}")).await.ok()
    }

    /// The verification, once `found` likes it: by long polls, each until the next change.
    pub(crate) async fn until(&self, id: &str, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            let mut view = self.read(id).await;
            while !found(&view) {
                let path = format!(
                    "/v1/verifications/{id}?wait=25&after_sequence={}",
                    view["sequence"]
                );
                view = self.get(&path).await.ok();
            }
            view
        };
        match tokio::time::timeout(WAIT_MAX, search).await {
            Ok(view) => view,
            Err(_) => panic!("{id} is not {what} after {WAIT_MAX:?}: {}", self.read(id).await),
        }
    }

    pub(crate) async fn ended(&self, id: &str) -> Value {
        self.until(id, "ended", |view| view["status"] != "pending").await
    }

    /// Once it has come this far, or has ended.
    pub(crate) async fn stage(&self, id: &str, stage: &str) -> Value {
        self.until(id, stage, |view| {
            view["stage"] == stage || view["status"] != "pending"
        })
        .await
    }
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        Self {
            status: response.status(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The body of a 200.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
