//! Our side of one call: addresses, header values, credentials, generator and transactions, shared by its dialogs.
//!
//! It completes requests and responses that the sessions make (Via, Contact, User-Agent, Allow, credentials),
//! finds where they go, and says whose messages are listened to.
//!
//! Invariants:
//! - Every request of ours gets a new branch of 128 random bits.
//! - Credentials leave only towards the address of the trunk's own targets.
//! - Names of hosts are not resolved here: a hop known by name only is reached where the INVITE went.
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialog::Dialog;
use super::digest::{Challenge, Challenger, Credentials, DigestClient, RequestChallenges};
use super::message::{CSeq, MAGIC_COOKIE, Method, NameAddr, Request, Response, Via};
use super::peer::IpNet;
use super::transaction::table::{ClientId, Transactions};
use super::transaction::timer::{TimerConfig, Transport};
use super::uri::Uri;
use crate::model::Entropy;

/// What we answer to; the Allow header field.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK";
pub(crate) const SDP: &str = "application/sdp";
/// Bodies we understand; the Accept header field.
pub(crate) const ACCEPT: &str = "application/sdp, application/dtmf-relay, application/dtmf";
/// Late legs of targets that were left; an INVITE has at most as many answered legs.
const FORMER_DIALOGS_MAX: usize = 16;
/// Hosts of dialogs that are gone.
const HEARD_BEFORE_MAX: usize = 64;
const CREDENTIALS: [&str; 2] = ["Authorization", "Proxy-Authorization"];

#[derive(Debug, Clone)]
pub(crate) struct EndpointConfig {
    /// Where the first request went, or came from.
    pub(crate) target: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Written into Via and Contact in place of `local`.
    pub(crate) public: Option<SocketAddr>,
    pub(crate) transport: Transport,
    pub(crate) contact_user: String,
    pub(crate) user_agent: String,
    pub(crate) peers: Vec<IpNet>,
    pub(crate) timers: TimerConfig,
    /// Option tags of Supported.
    pub(crate) supported: &'static str,
    pub(crate) credentials: Option<Credentials>,
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) transactions: Transactions,
    pub(crate) entropy: Entropy,
    config: EndpointConfig,
    /// Where requests outside the dialogs' routes go: the target, or where it has sent us.
    hop: SocketAddr,
    digest: Option<DigestClient>,
    former: Former,
    /// Hosts of dialogs that are gone: what they repeat is still heard.
    heard_before: Vec<IpAddr>,
}

/// Targets that the first request went to before the present one (RFC 3263 §4.3).
#[derive(Debug, Default)]
struct Former {
    addresses: Vec<SocketAddr>,
    /// Where they had sent us.
    hops: Vec<SocketAddr>,
    /// Dialogs that such a target made after all, by their remote tag, and where they are reached.
    dialogs: Vec<(String, SocketAddr)>,
    /// How each of the addresses and hops knows us.
    sides: Vec<(SocketAddr, Side)>,
}

/// Our side of the way to a target: what Via says.
#[derive(Debug, Clone, Copy)]
struct Side {
    advertised: SocketAddr,
    transport: Transport,
}

impl Endpoint {
    #[must_use]
    pub(crate) fn new(config: EndpointConfig, entropy: Entropy) -> Self {
        Self {
            transactions: Transactions::new(config.timers, config.transport),
            entropy,
            hop: config.target,
            digest: config.credentials.clone().map(DigestClient::new),
            config,
            former: Former::default(),
            heard_before: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn timers(&self) -> TimerConfig {
        self.config.timers
    }

    #[must_use]
    pub(crate) fn target(&self) -> SocketAddr {
        self.hop
    }

    /// The address in this URI, if it is the target's or one of the trunk's `peers`, over our own transport.
    #[must_use]
    pub(crate) fn hop_within_trunk(&self, uri: &Uri) -> Option<SocketAddr> {
        let hop = self.address_of(uri)?;
        let same_transport = uri
            .param("transport")
            .is_none_or(|name| name.eq_ignore_ascii_case(self.config.transport.via_name()));
        let is_ours = hop.ip() == self.config.target.ip().to_canonical()
            || self.config.peers.iter().any(|net| net.contains(hop.ip()));
        (same_transport && is_ours).then_some(hop)
    }

    /// A redirection within the trunk. Credentials stay with the target.
    pub(crate) fn redirect_to(&mut self, hop: SocketAddr) {
        self.hop = hop;
    }

    /// From now on requests outside a dialog go to another target of the same trunk, wherever the old one had sent us.
    /// What still comes from there is listened to.
    pub(crate) fn retarget(
        &mut self,
        target: SocketAddr,
        local: SocketAddr,
        public: Option<SocketAddr>,
        transport: Transport,
    ) {
        let side = self.side();
        self.former.addresses.push(self.config.target);
        self.former.sides.push((self.config.target, side));
        self.former.sides.push((self.hop, side));
        if self.hop != self.config.target {
            self.former.hops.push(self.hop);
        }
        self.hop = target;
        self.config.target = target;
        self.config.local = local;
        self.config.public = public;
        self.config.transport = transport;
        self.transactions.set_transport(transport);
    }

    /// The dialog with this remote tag was made by a target that had been left.
    pub(crate) fn belongs_to(&mut self, remote_tag: &str, target: SocketAddr) {
        if self.former.dialogs.len() < FORMER_DIALOGS_MAX {
            self.former.dialogs.push((remote_tag.to_owned(), target));
        }
    }

    /// Sends a request of a dialog where the dialog's route leads.
    pub(crate) fn send_in_dialog(
        &mut self,
        now: Instant,
        dialog: &Dialog,
        mut request: Request,
    ) -> Option<ClientId> {
        let to = self.next_hop(dialog);
        let side = self.side_of(dialog);
        self.complete(&mut request, to, side);
        self.transactions.set_transport(side.transport);
        let id = self.transactions.request(now, request, to);
        self.transactions.set_transport(self.config.transport);
        id
    }

    /// Sends a request to the target.
    pub(crate) fn send_to_target(
        &mut self,
        now: Instant,
        mut request: Request,
    ) -> Option<(ClientId, Arc<Request>)> {
        let to = self.hop;
        self.complete(&mut request, to, self.side());
        let id = self.transactions.request(now, request, to)?;
        Some((id, self.transactions.sent_request(id)?))
    }

    /// The octets of an ACK to a 2xx: a transaction of its own, with the INVITE's credentials (RFC 3261 §13.2.2.4).
    #[must_use]
    pub(crate) fn ack_bytes(&mut self, dialog: &Dialog, invite: &Request) -> Vec<u8> {
        let seq = invite.headers.cseq().map_or(dialog.local_seq, |cseq| cseq.seq);
        let mut ack = dialog.ack(seq);
        let via = self.new_via(self.side_of(dialog));
        ack.headers.push_front("Via", via.to_string());
        if self.is_trusted_with_credentials(self.next_hop(dialog).ip()) {
            for name in CREDENTIALS {
                for value in invite.headers.lines(name) {
                    ack.headers.push(name, value);
                }
            }
        }
        self.push_user_agent(&mut ack);
        ack.to_bytes()
    }

    /// A response with what every one of ours carries, by method and class.
    #[must_use]
    pub(crate) fn reply(&self, request: &Request, status: u16) -> Response {
        let mut response = Response::reply_to(request, status, None);
        let refreshes = matches!(request.method, Method::Invite | Method::Update);
        if (refreshes && (101..300).contains(&status)) || (request.method == Method::Options && status == 200)
        {
            response.headers.push("Contact", self.contact().to_string());
        }
        if matches!(status, 200..=299 | 405)
            && request.method != Method::Bye
            && request.method != Method::Cancel
        {
            response.headers.push("Allow", ALLOW);
        }
        if refreshes && (101..300).contains(&status) {
            response.headers.push("Supported", self.config.supported);
        }
        if status == 415 || (request.method == Method::Options && status == 200) {
            response.headers.push("Accept", ACCEPT);
        }
        if !self.config.user_agent.is_empty() && status > 100 {
            response.headers.push("Server", self.config.user_agent.as_str());
        }
        response
    }

    /// The request again with credentials for this 401 or 407, its Via gone; `None` when there are none to give.
    pub(crate) fn answer_challenge(
        &mut self,
        request: &Request,
        response: &Response,
        asked: &mut RequestChallenges,
    ) -> Option<Request> {
        let digest = self.digest.as_mut()?;
        let challenges = Challenge::parse_all(&response.headers, response.status);
        let mut again = without_via(request);
        let answered = digest.answer(
            asked,
            &challenges,
            &again.method,
            &again.uri,
            &again.body,
            &mut self.entropy,
        );
        let answered = answered.ok()?;
        let carried = CREDENTIALS.iter().any(|name| again.headers.contains(name));
        // A second realm asks: what the first one got is written anew, since a nonce count may not repeat.
        let answers = if carried {
            digest.headers_for(&again.method, &again.uri, &again.body)
        } else {
            answered
        };
        put_credentials(&mut again, answers);
        Some(again)
    }

    /// The nonce that the trunk wants next, as a success of one of our requests says it.
    pub(crate) fn heed_authentication_info(&mut self, response: &Response) {
        let Some(digest) = &mut self.digest else { return };
        if !response.is_success() {
            return;
        }
        for challenger in [Challenger::Server, Challenger::Proxy] {
            for info in response.headers.lines(challenger.info_header()) {
                digest.heed_info(challenger, info);
            }
        }
    }

    /// Where the next request of this dialog goes.
    #[must_use]
    pub(crate) fn next_hop(&self, dialog: &Dialog) -> SocketAddr {
        self.address_of(dialog.next_hop())
            .unwrap_or_else(|| self.home_of(&dialog.remote_tag))
    }

    /// A message of this call may come from the target, the trunk's peers, the route set and the remote target.
    #[must_use]
    pub(crate) fn listens_to<'a>(
        &self,
        source: SocketAddr,
        mut dialogs: impl Iterator<Item = &'a Dialog>,
    ) -> bool {
        let ip = source.ip().to_canonical();
        self.is_known(ip) || dialogs.any(|dialog| hosts_of(dialog).any(|host| host == ip))
    }

    /// The dialog is gone, but what its hosts repeat is listened to as before.
    pub(crate) fn keep_listening_to(&mut self, dialog: &Dialog) {
        for host in hosts_of(dialog) {
            if !self.is_known(host) && self.heard_before.len() < HEARD_BEFORE_MAX {
                self.heard_before.reserve_exact(1);
                self.heard_before.push(host);
            }
        }
    }

    /// Beside the dialogs that live.
    fn is_known(&self, ip: IpAddr) -> bool {
        self.is_target(ip)
            || self.is_hop(ip)
            || self.heard_before.contains(&ip)
            || self.config.peers.iter().any(|net| net.contains(ip))
    }

    #[must_use]
    pub(crate) fn contact(&self) -> NameAddr {
        self.contact_at(self.advertised())
    }

    /// Contact where somebody else says how we are reached.
    #[must_use]
    pub(crate) fn contact_at(&self, address: SocketAddr) -> NameAddr {
        let user = Some(self.config.contact_user.as_str());
        let uri = Uri::sip(user, address.ip(), Some(address.port()));
        NameAddr::new(match self.config.transport {
            Transport::Udp => uri,
            Transport::Tcp => uri.with_param("transport", Some("tcp")),
            Transport::Tls => uri.with_param("transport", Some("tls")),
        })
    }

    /// The value of a Warning field (RFC 3261 §20.43).
    #[must_use]
    pub(crate) fn warning(&self, (code, text): (u16, &str)) -> String {
        format!("{code} {} \"{text}\"", self.advertised())
    }

    /// RFC 3261 §14.1: who made the Call-ID waits 2.1–4 s after a 491, the other side up to 2 s, in steps of 10 ms.
    pub(crate) fn glare_pause(&mut self, owns_call_id: bool) -> Duration {
        let steps = if owns_call_id {
            210 + self.entropy.below(191)
        } else {
            self.entropy.below(201)
        };
        Duration::from_millis(steps * 10)
    }

    /// Via on top, Contact where the request has one, User-Agent, Allow, Supported, known credentials.
    fn complete(&mut self, request: &mut Request, to: SocketAddr, side: Side) {
        let via = self.new_via(side);
        request.headers.push_front("Via", via.to_string());
        if matches!(request.method, Method::Invite | Method::Update) && !request.headers.contains("Contact") {
            request.headers.push("Contact", self.contact().to_string());
            request.headers.push("Allow", ALLOW);
            request.headers.push("Supported", self.config.supported);
        }
        self.push_user_agent(request);
        if self.is_trusted_with_credentials(to.ip()) {
            self.authorize_early(request);
        } else {
            put_credentials(request, Vec::new());
        }
    }

    /// Credentials that the trunk asked for earlier spare the challenge. CANCEL cannot be challenged (RFC 3261
    /// §22.1), and a request that answers a challenge has its own.
    fn authorize_early(&mut self, request: &mut Request) {
        let carried = CREDENTIALS.iter().any(|name| request.headers.contains(name));
        if let Some(digest) = &mut self.digest
            && !carried
            && request.method != Method::Cancel
        {
            let answers = digest.headers_for(&request.method, &request.uri, &request.body);
            put_credentials(request, answers);
        }
    }

    fn push_user_agent(&self, request: &mut Request) {
        if !self.config.user_agent.is_empty() && !request.headers.contains("User-Agent") {
            request
                .headers
                .push("User-Agent", self.config.user_agent.as_str());
        }
    }

    fn new_via(&mut self, side: Side) -> Via {
        let branch = format!("{MAGIC_COOKIE}{}", self.entropy.token());
        Via::new(side.transport.via_name(), side.advertised, &branch)
    }

    fn side(&self) -> Side {
        Side {
            advertised: self.advertised(),
            transport: self.config.transport,
        }
    }

    /// A dialog of a target that was left goes on over that target's transport.
    fn side_of(&self, dialog: &Dialog) -> Side {
        let left = self
            .former
            .dialogs
            .iter()
            .find(|(tag, _)| *tag == dialog.remote_tag);
        let side = |home: SocketAddr| self.former.sides.iter().find(|(address, _)| *address == home);
        left.and_then(|(_, home)| side(*home))
            .map_or_else(|| self.side(), |(_, side)| *side)
    }

    fn advertised(&self) -> SocketAddr {
        self.config.public.unwrap_or(self.config.local)
    }

    /// Not `peers`: whom we listen to is a wider circle than whom the password concerns (SAFETY 4), and the far end
    /// chooses its Contact and Record-Route within it.
    fn is_trusted_with_credentials(&self, ip: IpAddr) -> bool {
        self.is_target(ip)
    }

    /// The trunk's target, or one that was tried before it.
    fn is_target(&self, ip: IpAddr) -> bool {
        [self.config.target]
            .iter()
            .chain(&self.former.addresses)
            .any(|target| target.ip().to_canonical() == ip.to_canonical())
    }

    /// Where the target, or one that was tried before it, has sent us.
    fn is_hop(&self, ip: IpAddr) -> bool {
        [self.hop]
            .iter()
            .chain(&self.former.hops)
            .any(|hop| hop.ip().to_canonical() == ip.to_canonical())
    }

    /// Where the INVITE went that made this dialog.
    fn home_of(&self, remote_tag: &str) -> SocketAddr {
        self.former
            .dialogs
            .iter()
            .find(|(tag, _)| tag == remote_tag)
            .map_or(self.hop, |(_, target)| *target)
    }

    /// The address in a URI, if a packet of ours may go there.
    fn address_of(&self, uri: &Uri) -> Option<SocketAddr> {
        let ip = ip_of(uri)?;
        let reachable = ip.is_ipv4() == self.config.target.ip().to_canonical().is_ipv4();
        let single = match ip {
            IpAddr::V4(ip) => !ip.is_broadcast() && !ip.is_multicast() && !ip.is_unspecified(),
            IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
        };
        let port = uri.port_or_default();
        (reachable && single && port != 0).then(|| SocketAddr::new(ip, port))
    }
}

#[must_use]
pub(crate) fn without_credentials(mut request: Request) -> Request {
    put_credentials(&mut request, Vec::new());
    request
}

fn put_credentials(request: &mut Request, answers: Vec<(&'static str, String)>) {
    for name in CREDENTIALS {
        request.headers.remove(name);
    }
    for (name, value) in answers {
        request.headers.push(name, value);
    }
}

/// The same request for a new transaction: RFC 3261 §8.1.3.5 keeps all but Via and CSeq.
#[must_use]
pub(crate) fn without_via(request: &Request) -> Request {
    let mut again = request.clone();
    again.headers.remove("Via");
    again
}

pub(crate) fn set_seq(request: &mut Request, seq: u32) {
    let cseq = CSeq::new(seq, request.method.clone());
    request.headers.set("CSeq", cseq.to_string());
}

/// The addresses in a dialog's route set and remote target.
fn hosts_of(dialog: &Dialog) -> impl Iterator<Item = IpAddr> {
    let routes = dialog.route_set.iter().map(|route| &route.uri);
    routes.chain([&dialog.remote_target]).filter_map(ip_of)
}

fn ip_of(uri: &Uri) -> Option<IpAddr> {
    Some(uri.host()?.ip()?.to_canonical())
}
