//! The header fields we know by name: long name, compact name (RFC 3261 §7.3.3 and the IANA table), shape.

/// How values of a header field come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Values separated by commas, over one line or several.
    List,
    /// One value in a message: a second one makes the message ambiguous.
    Single,
    /// One value per line, commas inside; several lines are legal or harmless.
    Line,
}

macro_rules! header_names {
    ($($id:ident $name:literal $compact:literal $shape:ident),* $(,)?) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) enum HeaderName { $($id),* }

        static ENTRIES: &[Entry] = &[$(
            Entry { id: HeaderName::$id, name: $name, compact: $compact, shape: Shape::$shape },
        )*];
    };
}

struct Entry {
    id: HeaderName,
    name: &'static str,
    /// Lower case; a space where there is none.
    compact: char,
    shape: Shape,
}

header_names! {
    Accept "Accept" ' ' List,
    AcceptContact "Accept-Contact" 'a' List,
    AcceptEncoding "Accept-Encoding" ' ' List,
    AcceptLanguage "Accept-Language" ' ' List,
    AlertInfo "Alert-Info" ' ' List,
    Allow "Allow" ' ' List,
    AllowEvents "Allow-Events" 'u' List,
    AuthenticationInfo "Authentication-Info" ' ' Line,
    Authorization "Authorization" ' ' Line,
    CallId "Call-ID" 'i' Single,
    CallInfo "Call-Info" ' ' List,
    Contact "Contact" 'm' List,
    ContentDisposition "Content-Disposition" ' ' Single,
    ContentEncoding "Content-Encoding" 'e' List,
    ContentLanguage "Content-Language" ' ' List,
    ContentLength "Content-Length" 'l' Single,
    ContentType "Content-Type" 'c' Single,
    CSeq "CSeq" ' ' Single,
    Date "Date" ' ' Line,
    Diversion "Diversion" ' ' List,
    ErrorInfo "Error-Info" ' ' List,
    Event "Event" 'o' Single,
    Expires "Expires" ' ' Line,
    From "From" 'f' Single,
    Geolocation "Geolocation" ' ' List,
    HistoryInfo "History-Info" ' ' List,
    Identity "Identity" 'y' Line,
    IdentityInfo "Identity-Info" 'n' Line,
    InReplyTo "In-Reply-To" ' ' List,
    Join "Join" ' ' Single,
    MaxForwards "Max-Forwards" ' ' Single,
    MimeVersion "MIME-Version" ' ' Line,
    MinExpires "Min-Expires" ' ' Line,
    MinSe "Min-SE" ' ' Line,
    Organization "Organization" ' ' Line,
    PAccessNetworkInfo "P-Access-Network-Info" ' ' List,
    PAssertedIdentity "P-Asserted-Identity" ' ' List,
    PAssociatedUri "P-Associated-URI" ' ' List,
    PPreferredIdentity "P-Preferred-Identity" ' ' List,
    Path "Path" ' ' List,
    Priority "Priority" ' ' Line,
    Privacy "Privacy" ' ' Line,
    ProxyAuthenticate "Proxy-Authenticate" ' ' Line,
    ProxyAuthenticationInfo "Proxy-Authentication-Info" ' ' Line,
    ProxyAuthorization "Proxy-Authorization" ' ' Line,
    ProxyRequire "Proxy-Require" ' ' List,
    RAck "RAck" ' ' Single,
    Reason "Reason" ' ' List,
    RecordRoute "Record-Route" ' ' List,
    RecvInfo "Recv-Info" ' ' List,
    ReferTo "Refer-To" 'r' Single,
    ReferredBy "Referred-By" 'b' Line,
    RejectContact "Reject-Contact" 'j' List,
    RemotePartyId "Remote-Party-ID" ' ' List,
    Replaces "Replaces" ' ' Single,
    ReplyTo "Reply-To" ' ' Line,
    RequestDisposition "Request-Disposition" 'd' List,
    Require "Require" ' ' List,
    RetryAfter "Retry-After" ' ' Line,
    Route "Route" ' ' List,
    RSeq "RSeq" ' ' Single,
    Server "Server" ' ' Line,
    ServiceRoute "Service-Route" ' ' List,
    SessionExpires "Session-Expires" 'x' Single,
    SipEtag "SIP-ETag" ' ' Line,
    SipIfMatch "SIP-If-Match" ' ' Line,
    Subject "Subject" 's' Line,
    SubscriptionState "Subscription-State" ' ' Line,
    Supported "Supported" 'k' List,
    Timestamp "Timestamp" ' ' Line,
    To "To" 't' Single,
    Unsupported "Unsupported" ' ' List,
    UserAgent "User-Agent" ' ' Line,
    Via "Via" 'v' List,
    Warning "Warning" ' ' List,
    WwwAuthenticate "WWW-Authenticate" ' ' Line,
}

const LENGTH_MAX: usize = 25;
const PER_LENGTH: usize = 12;
const NONE: u8 = u8::MAX;

#[derive(Clone, Copy)]
struct Place {
    at: u8,
    /// Of the name, in lower case.
    first: u8,
}

const NOWHERE: Place = Place { at: NONE, first: 0 };

/// Entries by length of the name: a look-up compares with the one or two that also share its first letter.
static BY_LENGTH: [[Place; PER_LENGTH]; LENGTH_MAX + 1] = {
    let mut table = [[NOWHERE; PER_LENGTH]; LENGTH_MAX + 1];
    let mut used = [0; LENGTH_MAX + 1];
    let mut at = 0;
    while at < ENTRIES.len() {
        let length = ENTRIES[at].name.len();
        table[length][used[length]] = Place {
            at: at as u8,
            first: ENTRIES[at].name.as_bytes()[0].to_ascii_lowercase(),
        };
        used[length] += 1;
        at += 1;
    }
    table
};

const BY_COMPACT: [u8; 26] = {
    let mut table = [NONE; 26];
    let mut at = 0;
    while at < ENTRIES.len() {
        if ENTRIES[at].compact != ' ' {
            table[ENTRIES[at].compact as usize - 'a' as usize] = at as u8;
        }
        at += 1;
    }
    table
};

impl HeaderName {
    /// Long and compact names, without regard to case.
    pub(crate) fn find(name: &[u8]) -> Option<Self> {
        if let [letter] = name {
            let at = BY_COMPACT.get(usize::from(letter.to_ascii_lowercase().wrapping_sub(b'a')))?;
            return ENTRIES.get(usize::from(*at)).map(|entry| entry.id);
        }
        let first = name.first()?.to_ascii_lowercase();
        BY_LENGTH
            .get(name.len())?
            .iter()
            .take_while(|place| place.at != NONE)
            .filter(|place| place.first == first)
            .filter_map(|place| ENTRIES.get(usize::from(place.at)))
            .find(|entry| entry.name.as_bytes().eq_ignore_ascii_case(name))
            .map(|entry| entry.id)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        ENTRIES[self as usize].name
    }

    pub(crate) const fn shape(self) -> Shape {
        ENTRIES[self as usize].shape
    }

    /// One bit each, for a set of names seen.
    pub(crate) const fn bit(self) -> u128 {
        1 << (self as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_sits_at_its_own_place() {
        for (at, entry) in ENTRIES.iter().enumerate() {
            assert_eq!(entry.id as usize, at);
            assert_eq!(
                HeaderName::find(entry.name.to_uppercase().as_bytes()),
                Some(entry.id)
            );
            assert_eq!(
                HeaderName::find(entry.name.to_lowercase().as_bytes()),
                Some(entry.id)
            );
            assert_eq!(entry.id.as_str(), entry.name);
        }
        assert!(ENTRIES.len() < 128, "the set of names is a u128");
    }

    #[test]
    fn compact_names_stand_for_the_long_ones() {
        for (letter, name) in [
            ("a", "Accept-Contact"),
            ("b", "Referred-By"),
            ("c", "Content-Type"),
            ("d", "Request-Disposition"),
            ("e", "Content-Encoding"),
            ("f", "From"),
            ("i", "Call-ID"),
            ("j", "Reject-Contact"),
            ("k", "Supported"),
            ("l", "Content-Length"),
            ("m", "Contact"),
            ("n", "Identity-Info"),
            ("o", "Event"),
            ("r", "Refer-To"),
            ("s", "Subject"),
            ("t", "To"),
            ("u", "Allow-Events"),
            ("v", "Via"),
            ("x", "Session-Expires"),
            ("y", "Identity"),
        ] {
            assert_eq!(
                HeaderName::find(letter.as_bytes()).map(HeaderName::as_str),
                Some(name)
            );
            assert_eq!(
                HeaderName::find(letter.to_uppercase().as_bytes()).map(HeaderName::as_str),
                Some(name)
            );
        }
        for unknown in ["z", "", "{", "@", "X-Other", "Via ", "q"] {
            assert_eq!(HeaderName::find(unknown.as_bytes()), None, "{unknown}");
        }
    }
}
