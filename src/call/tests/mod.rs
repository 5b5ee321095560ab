//! A call in virtual time, against the real UAS machine, a link that delays and loses, and a leg that plays.
mod answer;
mod early;
mod ends;
mod failing_over;
mod keys;
mod random_input;
mod reoffer;
mod screening;
mod seen;
mod srtp;
mod unanswered;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use super::*;
use crate::ivr::{Script, phrase};
use crate::media::frame::Clip;
use crate::media::press::DtmfMode;
use crate::media::voice::Voice;
use crate::model::{Codec, Digits, Masked, Method};
use crate::sip::invite::{Failover, InviteConfig, TimerConfig, Transport};
use crate::sip::message::NameAddr;
use world::{Act, World};

/// Every sentence lasts a second, every digit 200 ms.
static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(voice(phrase::ALL)));

fn voice(names: &[&str]) -> Voice {
    let mut clips: BTreeMap<String, Arc<Clip>> = BTreeMap::new();
    let mut phrases = BTreeMap::new();
    let mut clip = |name: String, ms: u32| {
        clips.insert(name.clone(), Arc::new(Clip::silence(ms)));
        name
    };
    for digit in 0..10 {
        clip(format!("digit-{digit}"), 200);
    }
    clip("brand-default".to_owned(), 400);
    for name in names {
        let items = match *name {
            phrase::CODE | phrase::CODE_AGAIN => vec!["digits:{code}".to_owned()],
            phrase::RANDOM => vec![clip("press".to_owned(), 800), "digit:{key}".to_owned()],
            phrase::CONFIRM => vec!["brand".to_owned(), clip("press-pound".to_owned(), 600)],
            other => vec![clip(format!("say-{other}"), 1000)],
        };
        phrases.insert((*name).to_owned(), items);
    }
    Voice::new("en-US", clips, phrases)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn code(text: &str) -> Option<Masked<Digits>> {
    Some(Masked::new(Digits::parse(text).unwrap()))
}

fn spec(method: Method) -> CallSpec {
    CallSpec {
        invite: InviteConfig {
            target: address("192.0.2.10:5060"),
            local: address("192.0.2.1:5060"),
            public: None,
            transport: Transport::Udp,
            request_uri: "sip:+15005550001@192.0.2.10".parse().unwrap(),
            from: NameAddr::new("sip:+18005550199@192.0.2.1".parse().unwrap()),
            to: NameAddr::new("sip:+15005550001@192.0.2.10".parse().unwrap()),
            contact_user: "ringproof".to_owned(),
            route: Vec::new(),
            extra_headers: Vec::new(),
            user_agent: "Ringproof".to_owned(),
            call_id: "call-1@192.0.2.1".to_owned(),
            credentials: None,
            peers: Vec::new(),
            rel100: true,
            timers: TimerConfig::default(),
            failover: Failover::default(),
        },
        local_media: address("192.0.2.1:20000"),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        rtcp_mux: false,
        srtp: crate::model::SrtpPolicy::Off,
        srtp_profile: crate::model::SrtpProfile::Savp,
        dtmf: DtmfMode::Auto,
        learn: false,
        tape: None,
        method,
        code: match method {
            Method::MatchCode | Method::SpeakCode => code("481920"),
            Method::PressKey | Method::RandomKey => None,
        },
        extension: None,
        script: Script::default(),
        voice: Arc::clone(&VOICE),
        brand: None,
        message: BTreeMap::new(),
        timings: CallTimings::default(),
    }
}
