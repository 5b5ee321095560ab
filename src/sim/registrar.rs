//! The registrar of the box (RFC 3261 §10.3): takes REGISTER, asks for a login where one is set, grants and lists
//! bindings. It sends no calls to what is bound.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Entropy;
use crate::sip::digest::{DigestServer, Verdict};
use crate::sip::message::{Contacts, NameAddr, Request, Response};
use crate::sip::uri::Uri;

/// Addresses of record that have bindings.
const AORS_MAX: usize = 10_000;
/// Contacts of one of them.
const CONTACTS_MAX: usize = 16;
/// What a REGISTER is granted that says nothing.
const EXPIRES_UNSAID_S: u32 = 3600;
const REALM: &str = "ringproof-sim";

/// What the box asks of those who register.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrarRules {
    /// Without a name nobody is asked for a login.
    pub username: Option<String>,
    pub password: String,
    /// Less is answered 423.
    pub min_expires_s: u32,
    /// More is cut to this.
    pub max_expires_s: u32,
}

impl Default for RegistrarRules {
    fn default() -> Self {
        Self {
            username: None,
            password: String::new(),
            min_expires_s: 1,
            max_expires_s: 3600,
        }
    }
}

/// One binding, as the HTTP side shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Registered {
    pub aor: String,
    pub contact: String,
    pub expires_s: u32,
    /// REGISTERs that bound it so far.
    pub refreshes: u32,
}

#[derive(Debug)]
pub(super) struct Registrar {
    rules: RegistrarRules,
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    logins: Option<DigestServer>,
    bindings: BTreeMap<String, Vec<Binding>>,
}

#[derive(Debug)]
struct Binding {
    contact: Uri,
    expires_s: u32,
    until: Instant,
    refreshes: u32,
}

impl Registrar {
    pub(super) fn new(rules: RegistrarRules) -> Self {
        let logins = rules
            .username
            .as_ref()
            .map(|username| DigestServer::new(REALM).with_user(username, &rules.password));
        let desk = Mutex::new(Desk {
            logins,
            bindings: BTreeMap::new(),
        });
        Self { rules, desk }
    }

    /// `local`: where calls over the Service-Route go.
    pub(super) fn answer(
        &self,
        request: &Request,
        local: SocketAddr,
        now: Instant,
        entropy: &mut Entropy,
    ) -> Response {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut response = desk
            .challenge(request, entropy)
            .unwrap_or_else(|| desk.bind(request, &self.rules, local, now));
        drop(desk);
        response = response.with_to_tag(&entropy.token());
        response
    }

    /// Bindings that stand, by address.
    pub(super) fn list(&self, now: Instant) -> Vec<Registered> {
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let all = desk.bindings.iter().flat_map(|(aor, bindings)| {
            let live = bindings.iter().filter(|binding| binding.until > now);
            live.map(|binding| Registered {
                aor: aor.clone(),
                contact: binding.contact.to_string(),
                expires_s: binding.expires_s,
                refreshes: binding.refreshes,
            })
        });
        all.collect()
    }
}

impl Desk {
    /// `None`: who asks may register.
    fn challenge(&mut self, request: &Request, entropy: &mut Entropy) -> Option<Response> {
        let logins = self.logins.as_mut()?;
        let given = request.headers.get("Authorization");
        let stale = match logins.verify(given, &request.method, &request.uri, &request.body) {
            Verdict::Accepted { .. } => return None,
            Verdict::Stale => true,
            Verdict::Refused => false,
        };
        let mut response = Response::reply_to(request, 401, None);
        for challenge in logins.challenge(stale, entropy) {
            response.headers.push("WWW-Authenticate", challenge);
        }
        Some(response)
    }

    fn bind(
        &mut self,
        request: &Request,
        rules: &RegistrarRules,
        local: SocketAddr,
        now: Instant,
    ) -> Response {
        let (Ok(to), Ok(contacts)) = (request.headers.to(), request.headers.contacts_or_all()) else {
            return Response::reply_to(request, 400, None);
        };
        let aor = to.uri.to_string();
        let full = self.bindings.len() >= AORS_MAX && !self.bindings.contains_key(&aor);
        if full {
            return Response::reply_to(request, 503, None);
        }
        let unsaid_s = request.headers.expires().unwrap_or(EXPIRES_UNSAID_S);
        let bindings = self.bindings.entry(aor).or_default();
        bindings.retain(|binding| binding.until > now);
        match contacts {
            Contacts::All => bindings.clear(),
            Contacts::Some(contacts) => {
                let wanted: Vec<(Uri, u32)> =
                    contacts.iter().map(|contact| wanted(contact, unsaid_s)).collect();
                if wanted.iter().any(|(_, s)| *s != 0 && *s < rules.min_expires_s) {
                    let mut response = Response::reply_to(request, 423, None);
                    response
                        .headers
                        .push("Min-Expires", rules.min_expires_s.to_string());
                    return response;
                }
                for (contact, seconds) in wanted {
                    put(bindings, contact, seconds.min(rules.max_expires_s), now);
                }
            }
        }
        let mut response = Response::reply_to(request, 200, None);
        for binding in bindings.iter() {
            let mut contact = NameAddr::new(binding.contact.clone());
            contact
                .params
                .set("expires", Some(&binding.expires_s.to_string()));
            response.headers.push("Contact", contact.to_string());
        }
        let route = Uri::sip(None, local.ip(), Some(local.port())).with_param("lr", None);
        response
            .headers
            .push("Service-Route", NameAddr::new(route).to_string());
        response
    }
}

fn wanted(contact: &NameAddr, unsaid_s: u32) -> (Uri, u32) {
    let said = contact.params.get("expires").and_then(|text| text.parse().ok());
    (contact.uri.clone(), said.unwrap_or(unsaid_s))
}

fn put(bindings: &mut Vec<Binding>, contact: Uri, expires_s: u32, now: Instant) {
    let known = bindings
        .iter()
        .position(|binding| binding.contact.equivalent(&contact));
    let refreshes = known.map_or(0, |at| bindings.remove(at).refreshes);
    if expires_s > 0 && bindings.len() < CONTACTS_MAX {
        bindings.push(Binding {
            contact,
            expires_s,
            until: now + Duration::from_secs(expires_s.into()),
            refreshes: refreshes + 1,
        });
    }
}
