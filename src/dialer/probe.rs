//! One OPTIONS to each destination of a trunk, as a person who connects it wants to know: is there an address, does
//! anybody answer, does it take our credentials.
//!
//! ```text
//! locate ──► route ─► OPTIONS ──┬─ any final answer ─► Answered      (401, 407: once more, with credentials)
//!                 └► datagram ──┼─ ICMP port unreachable ─► Refused   (UDP)
//!                               ├─ no connection, no believable certificate ─► NoConnection   (TCP, TLS)
//!                               └─ neither within the patience ─► Silent
//! ```
//! It places no call and changes no trunk's health. The INVITE's own listener sends, so that the peer sees the address
//! and port that a call would come from.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::UdpSocket;

use super::reach::{Place, place};
use super::{DialerConfig, Trunk};
use crate::model::Entropy;
use crate::net::resolver::Resolver;
use crate::net::sip_net::{CallQueue, Connection, Inbound, Local, SipNet, TlsPolicy};
use crate::sip::digest::{Challenge, DigestClient, DigestError, RequestChallenges};
use crate::sip::locate::Target;
use crate::sip::message::{CSeq, MAGIC_COOKIE, Message, Method, NameAddr, Request, Response, Via};
use crate::sip::transaction::table::{Completion, Reply, Transactions};
use crate::sip::transaction::timer::TimerConfig;
use crate::sip::transport::{Destination, SipTransport};
use crate::sip::uri::Uri;

/// Destinations that are asked, each with a Call-ID of its own.
pub const PROBES_MAX: usize = 64;
/// Answers to a challenge of one OPTIONS, so that nobody can make us go on for ever.
const REQUESTS_MAX: u32 = 3;

/// What one destination did.
#[derive(Debug, Clone)]
pub struct Probe {
    /// As configured.
    pub target: Target,
    /// One of those that the target was located at; `None` when it leads nowhere.
    pub destination: Option<Destination>,
    /// What the peer sees when no NAT is between.
    pub local: Option<SocketAddr>,
    pub heard: Heard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The name leads nowhere.
    NoAddress(String),
    /// No listener or no route fits the address, or the datagram could not leave.
    NoRoute(String),
    /// ICMP: nobody listens on that port.
    Refused,
    /// TCP or TLS: why there is no connection.
    NoConnection(String),
    /// Nothing came back in this time.
    Silent(Duration),
    Answered(Answer),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    /// `Server` or `User-Agent` of the peer.
    pub server: Option<String>,
    /// From the first OPTIONS to the last answer.
    pub after: Duration,
    pub auth: Auth,
}

/// What came of a 401 or 407.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    NotAsked,
    /// The trunk has none.
    NoCredentials {
        realm: String,
    },
    Accepted {
        realm: String,
    },
    Rejected {
        realm: String,
    },
    /// A realm or an algorithm that we do not answer.
    NotAnswered {
        realm: String,
        why: String,
    },
}

/// Asks every destination of the trunk whether it is alive: in the order of the targets, all at the same time.
pub async fn probe(
    sip: &SipNet,
    resolver: &Resolver,
    config: &DialerConfig,
    trunk: &Trunk,
    patience: Duration,
    mut entropy: Entropy,
) -> Vec<Probe> {
    let located = join_all(trunk.targets.iter().map(|target| resolver.locate(target))).await;
    let mut asked = Vec::new();
    for (target, found) in trunk.targets.iter().zip(located) {
        match found {
            Ok(destinations) => {
                asked.extend(
                    destinations
                        .into_iter()
                        .map(|destination| (target, Ok(place(target, destination)))),
                );
            }
            Err(error) => asked.push((target, Err(error.to_string()))),
        }
    }
    asked.truncate(PROBES_MAX);
    let probes = asked.into_iter().map(|(target, found)| {
        let entropy = entropy.fork();
        async move {
            match found {
                Ok(place) => ask(sip, config, trunk, target, place, patience, entropy).await,
                Err(why) => Probe {
                    target: target.clone(),
                    destination: None,
                    local: None,
                    heard: Heard::NoAddress(why),
                },
            }
        }
    });
    join_all(probes).await
}

async fn ask(
    sip: &SipNet,
    config: &DialerConfig,
    trunk: &Trunk,
    target: &Target,
    place: Place,
    patience: Duration,
    entropy: Entropy,
) -> Probe {
    let to = &place.destination;
    let is_stream = to.transport.is_stream();
    let (local, heard) = match sip.local_for(to, trunk.tls.as_ref()).await {
        Err(error) => (None, Heard::NoRoute(error.to_string())),
        Ok(local) => {
            let exchange = Exchange::new(config, trunk, &place, local, entropy);
            let heard = tokio::select! {
                biased;
                heard = exchange.run(sip) => heard,
                () = refused(local.address, to.address), if !is_stream => Heard::Refused,
                () = tokio::time::sleep(patience) => Heard::Silent(patience),
            };
            (Some(local.address), heard)
        }
    };
    Probe {
        target: target.clone(),
        destination: Some(place.destination),
        local,
        heard,
    }
}

/// Ends when the port is closed. An unconnected socket, as the listener's is, never hears of ICMP.
async fn refused(local: SocketAddr, to: SocketAddr) {
    let asked = async {
        let socket = UdpSocket::bind((local.ip(), 0)).await?;
        socket.connect(to).await?;
        // RFC 5626 §3.5.1: a keep-alive, which asks for no answer.
        socket.send(b"\r\n\r\n").await?;
        let mut answer = [0; 64];
        loop {
            socket.recv(&mut answer).await?;
        }
    };
    let end: std::io::Result<std::convert::Infallible> = asked.await;
    let refused = end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    if !refused {
        std::future::pending::<()>().await;
    }
}

/// Never for a datagram.
async fn lost(connection: Option<&Connection>) {
    match connection {
        Some(connection) => connection.lost().await,
        None => std::future::pending().await,
    }
}

struct Exchange {
    to: Destination,
    tls: Option<Arc<TlsPolicy>>,
    /// That the last request went over.
    connection: Option<Connection>,
    transactions: Transactions,
    options: Request,
    call_id: String,
    via: SocketAddr,
    digest: Option<DigestClient>,
    asked: RequestChallenges,
    auth: Auth,
    entropy: Entropy,
    began: Instant,
}

impl Exchange {
    fn new(config: &DialerConfig, trunk: &Trunk, place: &Place, local: Local, mut entropy: Entropy) -> Self {
        let to = place.destination.clone();
        let via = local.public.unwrap_or(local.address);
        let host = place.host();
        let from = trunk.presentation.from(trunk.caller_id_for(None), &host);
        let uri = Uri::sip(None, host, place.uri_port());
        let call_id = entropy.token();
        let contact = Uri::sip(Some("ringproof"), via.ip(), Some(via.port()));
        let contact = match to.transport {
            SipTransport::Udp => contact,
            stream => contact.with_param("transport", Some(stream.param())),
        };
        let mut options = Request::new(Method::Options, uri.clone());
        let fields = [
            ("Max-Forwards", "70".to_owned()),
            ("From", from.with_tag(&entropy.token()).to_string()),
            ("To", NameAddr::new(uri).to_string()),
            ("Call-ID", call_id.clone()),
            ("CSeq", CSeq::new(1, Method::Options).to_string()),
            ("Contact", NameAddr::new(contact).to_string()),
            ("Accept", "application/sdp".to_owned()),
            ("User-Agent", config.user_agent.clone()),
        ];
        for (name, value) in fields {
            options.headers.push(name, value);
        }
        let timers = TimerConfig {
            t1: config.t1,
            ..TimerConfig::default()
        };
        Self {
            transactions: Transactions::new(timers, to.transport),
            to,
            tls: trunk.tls.clone(),
            connection: None,
            options,
            call_id,
            via,
            digest: trunk.credentials.clone().map(DigestClient::new),
            asked: RequestChallenges::default(),
            auth: Auth::NotAsked,
            entropy,
            began: Instant::now(),
        }
    }

    async fn run(mut self, sip: &SipNet) -> Heard {
        let (_route, mut inbound) = match sip.register(&self.call_id) {
            Ok(registered) => registered,
            Err(error) => return Heard::NoRoute(error.to_string()),
        };
        for seq in 1..=REQUESTS_MAX {
            let response = match self.ask(sip, &mut inbound, seq).await {
                Ok(response) => response,
                Err(heard) => return heard,
            };
            let again = seq < REQUESTS_MAX && self.answers_challenge(&response);
            if !again {
                return Heard::Answered(self.answer(&response));
            }
        }
        Heard::NoRoute("challenged without an end".to_owned())
    }

    /// One transaction, to its final answer.
    async fn ask(&mut self, sip: &SipNet, inbound: &mut CallQueue, seq: u32) -> Result<Box<Response>, Heard> {
        let mut request = self.options.clone();
        let branch = format!("{MAGIC_COOKIE}{}", self.entropy.token());
        let via = Via::new(self.to.transport.via_name(), self.via, &branch);
        request.headers.push_front("Via", via.to_string());
        request
            .headers
            .set("CSeq", CSeq::new(seq, Method::Options).to_string());
        self.transactions
            .request(Instant::now(), request, self.to.address);
        loop {
            for transmit in self.transactions.take_transmits() {
                let sent = sip.send(&self.to, self.tls.as_ref(), &transmit.bytes).await;
                self.connection = sent.map_err(|error| self.unsent(&error))?;
            }
            let connection = self.connection.clone();
            let completions = tokio::select! {
                biased;
                completions = self.next(inbound) => completions,
                () = lost(connection.as_ref()) => {
                    return Err(Heard::NoConnection("the peer closed it without an answer".to_owned()));
                }
            };
            for completion in completions {
                match completion.reply {
                    Reply::Response(response) if response.is_final() => return Ok(response),
                    Reply::Response(_) => {}
                    Reply::TimedOut | Reply::TransportFailed => {
                        return Err(Heard::Silent(self.began.elapsed()));
                    }
                }
            }
        }
    }

    fn unsent(&self, error: &std::io::Error) -> Heard {
        match self.to.transport.is_stream() {
            true => Heard::NoConnection(error.to_string()),
            false => Heard::NoRoute(error.to_string()),
        }
    }

    /// What the next message or timer brings.
    async fn next(&mut self, inbound: &mut CallQueue) -> Vec<Completion> {
        let deadline = self.transactions.poll_timeout().map(|(at, _)| at);
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = inbound.recv() => match message {
                // Only from where it was sent: a stranger who guessed the Call-ID is no carrier.
                Some(Inbound { message: Message::Response(response), source, .. })
                    if source.ip().to_canonical() == self.to.address.ip().to_canonical() =>
                {
                    let received = self.transactions.receive_response(Instant::now(), Box::new(response));
                    received.unwrap_or_default()
                }
                Some(_) => Vec::new(),
                None => std::future::pending().await,
            },
            () = timer => self.transactions.handle_timeout(Instant::now()).0,
        }
    }

    /// Whether the request goes out again; what the challenge came to is in `auth`.
    fn answers_challenge(&mut self, response: &Response) -> bool {
        let challenges = Challenge::parse_all(&response.headers, response.status);
        let realm = || challenges.first().map(|c| c.realm.clone()).unwrap_or_default();
        if !matches!(response.status, 401 | 407) {
            return false;
        }
        let Some(digest) = self.digest.as_mut() else {
            self.auth = Auth::NoCredentials { realm: realm() };
            return false;
        };
        let Request {
            method, uri, body, ..
        } = &self.options;
        let answer = digest.authorize(&mut self.asked, &challenges, method, uri, body, &mut self.entropy);
        match answer {
            Ok((name, value)) => {
                self.options.headers.set(name, value);
                self.auth = Auth::Accepted { realm: realm() };
                true
            }
            Err(DigestError::Refused { realm }) => {
                self.auth = Auth::Rejected { realm };
                false
            }
            Err(error) => {
                self.auth = Auth::NotAnswered {
                    realm: realm(),
                    why: error.to_string(),
                };
                false
            }
        }
    }

    fn answer(&self, response: &Response) -> Answer {
        let server = response
            .headers
            .get("Server")
            .or_else(|| response.headers.get("User-Agent"));
        Answer {
            status: response.status,
            reason: response.reason.clone(),
            server: server.map(|name| name.chars().take(128).collect()),
            after: self.began.elapsed(),
            auth: self.auth.clone(),
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
