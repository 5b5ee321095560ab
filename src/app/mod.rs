//! Builds each part once, starts the loops, drains on shutdown.
//!
//! Order at the start: store (and what a crash left in it), prompts, media, signalling, then the loops, then HTTP: nothing
//! is accepted that could not be dialled. At the end the other way round.
mod announcer;
mod build;
mod capture;
mod check;
mod out_of_call;
mod overload;
mod reload;
mod signing_key;
mod trunk_test;

#[cfg(test)]
mod trunk_files;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use check::{Checked, check};
pub use trunk_test::{TrunkTest, test_trunk};

use announcer::Announcer;
use reload::Peers;

use crate::api::{self, Admission, ApiState};
use crate::config::{Config, Problem};
use crate::dialer::Dialer;
use crate::media::voice::Voice;
use crate::model::PhoneNumber;
use crate::net::media_engine::{EngineError, MediaEngine, TickLateness};
use crate::net::resolver::{Resolver, ResolverError};
use crate::net::sip_net::{BindError, SipNet};
use crate::net::sip_trace::SipTrace;
use crate::policy::PolicyError;
use crate::prompt::{Catalogue, PromptError};
use crate::sip::transport::SipTransport;
use crate::store::{OverloadGate, Store, StoreError, StoreOptions};
use crate::telemetry::{NoEntropy, entropy, wallclock};
use crate::webhook::{ClientError, Deliverer};

/// Why the server did not start: each names the part of the configuration to look at.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("store.url: {0}")]
    Store(#[from] StoreError),
    #[error("prompts: {0}")]
    Prompts(#[from] PromptError),
    #[error("media: {0}")]
    Media(#[from] EngineError),
    #[error("sip.listen: {0}")]
    Sip(#[from] BindError),
    #[error("sip.dns: {0}")]
    Resolver(#[from] ResolverError),
    #[error("webhook: {0}")]
    Webhook(#[from] ClientError),
    #[error("{0}")]
    Policy(#[from] PolicyError),
    #[error("{key}: cannot listen on {address}: {source}")]
    Http {
        key: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("telemetry.hep: {0}")]
    Capture(std::io::Error),
    #[error("{0}")]
    Entropy(#[from] NoEntropy),
    /// As a problem of the file itself is told.
    #[error("{0}")]
    Written(Problem),
    #[error("{0}")]
    Config(String),
}

/// The running server.
pub struct App {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where SIP listens.
    pub sip: Vec<(SipTransport, SocketAddr)>,
    /// In force: what was read at the start, and what reloads could take of it since.
    config: Config,
    store: Store,
    admission: Admission,
    gate: OverloadGate,
    state: ApiState,
    dialer: Dialer,
    peers: Arc<Peers>,
    resolver: Resolver,
    /// None where nobody is to be told, here and below.
    deliverer: Option<Deliverer>,
    webhooks: Option<JoinHandle<()>>,
    stop_webhooks: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    loops: Vec<JoinHandle<()>>,
    announcer: Option<Announcer>,
    voices: Arc<Catalogue>,
    trace: SipTrace,
}

/// What the trace and the capture server have not got yet is waited for so long at the stop.
const TRACE_FLUSH_MAX: Duration = Duration::from_secs(2);

impl App {
    /// Starts every part. `metrics` renders `/metrics` when the configuration wants it.
    pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> Result<Self, AppError> {
        Self::start_traced(config, metrics, SipTrace::off()).await
    }

    /// As [`Self::start`]; `trace` is told every SIP message.
    pub async fn start_traced(
        config: &Config,
        metrics: Option<PrometheusHandle>,
        trace: SipTrace,
    ) -> Result<Self, AppError> {
        let listener = listen("server.listen", config.server.listen).await?;
        let http = listener.local_addr().map_err(|source| AppError::Http {
            key: "server.listen",
            address: config.server.listen,
            source,
        })?;
        let public_url = build::public_url(config, http);
        let store = open_store(config, &public_url).await?;
        let voices = Arc::new(load_prompts(config)?);
        let media = MediaEngine::start(build::engine(config, entropy()?))?;
        let mut dialer_config = build::dialer(config)?;
        warn_of_shown_keys(config);
        let resolver = build::resolver(config, entropy()?)?;
        let peers = Peers::new(build::peer_check(config, &resolver).await);
        let trace = capture::with_capture(config, trace).map_err(AppError::Capture)?;
        let (trace, recorder) = capture::with_recorder(config, trace);
        dialer_config.recording = capture::recording(config, &recorder);
        let (sip, inbound) = SipNet::bind_traced(build::sip_net(config, peers.check()), trace.clone())?;
        let sip_addresses: Vec<(SipTransport, SocketAddr)> = sip.locals().collect();
        let (admission, gate) = overload::guarded(config, &media);
        let message_check = build::message_check(dialer_config.profiles.clone(), Arc::clone(&voices));
        let api_config = build::api(config, public_url, signing_key::seed(config)?, message_check)?;
        let (clock, seed) = (api::system_clock(), entropy()?);
        let state =
            ApiState::new(store.clone(), api_config, admission.clone(), seed, clock).with_recorder(recorder);
        let (stop_webhooks, webhooks_stopped) = watch::channel(false);
        let (deliverer, webhooks) = start_webhooks(config, &store, webhooks_stopped)?;
        let dialer = Dialer::start(
            dialer_config,
            store.clone(),
            media.clone(),
            sip.clone(),
            resolver.clone(),
            Arc::clone(&voices),
            gate.clone(),
        );
        let announcer = start_announcer(config, &voices, &sip, &media)?;
        let mut loops = vec![
            tokio::spawn(out_of_call::run(
                sip.clone(),
                inbound,
                peers.check(),
                announcer.clone(),
            )),
            tokio::spawn(admit_while_trunks_are_up(dialer.trunks_up(), admission.clone())),
        ];
        loops.extend(watchers(config, &store, media, sip, &gate, metrics.clone()));
        let servers = serve_http(config, listener, state.clone(), metrics).await?;
        Ok(Self {
            http,
            sip: sip_addresses,
            config: config.clone(),
            store,
            admission,
            gate,
            state,
            dialer,
            peers,
            resolver,
            deliverer,
            webhooks,
            stop_webhooks,
            servers,
            loops,
            announcer,
            voices,
            trace,
        })
    }

    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The voice that a call in this language gets.
    #[must_use]
    pub fn voice(&self, locale: &str) -> Arc<Voice> {
        self.voices.voice(crate::prompt::Wanted {
            request: Some(locale),
            country: None,
            profile: None,
        })
    }

    /// How long live calls may finish when the server stops.
    #[must_use]
    pub const fn drain_limit(&self) -> Duration {
        self.config.server.drain
    }

    /// Calls that are live now.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.dialer.live_calls()
    }

    /// Refuses new calls at once, lets live ones finish for `limit`, delivers what waits, closes the store.
    /// Returns how many calls had to be canceled.
    pub async fn shutdown(self, limit: Duration) -> usize {
        self.admission.drain();
        let canceled = self.dialer.drain(limit).await;
        if let Some(announcer) = self.announcer {
            announcer.stop().await;
        }
        self.stop_webhooks.send_replace(true);
        if let Some(webhooks) = self.webhooks {
            finish(webhooks, Duration::from_secs(16)).await;
        }
        self.admission.stop();
        for server in self.servers {
            finish(server, Duration::from_secs(3)).await;
        }
        for running in self.loops {
            running.abort();
        }
        let trace = self.trace;
        // It blocks its thread. A panic of a sink has been told already.
        let _ = tokio::task::spawn_blocking(move || trace.flush(TRACE_FLUSH_MAX)).await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
        canceled
    }
}

/// `None` where callers are declined.
fn start_announcer(
    config: &Config,
    voices: &Catalogue,
    sip: &SipNet,
    media: &MediaEngine,
) -> Result<Option<Announcer>, AppError> {
    let Some(plan) = build::announcer(config, voices)? else {
        return Ok(None);
    };
    Ok(Some(Announcer::new(plan, sip.clone(), media.clone(), entropy()?)))
}

/// Waits for a task that has been told to stop; past `limit` it is ended.
async fn finish(task: JoinHandle<()>, limit: Duration) {
    let abort = task.abort_handle();
    if tokio::time::timeout(limit, task).await.is_err() {
        abort.abort();
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Http { key, address, source })
}

/// The API and the pages, with `/metrics` beside them or on its own address.
async fn serve_http(
    config: &Config,
    listener: TcpListener,
    state: ApiState,
    metrics: Option<PrometheusHandle>,
) -> Result<Vec<JoinHandle<()>>, AppError> {
    let mut servers = Vec::new();
    let mut router = api::router(state.clone(), crate::web::routes());
    if let Some(metrics) = metrics.filter(|_| config.telemetry.metrics) {
        let page = Router::new().route("/metrics", get(move || std::future::ready(metrics.render())));
        match config.server.admin_listen {
            Some(address) => servers.push(tokio::spawn(api::serve(
                listen("server.admin_listen", address).await?,
                page,
                state.clone(),
            ))),
            None => router = router.merge(page),
        }
    }
    servers.push(tokio::spawn(api::serve(listener, router, state)));
    Ok(servers)
}

/// In the log of every start and reload: nothing else would tell that an encrypted call can be read.
fn warn_of_shown_keys(config: &Config) {
    for warning in config.trunks.iter().filter_map(|trunk| trunk.srtp_warning()) {
        tracing::warn!("{warning}");
    }
}

async fn open_store(config: &Config, public_url: &str) -> Result<Store, AppError> {
    let store = Store::open(StoreOptions::new(
        &config.store.url,
        api::render_webhook(public_url),
    ))
    .await?;
    let recovered = store
        .recover(&config.server.node, entropy()?, wallclock())
        .await?;
    if !recovered.unknown.is_empty() {
        tracing::warn!(
            calls = recovered.unknown.len(),
            "calls that were live when this node stopped are told as failed/unknown_after_crash; none is dialled again"
        );
    }
    Ok(store)
}

fn start_webhooks(
    config: &Config,
    store: &Store,
    stopped: watch::Receiver<bool>,
) -> Result<(Option<Deliverer>, Option<JoinHandle<()>>), AppError> {
    let Some(webhooks) = build::webhooks(config)? else {
        tracing::info!("webhook.secret is not set and no profile has callbacks: no webhook is sent");
        return Ok((None, None));
    };
    if let Some(error) = check::callback_urls(config).into_iter().next() {
        return Err(error);
    }
    log_public_keys(config);
    let deliverer = Deliverer::new(store.clone(), webhooks, entropy()?)?;
    let running = tokio::spawn(deliverer.clone().run(stopped));
    Ok((Some(deliverer), Some(running)))
}

fn log_public_keys(config: &Config) {
    for key in webhook_public_keys(config) {
        tracing::info!(
            key,
            "receivers verify the v1a signatures of webhooks with this public key"
        );
    }
}

/// `whpk_…` for each Ed25519 secret of the webhooks: what receivers configure.
#[must_use]
pub fn webhook_public_keys(config: &Config) -> Vec<String> {
    match build::signer(config) {
        Ok(Some(signer)) => signer.public_keys(),
        Ok(None) | Err(_) => Vec::new(),
    }
}

fn load_prompts(config: &Config) -> Result<Catalogue, AppError> {
    let (voices, notices) = Catalogue::load(&check::catalogue_options(config))?;
    if let Some(error) = check::prompts(config, &voices).into_iter().next() {
        return Err(error);
    }
    for notice in notices {
        tracing::info!(%notice, "prompts");
    }
    Ok(voices)
}

/// Without a trunk that works a new call is refused at once (503 `no_trunk_available`).
async fn admit_while_trunks_are_up(mut up: watch::Receiver<bool>, admission: Admission) {
    loop {
        admission.set_trunks_up(*up.borrow_and_update());
        if up.changed().await.is_err() {
            return;
        }
    }
}

/// What looks after the process while it runs.
fn watchers(
    config: &Config,
    store: &Store,
    media: MediaEngine,
    sip: SipNet,
    gate: &OverloadGate,
    metrics: Option<PrometheusHandle>,
) -> [JoinHandle<()>; 3] {
    [
        tokio::spawn(keep_house(store.clone(), build::retention(config))),
        tokio::spawn(overload::watch(gate.clone(), store.clone(), media.clone())),
        tokio::spawn(report(store.clone(), media, sip, gate.clone(), metrics)),
    ]
}

/// Retention, a little at a time.
async fn keep_house(store: Store, retention: crate::store::Retention) {
    loop {
        match store.purge(&retention, wallclock()).await {
            Ok(purged) if purged.more => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(_) => tokio::time::sleep(Duration::from_secs(600)).await,
            Err(error) => {
                tracing::warn!(%error, "retention could not run");
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    }
}

/// Copies what the engine and the listeners count into the metrics.
async fn report(
    store: Store,
    media: MediaEngine,
    sip: SipNet,
    gate: OverloadGate,
    metrics: Option<PrometheusHandle>,
) {
    let mut lateness = media.tick_lateness();
    let mut every = tokio::time::interval(Duration::from_secs(5));
    loop {
        every.tick().await;
        if let Some(metrics) = &metrics {
            // Histograms keep every sample until somebody folds them.
            metrics.run_upkeep();
        }
        lateness = report_media(&media, &lateness);
        overload::report(&gate);
        report_streams(&sip);
        let sip = sip.metrics();
        for (kind, count) in [
            ("received", sip.received),
            ("sent", sip.sent),
            ("routed", sip.routed),
            ("out_of_call", sip.out_of_call),
            ("unparsable", sip.unparsable),
            ("strangers_limited", sip.strangers_limited),
        ] {
            metrics::counter!("ringproof_sip_datagrams_total", "kind" => kind).absolute(count);
        }
        if let Ok((pending, live)) = store.in_progress().await {
            metrics::gauge!("ringproof_verifications_pending").set(pending as f64);
            metrics::gauge!("ringproof_calls_live").set(live as f64);
        }
        if let Ok(waiting) = store.outbox_pending().await {
            metrics::gauge!("ringproof_webhooks_waiting").set(waiting as f64);
        }
    }
}

/// Returns how late ticks were up to now: the next report tells of those after.
fn report_media(media: &MediaEngine, before: &TickLateness) -> TickLateness {
    let engine = media.metrics();
    metrics::gauge!("ringproof_media_legs").set(engine.legs_open as f64);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    metrics::gauge!("ringproof_tasks").set(tasks as f64);
    metrics::gauge!("ringproof_media_ports_free").set(engine.ports_free as f64);
    metrics::gauge!("ringproof_media_busy_ratio").set(engine.busy_per_mille as f64 / 1000.0);
    for (name, count) in [
        ("ringproof_media_ticks_total", engine.ticks),
        ("ringproof_media_events_dropped_total", engine.events_dropped),
        ("ringproof_media_commands_refused_total", engine.commands_refused),
        ("ringproof_rtp_packets_sent_total", engine.packets_sent),
        ("ringproof_rtp_packets_received_total", engine.packets_received),
        ("ringproof_rtp_packets_skipped_total", engine.packets_skipped),
        ("ringproof_rtp_send_errors_total", engine.send_errors),
        ("ringproof_srtp_packets_rejected_total", engine.rejected.srtp),
    ] {
        metrics::counter!(name).absolute(count);
    }
    for (reason, count) in engine.rejected.by_reason() {
        metrics::counter!("ringproof_rtp_packets_rejected_total", "reason" => reason).absolute(count);
    }
    for (reason, count) in [
        ("no_port", engine.refused_no_port),
        ("no_file", engine.refused_no_file),
        ("full", engine.refused_full),
        ("late", engine.refused_late),
    ] {
        metrics::counter!("ringproof_media_refused_total", "reason" => reason).absolute(count);
    }
    let lateness = media.tick_lateness();
    let last = lateness.since(before);
    for (quantile, share) in [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)] {
        metrics::gauge!("ringproof_media_tick_lateness_seconds", "quantile" => quantile)
            .set(last.percentile(share).as_secs_f64());
    }
    lateness
}

fn report_streams(sip: &SipNet) {
    let streams = sip.stream_metrics();
    metrics::gauge!("ringproof_sip_connections").set(streams.open as f64);
    for (kind, count) in [
        ("received", streams.received),
        ("sent", streams.sent),
        ("accepted", streams.accepted),
        ("connected", streams.connected),
        ("connect_failed", streams.connect_failed),
        ("turned_away", streams.turned_away),
        ("handshakes_failed", streams.handshakes_failed),
        ("unparsable", streams.unparsable),
        ("slow_readers", streams.slow_readers),
        ("slow_writers", streams.slow_writers),
        ("garbage", streams.garbage),
    ] {
        metrics::counter!("ringproof_sip_streams_total", "kind" => kind).absolute(count);
    }
}

/// True when `text` is a number that the API would take as it stands; used by the command line before it starts anything.
#[must_use]
pub fn is_e164(text: &str) -> bool {
    PhoneNumber::parse(text, None, crate::model::NumberValidation::Shape).is_ok()
}
