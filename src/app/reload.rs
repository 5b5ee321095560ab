//! The file, read again while the server runs (SIGHUP).
//!
//! Everything that the new file asks for is built before anything is replaced: a file that any part refuses changes nothing.
//! Live calls keep the trunk, profile and recordings that they began with.
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::announcer::AnnouncerConfig;
use super::{App, AppError, build, check, log_public_keys, start_webhooks};
use crate::api::ApiConfig;
use crate::config::{self, Changes, Config};
use crate::dialer::DialerConfig;
use crate::net::sip_net::PeerCheck;
use crate::prompt::Catalogue;
use crate::webhook::Sending;

/// Tells peers from strangers by the newest trunks.
pub(super) struct Peers(RwLock<PeerCheck>);

impl Peers {
    pub(super) fn new(check: PeerCheck) -> Arc<Self> {
        Arc::new(Self(RwLock::new(check)))
    }

    /// One that always asks the newest.
    pub(super) fn check(self: &Arc<Self>) -> PeerCheck {
        let peers = Arc::clone(self);
        Arc::new(move |ip: IpAddr| {
            let newest = Arc::clone(&peers.0.read().unwrap_or_else(PoisonError::into_inner));
            newest(ip)
        })
    }

    fn replace(&self, check: PeerCheck) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = check;
    }
}

/// What replaces the running parts' own values.
struct Parts {
    api: ApiConfig,
    dialer: DialerConfig,
    voices: Arc<Catalogue>,
    announcer: Option<AnnouncerConfig>,
    sending: Option<Sending>,
}

impl App {
    /// Takes what a running server can take of `new` and tells what must wait for a restart. With an error nothing has
    /// changed; every problem is told at once.
    pub async fn reload(&mut self, new: Config) -> Result<Changes, Vec<AppError>> {
        let changes = config::changes(&self.config, &new);
        let running = self.config.clone();
        let api = self.state.config();
        let (public_url, seed) = (api.public_url.clone(), *api.signing_seed.reveal());
        let built = tokio::task::spawn_blocking(move || {
            let (checked, voices) = check::checked(&new);
            let Some(voices) = voices.filter(|_| checked.errors.is_empty()) else {
                return Err(checked.errors);
            };
            for notice in &checked.notices {
                tracing::info!(%notice, "prompts");
            }
            let in_force = config::in_force(&running, new);
            let parts = parts(&in_force, Arc::new(voices), public_url, seed).map_err(|error| vec![error])?;
            Ok((in_force, parts))
        });
        let (in_force, parts) = match built.await {
            Ok(built) => built?,
            Err(error) => return Err(vec![AppError::Config(format!("the reload failed: {error}"))]),
        };
        let is_peer = build::peer_check(&in_force, &self.resolver).await;
        self.replace(in_force, parts, is_peer)
            .map_err(|error| vec![error])?;
        Ok(changes)
    }

    fn replace(&mut self, in_force: Config, parts: Parts, is_peer: PeerCheck) -> Result<(), AppError> {
        match (&self.deliverer, parts.sending) {
            (Some(deliverer), Some(sending)) => deliverer.reload(sending),
            // Until now nobody was to be told.
            (None, Some(_)) => {
                let stopped = self.stop_webhooks.subscribe();
                (self.deliverer, self.webhooks) = start_webhooks(&in_force, &self.store, stopped)?;
            }
            // What waits in the outbox is still sent, signed as before.
            (_, None) => {}
        }
        if self.config.webhook.secrets != in_force.webhook.secrets {
            log_public_keys(&in_force);
        }
        self.peers.replace(is_peer);
        self.gate.lock().heed_lateness(in_force.policy.refuse_when_late);
        // What the API accepts, the dialer knows by then.
        self.dialer.reload(parts.dialer, Arc::clone(&parts.voices));
        self.resolver.keep_only(build::target_hosts(&in_force));
        if let (Some(announcer), Some(config)) = (&self.announcer, parts.announcer) {
            announcer.reload(config);
        }
        self.state.reload(parts.api);
        self.voices = parts.voices;
        self.config = in_force;
        Ok(())
    }
}

fn parts(
    in_force: &Config,
    voices: Arc<Catalogue>,
    public_url: String,
    seed: [u8; 32],
) -> Result<Parts, AppError> {
    let dialer = build::dialer(in_force)?;
    super::warn_of_shown_keys(in_force);
    let message_check = build::message_check(dialer.profiles.clone(), Arc::clone(&voices));
    Ok(Parts {
        api: build::api(in_force, public_url, seed, message_check)?,
        announcer: build::announcer(in_force, &voices)?,
        sending: build::webhooks(in_force)?.map(Sending::new).transpose()?,
        dialer,
        voices,
    })
}
