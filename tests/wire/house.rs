//! Server, simulated carrier and webhook receiver in one process, on loopback: what the product is, without its command
//! line.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringproof::app::App;
use ringproof::config;
use ringproof::media::voice::Voice;
use ringproof::model::{Codec, UnixMillis};
use ringproof::sim::RegistrarRules;
use ringproof::store::{ApiKey, Scope};

use super::hooks::{Hooks, SECRET};
use super::line::{Carrier, G711, Http, voices, voices_in};

pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) carrier: Carrier,
    pub(crate) http: Http,
    pub(crate) hooks: Hooks,
    pub(crate) voices: Vec<Arc<Voice>>,
    /// As the file would hold it.
    text: String,
    scratch: tempfile::TempDir,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// `sip`: further lines of `[sip]`.
    pub(crate) async fn start_with(sip: &str) -> Self {
        Self::start_over(sip, &[("simulated-carrier", None)]).await
    }

    /// `trunks`: names and hosts, in order of preference; without a host it is the simulated carrier.
    pub(crate) async fn start_over(sip: &str, trunks: &[(&str, Option<&str>)]) -> Self {
        Self::start_as(sip, |carrier| trunks_of(carrier, trunks)).await
    }

    /// `trunk`: what a trunk says beside its name, its pace and, unless it has one, its caller ID.
    pub(crate) async fn start_by(sip: &str, trunk: impl FnOnce(&Carrier) -> String) -> Self {
        Self::start_as(sip, |carrier| trunk_of(&trunk(carrier))).await
    }

    async fn start_as(sip: &str, trunks: impl FnOnce(&Carrier) -> String) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let voices = voices();
        let carrier = Carrier::start(voices.clone()).await;
        let text = trunks(&carrier);
        Self::build(scratch, voices, carrier, sip, &text).await
    }

    /// Callees that speak `codecs`, and a trunk with these lines.
    pub(crate) async fn start_speaking(codecs: &[Codec], lines: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let voices = voices_in(codecs);
        let carrier = Carrier::start_with(voices.clone(), codecs.to_vec(), RegistrarRules::default()).await;
        let text = trunk_of(&format!("targets = [\"sip:{}\"]\n{lines}", carrier.sip));
        Self::build(scratch, voices, carrier, "", &text).await
    }

    /// One trunk, with further `lines`, at a carrier with this registrar.
    pub(crate) async fn start_registering(rules: RegistrarRules, lines: &str) -> Self {
        Self::start_bound(rules, |carrier| {
            trunks_of(carrier, &[("simulated-carrier", None)]) + lines
        })
        .await
    }

    /// As [`Self::start_by`], at a carrier with this registrar.
    pub(crate) async fn start_registering_by(
        rules: RegistrarRules,
        trunk: impl FnOnce(&Carrier) -> String,
    ) -> Self {
        Self::start_bound(rules, |carrier| trunk_of(&trunk(carrier))).await
    }

    async fn start_bound(rules: RegistrarRules, trunks: impl FnOnce(&Carrier) -> String) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let voices = voices();
        let carrier = Carrier::start_with(voices.clone(), G711.to_vec(), rules).await;
        let text = trunks(&carrier);
        Self::build(scratch, voices, carrier, "", &text).await
    }

    async fn build(
        scratch: tempfile::TempDir,
        voices: Vec<Arc<Voice>>,
        carrier: Carrier,
        sip: &str,
        trunks: &str,
    ) -> Self {
        let hooks = Hooks::start().await;
        let text = configuration(scratch.path(), &hooks, sip) + trunks;
        Self::open(scratch, voices, carrier, hooks, text).await
    }

    async fn open(
        scratch: tempfile::TempDir,
        voices: Vec<Arc<Voice>>,
        carrier: Carrier,
        hooks: Hooks,
        text: String,
    ) -> Self {
        let config = config::parse(&text, "test", scratch.path(), std::iter::empty()).unwrap();
        let app = App::start(&config, None).await.unwrap();
        let key = create_key(&app).await;
        let http = Http::new(format!("http://{}", app.http), &key);
        Self {
            app,
            carrier,
            http,
            hooks,
            voices,
            text,
            scratch,
        }
    }

    /// With `to` where `from` stands in what its file would hold.
    pub(crate) async fn start_edited(from: &str, to: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let (voices, hooks) = (voices(), Hooks::start().await);
        let carrier = Carrier::start(voices.clone()).await;
        let text =
            configuration(scratch.path(), &hooks, "") + &trunks_of(&carrier, &[("simulated-carrier", None)]);
        assert!(text.contains(from), "{from} not in\n{text}");
        Self::open(scratch, voices, carrier, hooks, text.replace(from, to)).await
    }

    /// As after SIGHUP, with `to` where `from` stood.
    pub(crate) async fn reload(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from} not in\n{}", self.text);
        self.text = self.text.replace(from, to);
        let config = config::parse(&self.text, "test", self.scratch.path(), std::iter::empty()).unwrap();
        self.app.reload(config).await.unwrap();
    }

    /// What stays at the carrier can still be seen.
    pub(crate) async fn stop_but_carrier(self) -> Carrier {
        self.app.shutdown(Duration::from_secs(5)).await;
        self.carrier
    }

    pub(crate) async fn stop(self) {
        self.app.shutdown(Duration::from_secs(5)).await;
    }
}

async fn create_key(app: &App) -> String {
    let mut entropy = ringproof::telemetry::entropy().unwrap();
    let made = ringproof::api::key::generate(&mut entropy);
    let row = ApiKey {
        id: "key_test".into(),
        label: "test".into(),
        scopes: vec![Scope::Verifications, Scope::Enrollments, Scope::Admin],
        profiles: vec!["default".into()],
        created_at: UnixMillis(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    app.store().key_create(row, made.hash).await.unwrap();
    made.text.into_inner()
}

/// Each trunk with its targets, one after the other; `carrier` stands for the simulated one, which is the default.
fn trunks_of(carrier: &Carrier, trunks: &[(&str, Option<&str>)]) -> String {
    let trunk = |(name, host): &(&str, Option<&str>)| {
        let targets: Vec<String> = host
            .unwrap_or("carrier")
            .split(' ')
            .map(|word| match word {
                "carrier" => format!("\"sip:{}\"", carrier.sip),
                other => format!("\"sip:{other}\""),
            })
            .collect();
        let targets = targets.join(", ");
        format!(
            r#"
[[trunk]]
name = "{name}"
targets = [{targets}]
caller_id = {{ default = "+18005550199" }}
cps = 50.0
max_calls = 200
"#
        )
    };
    trunks.iter().map(trunk).collect()
}

/// The last line of `own` belongs to the trunk that gets the rest.
fn trunk_of(own: &str) -> String {
    format!(
        r#"
[[trunk]]
name = "first"
{own}
caller_id = {{ default = "+18005550199" }}
cps = 50.0
max_calls = 200
"#
    )
}

/// As a file would say it: nothing is limited, waits for keys are short.
fn configuration(directory: &Path, hooks: &Hooks, sip: &str) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite://{directory}/test.db"
[sip]
listen = ["udp:127.0.0.1:0"]
{sip}
[media]
rtp_ports = "47000-48999"
[policy]
countries = ["US"]
number_validation = "shape"
per_number = {{ per_hour = 0, per_day = 0, again_after_s = 0 }}
per_user_per_hour = 0
per_ip_per_hour = 0
per_prefix_per_hour = 0
refuse_when_late = false
[profile.default]
brand = "Contoso"
callbacks = ["{hooks}"]
return_urls = ["https://idp.example/security-info"]
ring_s = 5
wait_key_s = 1.5
[webhook]
secret = "{SECRET}"
allow_private = ["127.0.0.0/8"]
progress_events = ["trunk.down", "trunk.up"]
"#,
        directory = directory.display(),
        hooks = hooks.url,
    )
}
