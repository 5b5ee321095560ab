//! `inbound = "announce"`: who calls back hears one sentence. One task a call, beside the answers outside calls.
//!
//! Only a trunk's peers come here, and only over UDP; a stranger still hears nothing. Neither the store nor the dialer knows of these calls:
//! they are no verification and take no line of a trunk, and their media ports and routes are counted on top.
//!
//! Invariants:
//! - At most `calls_max` calls are live, and [`LINGERING_PER_CALL`] times as many wait for their last transactions; one
//!   more is told to be busy. A forged source address can therefore cause only so many 200s.
//! - When the server stops, each live call gets its BYE.
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::call::{Announcement, AnnouncementEnd, AnnouncementInput, AnnouncementOutput, AnnouncementSpec};
use crate::media::frame::Clip;
use crate::model::{Codec, Entropy};
use crate::net::media_engine::{MediaEngine, MediaLeg};
use crate::net::sip_net::{CallQueue, Flow, Inbound, RouteGuard, SipNet};
use crate::sdp::LocalMedia;
use crate::sip::message::{Message, Request};
use crate::sip::peer::IpNet;
use crate::sip::transaction::timer::{TimerConfig, Transport};
use crate::sip::uas::UasConfig;

/// A call that is over keeps its transactions for 32 s (Timer L), some three times as long as it was live.
pub(super) const LINGERING_PER_CALL: usize = 8;
/// A BYE at the stop of the server leaves within this.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// What all such calls share.
#[derive(Clone)]
pub(super) struct Announcer(Arc<Shared>);

pub(super) struct AnnouncerConfig {
    pub(super) calls_max: usize,
    pub(super) clips: Vec<Arc<Clip>>,
    pub(super) user_agent: String,
    pub(super) public_address: Option<IpAddr>,
    /// Further sources of requests within such a call.
    pub(super) peers: Vec<IpNet>,
    pub(super) t1: Duration,
}

struct Shared {
    /// Replaced as a whole by a reload; a call keeps the one that it began with.
    config: RwLock<Arc<AnnouncerConfig>>,
    calls_max: usize,
    sip: SipNet,
    media: MediaEngine,
    entropy: Mutex<Entropy>,
    live: Arc<Semaphore>,
    tasks: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl Announcer {
    pub(super) fn new(config: AnnouncerConfig, sip: SipNet, media: MediaEngine, entropy: Entropy) -> Self {
        let calls_max = config.calls_max;
        Self(Arc::new(Shared {
            config: RwLock::new(Arc::new(config)),
            calls_max,
            sip,
            media,
            entropy: Mutex::new(entropy),
            live: Arc::new(Semaphore::new(calls_max)),
            tasks: Arc::new(Semaphore::new(calls_max.saturating_mul(1 + LINGERING_PER_CALL))),
            stop: watch::Sender::new(false),
        }))
    }

    /// Gives the INVITE a task. False when there is no room: the caller is to be told so.
    pub(super) fn take(&self, request: Request, source: SocketAddr, local: SocketAddr) -> bool {
        let shared = &self.0;
        let Ok(call_id) = request.headers.call_id().map(str::to_owned) else {
            return false;
        };
        let room = (
            Arc::clone(&shared.live).try_acquire_owned(),
            Arc::clone(&shared.tasks).try_acquire_owned(),
        );
        let (Ok(live), Ok(task)) = room else {
            count("busy");
            return false;
        };
        let Ok((route, messages)) = shared.sip.register(&call_id) else {
            // Taken: a repetition that waited in the queue while its call began. Else no route is free, and a peer that
            // hears nothing repeats.
            let message = Message::Request(request);
            let _ = shared.sip.reroute(Inbound {
                message,
                source,
                local,
                flow: Flow::Datagram,
            });
            return true;
        };
        let Ok(leg) = shared.media.open() else {
            count("busy");
            return false;
        };
        let plan = shared.config();
        let Ok((config, media)) = shared.addresses(&plan, &request, source, local, leg.local) else {
            count("refused");
            return false;
        };
        let spec = AnnouncementSpec {
            sip: config,
            local_media: media,
            clips: plan.clips.clone(),
        };
        let mut out = Vec::new();
        let started = Announcement::start(Instant::now(), spec, request, source, shared.fork(), &mut out);
        let Ok(call) = started else {
            count("refused");
            return false;
        };
        let line = Line {
            shared: Arc::clone(shared),
            call,
            leg,
            local,
            live: Some(live),
            began: Instant::now(),
            _task: task,
            _route: route,
        };
        tokio::spawn(line.run(out, messages, shared.stop.subscribe()));
        true
    }

    /// Callers hear new words, and new peers are known, from the next call on. The number of calls needs a restart.
    pub(super) fn reload(&self, config: AnnouncerConfig) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Every live call gets its BYE; no other is taken.
    pub(super) async fn stop(&self) {
        let shared = &self.0;
        shared.tasks.close();
        shared.stop.send_replace(true);
        let all = u32::try_from(shared.calls_max).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(LEAVE_MAX, shared.live.acquire_many(all)).await;
    }
}

impl Shared {
    fn fork(&self) -> Entropy {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }

    fn config(&self) -> Arc<AnnouncerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What Contact and the session description say. A socket bound to all addresses says where it really is.
    fn addresses(
        &self,
        config: &AnnouncerConfig,
        request: &Request,
        source: SocketAddr,
        local: SocketAddr,
        media: SocketAddr,
    ) -> std::io::Result<(UasConfig, LocalMedia)> {
        let mut own = local;
        if own.ip().is_unspecified() {
            own.set_ip(self.sip.local_ip_for(source)?);
        }
        let public = config.public_address.filter(|ip| ip.is_ipv4() == own.is_ipv4());
        let media_ip = if media.ip().is_unspecified() {
            own.ip()
        } else {
            media.ip()
        };
        let sip = UasConfig {
            local: own,
            public: public.map(|ip| SocketAddr::new(ip, own.port())),
            transport: Transport::Udp,
            contact_user: request.uri.user().unwrap_or("ringproof").to_owned(),
            user_agent: config.user_agent.clone(),
            peers: config.peers.clone(),
            timers: TimerConfig {
                t1: config.t1,
                ..TimerConfig::default()
            },
        };
        let media = LocalMedia {
            address: public.unwrap_or(media_ip),
            port: media.port(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: true,
            ptime_ms: crate::sdp::PTIME_MS_DEFAULT,
            session_id: self.fork().u64() >> 1,
            version: 1,
            rtcp_mux: false,
            srtp: None,
        };
        Ok((sip, media))
    }
}

/// One call, pumped.
struct Line {
    shared: Arc<Shared>,
    call: Announcement,
    leg: MediaLeg,
    local: SocketAddr,
    /// `None` when the caller's part is over.
    live: Option<OwnedSemaphorePermit>,
    began: Instant,
    _task: OwnedSemaphorePermit,
    _route: RouteGuard,
}

impl Line {
    async fn run(
        mut self,
        first: Vec<AnnouncementOutput>,
        mut messages: CallQueue,
        mut stop: watch::Receiver<bool>,
    ) {
        self.flush(first).await;
        let mut leg_reports = true;
        while !self.call.is_over() {
            let deadline = self.call.poll_timeout().map(|(at, _)| at);
            let input = tokio::select! {
                biased;
                Some(Inbound { message, source, .. }) = messages.recv() => AnnouncementInput::Sip { message, source },
                event = self.leg.events.recv(), if leg_reports => match event {
                    Some(event) => AnnouncementInput::Media(event),
                    None => {
                        leg_reports = false;
                        continue;
                    }
                },
                () = until(deadline) => AnnouncementInput::Timeout,
                true = stopped(&mut stop), if self.live.is_some() => AnnouncementInput::Leave,
            };
            let mut out = Vec::new();
            self.call.handle(Instant::now(), input, &mut out);
            self.flush(out).await;
        }
    }

    async fn flush(&mut self, out: Vec<AnnouncementOutput>) {
        let mut end = None;
        for output in out {
            match output {
                AnnouncementOutput::SendSip { to, bytes } => {
                    if let Err(error) = self
                        .shared
                        .sip
                        .answer(&Flow::Datagram, self.local, to, &bytes)
                        .await
                    {
                        // A lost message is repeated, or the call ends by its timers.
                        tracing::debug!(%error, "a message of an announcement was not sent");
                    }
                }
                AnnouncementOutput::Media(command) => {
                    if let Err(error) = self.leg.command(command) {
                        tracing::warn!(%error, "a media command of an announcement was refused");
                    }
                }
                AnnouncementOutput::Over(how) => end = Some(how),
            }
        }
        // After the BYE has left: who waits for the calls at the stop of the server waits for that.
        if let Some(end) = end {
            self.over(end);
        }
    }

    fn over(&mut self, end: AnnouncementEnd) {
        let seconds = self.began.elapsed().as_secs_f32();
        tracing::info!(result = end.as_str(), seconds, "somebody called back");
        count(end.as_str());
        self.live = None;
    }
}

fn count(result: &'static str) {
    metrics::counter!("ringproof_inbound_calls_total", "result" => result).increment(1);
}

async fn stopped(stop: &mut watch::Receiver<bool>) -> bool {
    stop.wait_for(|stopped| *stopped).await.is_ok()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
