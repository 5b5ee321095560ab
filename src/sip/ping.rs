//! One OPTIONS to a target, to learn whether it lives (RFC 3261 §11). PURE, like everything here.
//!
//! Retransmitted as any request is, and given up before timer F: whoever needs longer than that is no use to a call.
//! A challenge is an answer like any other: no credentials are sent.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dialog::MAX_FORWARDS;
use super::endpoint::{Endpoint, EndpointConfig, SDP};
use super::message::{CSeq, Message, Method, NameAddr, Request};
use super::transaction::table::{Completion, Reply};
use super::transaction::timer::{TimerConfig, Transport, earliest};
use super::uri::Uri;
use crate::model::Entropy;

/// The longest that an answer is waited for.
pub const PING_MAX: Duration = Duration::from_secs(4);

#[derive(Debug, Clone)]
pub struct PingConfig {
    pub target: SocketAddr,
    /// Ours: sent-by of Via, host of From and Contact, unless `public` is set.
    pub local: SocketAddr,
    pub public: Option<SocketAddr>,
    pub transport: Transport,
    /// `sip:host` of the target.
    pub request_uri: Uri,
    pub user: String,
    pub user_agent: String,
    pub call_id: String,
    pub timers: TimerConfig,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time goes in, and none is kept"
)]
pub enum Input {
    Message { message: Message, source: SocketAddr },
    Timeout,
    TransportError,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Final { status: u16, retry_after_s: Option<u32> },
    Nothing,
}

#[derive(Debug)]
pub struct Ping {
    ua: Endpoint,
    give_up_at: Instant,
}

impl Ping {
    /// Makes the OPTIONS; [`Ping::take_sends`] has its octets.
    #[must_use]
    pub fn start(now: Instant, config: PingConfig, entropy: Entropy) -> Self {
        let PingConfig { public, local, .. } = config;
        let ours = public.unwrap_or(local);
        let mut ua = Endpoint::new(
            EndpointConfig {
                target: config.target,
                local,
                public,
                transport: config.transport,
                contact_user: config.user.clone(),
                user_agent: config.user_agent,
                peers: Vec::new(),
                timers: config.timers,
                supported: "",
                credentials: None,
            },
            entropy,
        );
        let uri = config.request_uri.into_request_uri();
        let mut options = Request::new(Method::Options, uri.clone());
        let from = NameAddr::new(Uri::sip(Some(&config.user), ours.ip(), None));
        let tag = ua.entropy.token();
        options.headers.push("Max-Forwards", MAX_FORWARDS);
        options.headers.push("From", from.with_tag(&tag).to_string());
        options.headers.push("To", NameAddr::new(uri).to_string());
        options.headers.push("Call-ID", config.call_id);
        options
            .headers
            .push("CSeq", CSeq::new(1, Method::Options).to_string());
        options.headers.push("Contact", ua.contact().to_string());
        options.headers.push("Accept", SDP);
        let _ = ua.send_to_target(now, options);
        Self {
            ua,
            give_up_at: now + PING_MAX,
        }
    }

    /// `Some` ends it.
    pub fn handle(&mut self, now: Instant, input: Input) -> Option<Answer> {
        let completions = match input {
            Input::Message { message, source } => self.received(now, message, source),
            Input::Timeout if now >= self.give_up_at => return Some(Answer::Nothing),
            Input::Timeout => self.ua.transactions.handle_timeout(now).0,
            Input::TransportError => return Some(Answer::Nothing),
        };
        completions
            .into_iter()
            .find_map(|completion| match completion.reply {
                Reply::Response(response) if response.is_provisional() => None,
                Reply::Response(response) => Some(Answer::Final {
                    status: response.status,
                    retry_after_s: response.headers.retry_after(),
                }),
                Reply::TimedOut | Reply::TransportFailed => Some(Answer::Nothing),
            })
    }

    /// Octets to be sent now, with where they go.
    pub fn take_sends(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let transmits = self.ua.transactions.take_transmits().into_iter();
        transmits.map(|transmit| (transmit.to, transmit.bytes)).collect()
    }

    /// The next deadline and its name, for the log.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        earliest(
            Some((self.give_up_at, "ping")),
            self.ua.transactions.poll_timeout(),
        )
    }

    fn received(&mut self, now: Instant, message: Message, source: SocketAddr) -> Vec<Completion> {
        match message {
            Message::Response(response) if self.ua.listens_to(source, std::iter::empty()) => self
                .ua
                .transactions
                .receive_response(now, Box::new(response))
                .unwrap_or_default(),
            Message::Response(_) | Message::Request(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Response;

    fn ping() -> (Ping, Instant, Request) {
        let now = crate::sip::epoch();
        let config = PingConfig {
            target: "192.0.2.10:5060".parse().unwrap(),
            local: "192.0.2.1:5060".parse().unwrap(),
            public: None,
            transport: Transport::Udp,
            request_uri: "sip:carrier.example".parse().unwrap(),
            user: "ringproof".to_owned(),
            user_agent: "Ringproof".to_owned(),
            call_id: "ping-1".to_owned(),
            timers: TimerConfig::default(),
        };
        let mut ping = Ping::start(now, config, Entropy::from_number(1));
        let sends = ping.take_sends();
        assert_eq!(sends.len(), 1);
        let Message::Request(request) = Message::parse(&sends[0].1).unwrap() else {
            panic!("no request")
        };
        (ping, now, request)
    }

    fn answer(request: &Request, status: u16, source: &str, fields: &[(&str, &str)]) -> Input {
        let mut response = Response::reply_to(request, status, None).with_to_tag("t");
        for (name, value) in fields {
            response.headers.push(name, *value);
        }
        Input::Message {
            message: Message::parse(&response.to_bytes()).unwrap(),
            source: source.parse().unwrap(),
        }
    }

    #[test]
    fn any_final_response_of_the_target_ends_it() {
        for status in [200, 404, 405, 408, 481, 503, 603] {
            let (mut ping, now, request) = ping();
            assert_eq!(request.method, Method::Options);
            let trying = answer(&request, 100, "192.0.2.10:5060", &[]);
            assert_eq!(ping.handle(now, trying), None);
            let stranger = answer(&request, status, "198.51.100.1:5060", &[]);
            assert_eq!(ping.handle(now, stranger), None);
            let input = answer(&request, status, "192.0.2.10:5060", &[("Retry-After", "7")]);
            let ended = Answer::Final {
                status,
                retry_after_s: Some(7),
            };
            assert_eq!(ping.handle(now, input), Some(ended));
        }
    }

    #[test]
    fn silence_is_four_tries_and_an_end_after_four_seconds() {
        let (mut ping, start, _) = ping();
        let mut sent = 1;
        loop {
            let (at, _) = ping.poll_timeout().unwrap();
            let ended = ping.handle(at, Input::Timeout);
            sent += ping.take_sends().len();
            if ended.is_some() {
                assert_eq!((ended, at), (Some(Answer::Nothing), start + PING_MAX));
                break;
            }
        }
        assert_eq!(sent, 4);
        let (mut ping, now, _) = self::ping();
        assert_eq!(ping.handle(now, Input::TransportError), Some(Answer::Nothing));
    }
}
