//! Requests and responses as values (RFC 3261 §7, §8). **The only file that names `rsip`.**
//!
//! `rsip` gives the vocabulary: its `Header` is what [`Headers`] stores, its `StatusCode` what a status means, its
//! `Method` what a method can be exchanged for. Reading is ours, in [`wire`](super::wire), because `rsip` reads
//! neither compact names, folds, lists, IPv6, unknown methods nor Latin-1.
//!
//! ```text
//!  octets ── Message::parse ──┬─▶ Message::Request │ Message::Response ── to_bytes ──▶ octets
//!                             ├─▶ ParseError::KeepAlive │ NotSip │ BadResponse   (drop)
//!                             └─▶ ParseError::BadRequest ── reply(to_tag) ──▶ Response 400, 413, 505, …
//! ```
//! Invariants:
//! - A parsed request has a readable Via, From, To, Call-ID and CSeq, its CSeq names its method, its Request-URI is
//!   of a scheme we know; a parsed response has the same five fields. Each of them but Via stands there once.
//! - Content-Length exists on the wire only: here the body is a vector that knows its length.
//! - `parse(to_bytes(m)) == m`, and no value holds a line end.
use std::borrow::Cow;

use rsip::headers::UntypedHeader;

use super::uri::Uri;
use super::wire::{self, FieldName, FrameError, HEADER_BYTES_MAX, HEADERS_MAX, HeaderName, Shape};

mod check;
mod error;
mod fields;
mod method;
mod multipart;
mod name_addr;
mod parse;
mod reply;
mod trace;
mod values;
mod via;

pub use error::{BadRequest, Fault, HeaderError, ParseError};
pub use fields::{Contacts, SessionExpires};
pub use method::Method;
pub use name_addr::NameAddr;
pub use reply::stateless_tag;
pub use trace::Numbers;
pub use values::{CSeq, RAck, ReasonHeader, Refresher};
pub use via::{MAGIC_COOKIE, Via};

#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    Request(Request),
    Response(Response),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: Headers,
    pub body: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Any text; for people only.
    pub reason: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// Header fields in order, under long canonical names. A field of a list header keeps its line as it was written;
/// [`Headers::all`] splits it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<rsip::Header>);

impl Message {
    /// One datagram, or one [`Frame::Message`](super::wire::Frame) of a stream.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        parse::parse(bytes)
    }

    /// What a stream that could not be cut any further held: a refusal where a request can be made out.
    #[must_use]
    pub fn unframed(head: &[u8], error: FrameError) -> ParseError {
        parse::unframed(head, error)
    }

    #[must_use]
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    #[must_use]
    pub const fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Self::Request(request) => &mut request.headers,
            Self::Response(response) => &mut response.headers,
        }
    }

    #[must_use]
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl Request {
    #[must_use]
    pub const fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: Headers(Vec::new()),
            body: Vec::new(),
        }
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.headers.set("Content-Type", content_type);
        self.body = body;
        self
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96 + self.headers.wire_len() + self.body.len());
        write_line(&mut bytes, format!("{} {} SIP/2.0", self.method, self.uri));
        self.headers.write(&mut bytes, &self.body);
        bytes
    }
}

impl Response {
    /// A response to nothing yet: [`Response::reply_to`] is what a User Agent wants.
    #[must_use]
    pub fn new(status: u16, reason: Option<&str>) -> Self {
        let reason = wire::clean(Cow::Borrowed(reason.unwrap_or_else(|| reason_phrase(status))))
            .trim()
            .to_owned();
        Self {
            status,
            reason,
            headers: Headers(Vec::new()),
            body: Vec::new(),
        }
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.headers.set("Content-Type", content_type);
        self.body = body;
        self
    }

    #[must_use]
    pub const fn is_provisional(&self) -> bool {
        self.status < 200
    }

    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.status >= 200
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.headers.wire_len() + self.body.len());
        write_line(&mut bytes, format!("SIP/2.0 {} {}", self.status, self.reason));
        self.headers.write(&mut bytes, &self.body);
        bytes
    }
}

impl Headers {
    /// The first field of that name, its whole line; long and compact names, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines(name).next()
    }

    /// Every value of that name in order, list lines split.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let wanted = Wanted::of(name);
        let is_list = wanted.is_list();
        self.matching(wanted).flat_map(move |line| {
            let (list, single) = if is_list {
                (Some(wire::split_list(line)), None)
            } else {
                (None, Some(line))
            };
            list.into_iter().flatten().chain(single)
        })
    }

    /// Every field of that name in order, lists not split.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.matching(Wanted::of(name))
    }

    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Appends. Control characters become spaces; beyond the limit of fields nothing is added.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.insert(self.0.len(), name, value);
    }

    /// Puts a field before all others: a Via of our own.
    pub fn push_front(&mut self, name: &str, value: impl Into<String>) {
        self.insert(0, name, value);
    }

    /// One field of that name remains, where the first one stood.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let wanted = Wanted::of(name);
        let at = self
            .0
            .iter()
            .position(|header| wanted.is(header))
            .unwrap_or(self.0.len());
        self.0.retain(|header| !wanted.is(header));
        self.insert(at, name, value);
    }

    /// Takes every field of that name away.
    pub fn remove(&mut self, name: &str) {
        let wanted = Wanted::of(name);
        self.0.retain(|header| !wanted.is(header));
    }

    /// Canonical names and lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(parts)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// No field is longer than one that we would read: an answer adds to what it repeats.
    pub(crate) fn is_readable(&self) -> bool {
        self.iter()
            .all(|(name, value)| name.len() + ": ".len() + value.len() <= HEADER_BYTES_MAX)
    }

    /// Gives back the room for fields that were never added.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Hops left, RFC 3261 §8.1.1.6.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u32> {
        self.0.iter().find_map(|header| match header {
            rsip::Header::MaxForwards(field) => field.num().ok(),
            _ => None,
        })
    }

    /// Seconds; an unreadable value counts as none (RFC 3261 §20.19).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.0.iter().find_map(|header| match header {
            rsip::Header::Expires(field) => field.seconds().ok(),
            _ => None,
        })
    }

    /// Seconds, in a 423 to REGISTER.
    #[must_use]
    pub fn min_expires(&self) -> Option<u32> {
        self.0.iter().find_map(|header| match header {
            rsip::Header::MinExpires(field) => field.value().parse().ok(),
            _ => None,
        })
    }

    fn matching<'a>(&'a self, wanted: Wanted) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0
            .iter()
            .filter(move |header| wanted.is(header))
            .map(|header| parts(header).1)
    }

    fn insert(&mut self, at: usize, name: &str, value: impl Into<String>) {
        let value = match wire::clean(Cow::Owned(value.into())) {
            Cow::Borrowed(value) => value.trim().to_owned(),
            Cow::Owned(value) if value.trim().len() == value.len() => value,
            Cow::Owned(value) => value.trim().to_owned(),
        };
        let header = match HeaderName::find(name.as_bytes()) {
            Some(HeaderName::ContentLength) => return,
            Some(known) => header(known, value),
            None if !name.is_empty() && name.bytes().all(wire::is_token) => {
                rsip::Header::Other(name.to_owned(), value)
            }
            None => return,
        };
        if self.0.len() < HEADERS_MAX {
            self.0.insert(at.min(self.0.len()), header);
        }
    }

    /// A field as the lexer read it. Content-Length never comes here.
    pub(super) fn push_lexed(&mut self, name: &FieldName<'_>, value: Cow<'_, str>) {
        self.0.push(match name {
            FieldName::Known(known) => header(*known, value.into_owned()),
            FieldName::Other(name) => rsip::Header::Other((*name).to_owned(), value.into_owned()),
        });
    }

    pub(super) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// The field at a place in the order, to be replaced by a new line of the same name.
    fn replace_first(&mut self, name: HeaderName, value: String) {
        let wanted = Wanted::Known(name);
        if let Some(field) = self.0.iter_mut().find(|field| wanted.is(field)) {
            *field = header(name, value);
        }
    }

    fn wire_len(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum::<usize>()
            + 32
    }

    /// Fields, Content-Length, the empty line, the body.
    fn write(&self, bytes: &mut Vec<u8>, body: &[u8]) {
        for (name, value) in self.iter() {
            for part in [name, ": ", value, "\r\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        write_line(bytes, format!("Content-Length: {}", body.len()));
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
    }
}

/// Fields of the values are public: whatever stands in them, the line stays one line.
fn write_line(bytes: &mut Vec<u8>, line: String) {
    bytes.extend_from_slice(wire::clean(Cow::Owned(line)).as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

/// A name to look for: by kind where we know it, by text otherwise.
enum Wanted {
    Known(HeaderName),
    Other(Box<str>),
}

impl Wanted {
    fn of(name: &str) -> Self {
        HeaderName::find(name.as_bytes()).map_or_else(|| Self::Other(name.into()), Self::Known)
    }

    fn is_list(&self) -> bool {
        match self {
            Self::Known(name) => name.shape() == Shape::List,
            Self::Other(_) => false,
        }
    }

    fn is(&self, header: &rsip::Header) -> bool {
        match (self, header) {
            // What `rsip` does not know stands under its canonical name.
            (Self::Known(known), rsip::Header::Other(name, _)) => known.as_str() == name,
            (Self::Known(known), _) => kind(header) == Some(*known),
            (Self::Other(text), _) => text.eq_ignore_ascii_case(parts(header).0),
        }
    }
}

macro_rules! vocabulary {
    ($($id:ident),* $(,)?) => {
        /// A field of `rsip`'s vocabulary; what it does not know goes under its canonical name.
        fn header(name: HeaderName, value: String) -> rsip::Header {
            match name {
                $(HeaderName::$id => rsip::Header::$id(rsip::headers::$id::from(value)),)*
                other => rsip::Header::Other(other.as_str().to_owned(), value),
            }
        }

        /// Which of `rsip`'s vocabulary a field is.
        const fn kind(header: &rsip::Header) -> Option<HeaderName> {
            match header {
                $(rsip::Header::$id(_) => Some(HeaderName::$id),)*
                rsip::Header::Other(..) => None,
            }
        }

        /// The canonical name and the line of a field.
        fn parts(header: &rsip::Header) -> (&str, &str) {
            match header {
                $(rsip::Header::$id(field) => (HeaderName::$id.as_str(), field.value()),)*
                rsip::Header::Other(name, value) => (name, value),
            }
        }
    };
}

vocabulary! {
    Accept, AcceptEncoding, AcceptLanguage, AlertInfo, Allow, AuthenticationInfo, Authorization, CSeq, CallId, CallInfo,
    Contact, ContentDisposition, ContentEncoding, ContentLanguage, ContentLength, ContentType, Date, ErrorInfo, Event,
    Expires, From, InReplyTo, MaxForwards, MimeVersion, MinExpires, Organization, Priority, ProxyAuthenticate,
    ProxyAuthorization, ProxyRequire, RecordRoute, ReplyTo, Require, RetryAfter, Route, Server, Subject,
    SubscriptionState, Supported, Timestamp, To, Unsupported, UserAgent, Via, Warning, WwwAuthenticate,
}

/// The phrase the standards give to a status; for one they do not know, that of its class (RFC 3261 §8.1.3.2).
#[must_use]
pub fn reason_phrase(status: u16) -> &'static str {
    let code = rsip::StatusCode::from(status);
    request_failure_phrase(&code)
        .or_else(|| other_phrase(&code))
        .unwrap_or_else(|| class_phrase(status))
}

fn request_failure_phrase(code: &rsip::StatusCode) -> Option<&'static str> {
    use rsip::StatusCode as S;
    Some(match code {
        S::BadRequest => "Bad Request",
        S::Unauthorized => "Unauthorized",
        S::PaymentRequired => "Payment Required",
        S::Forbidden => "Forbidden",
        S::NotFound => "Not Found",
        S::MethodNotAllowed => "Method Not Allowed",
        S::NotAcceptable => "Not Acceptable",
        S::ProxyAuthenticationRequired => "Proxy Authentication Required",
        S::RequestTimeout => "Request Timeout",
        S::Conflict => "Conflict",
        S::Gone => "Gone",
        S::LengthRequired => "Length Required",
        S::ConditionalRequestFailed => "Conditional Request Failed",
        S::RequestEntityTooLarge => "Request Entity Too Large",
        S::RequestUriTooLong => "Request-URI Too Long",
        S::UnsupportedMediaType => "Unsupported Media Type",
        S::UnsupportedUriScheme => "Unsupported URI Scheme",
        S::UnknownResourcePriority => "Unknown Resource-Priority",
        S::BadExtension => "Bad Extension",
        S::ExtensionRequired => "Extension Required",
        S::SessionIntervalTooSmall => "Session Interval Too Small",
        S::IntervalTooBrief => "Interval Too Brief",
        S::BadLocationInformation => "Bad Location Information",
        S::UseIdentityHeader => "Use Identity Header",
        S::ProvideReferrerIdentity => "Provide Referrer Identity",
        S::AnonymityDisallowed => "Anonymity Disallowed",
        S::BadIdentityInfo => "Bad Identity-Info",
        S::UnsupportedCertificate => "Unsupported Certificate",
        S::InvalidIdentityHeader => "Invalid Identity Header",
        S::FirstHopLacksOutboundSupport => "First Hop Lacks Outbound Support",
        S::MaxBreadthExceeded => "Max-Breadth Exceeded",
        S::BadInfoPackage => "Bad Info Package",
        S::ConsentNeeded => "Consent Needed",
        S::TemporarilyUnavailable => "Temporarily Unavailable",
        S::CallTransactionDoesNotExist => "Call/Transaction Does Not Exist",
        S::LoopDetected => "Loop Detected",
        S::TooManyHops => "Too Many Hops",
        S::AddressIncomplete => "Address Incomplete",
        S::Ambiguous => "Ambiguous",
        S::BusyHere => "Busy Here",
        S::RequestTerminated => "Request Terminated",
        S::NotAcceptableHere => "Not Acceptable Here",
        S::BadEvent => "Bad Event",
        S::RequestPending => "Request Pending",
        S::Undecipherable => "Undecipherable",
        S::SecurityAgreementRequired => "Security Agreement Required",
        _ => return None,
    })
}

fn other_phrase(code: &rsip::StatusCode) -> Option<&'static str> {
    use rsip::StatusCode as S;
    Some(match code {
        S::Trying => "Trying",
        S::Ringing => "Ringing",
        S::CallIsBeingForwarded => "Call Is Being Forwarded",
        S::Queued => "Queued",
        S::SessionProgress => "Session Progress",
        S::EarlyDialogTerminated => "Early Dialog Terminated",
        S::OK => "OK",
        S::Accepted => "Accepted",
        S::NoNotification => "No Notification",
        S::MultipleChoices => "Multiple Choices",
        S::MovedPermanently => "Moved Permanently",
        S::MovedTemporarily => "Moved Temporarily",
        S::UseProxy => "Use Proxy",
        S::AlternativeService => "Alternative Service",
        S::ServerInternalError => "Server Internal Error",
        S::NotImplemented => "Not Implemented",
        S::BadGateway => "Bad Gateway",
        S::ServiceUnavailable => "Service Unavailable",
        S::ServerTimeOut => "Server Time-out",
        S::VersionNotSupported => "Version Not Supported",
        S::MessageTooLarge => "Message Too Large",
        S::PreconditionFailure => "Precondition Failure",
        S::BusyEverywhere => "Busy Everywhere",
        S::Decline => "Decline",
        S::DoesNotExistAnywhere => "Does Not Exist Anywhere",
        S::NotAcceptableGlobal => "Not Acceptable",
        S::Unwanted => "Unwanted",
        S::Other(608, _) => "Rejected",
        _ => return None,
    })
}

fn class_phrase(status: u16) -> &'static str {
    use rsip::common::status_code::StatusCodeKind as Kind;
    match rsip::StatusCode::from(status).kind() {
        Kind::Provisional => "Progress",
        Kind::Successful => "Success",
        Kind::Redirection => "Redirection",
        Kind::RequestFailure => "Request Failure",
        Kind::ServerFailure => "Server Failure",
        Kind::GlobalFailure => "Global Failure",
        Kind::Other => "Unknown",
    }
}

/// Methods exchange with `rsip`'s, which knows fourteen; `None` for any other.
impl Method {
    #[must_use]
    pub(crate) fn from_vocabulary(token: &str) -> Option<Self> {
        use rsip::Method as M;
        // `rsip` reads without regard to case, but a method is case-sensitive (RFC 3261 §7.1).
        if !token.bytes().all(|b| b.is_ascii_uppercase()) {
            return None;
        }
        token.parse().ok().map(|method| match method {
            M::Ack => Self::Ack,
            M::Bye => Self::Bye,
            M::Cancel => Self::Cancel,
            M::Info => Self::Info,
            M::Invite => Self::Invite,
            M::Message => Self::Message,
            M::Notify => Self::Notify,
            M::Options => Self::Options,
            M::PRack => Self::Prack,
            M::Publish => Self::Publish,
            M::Refer => Self::Refer,
            M::Register => Self::Register,
            M::Subscribe => Self::Subscribe,
            M::Update => Self::Update,
        })
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torture;
