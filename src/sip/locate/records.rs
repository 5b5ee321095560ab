//! NAPTR and SRV records, and the order in which they are taken.
use crate::model::Entropy;
use crate::sip::transport::SipTransport;

/// RFC 3403; what RFC 3263 §4.1 reads of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub services: String,
    /// Name of SRV records.
    pub replacement: String,
}

/// RFC 2782.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// The SRV names of the services that we have, best first.
pub(super) fn by_naptr(records: &[Naptr], allowed: &[SipTransport]) -> Vec<(SipTransport, String)> {
    let mut usable: Vec<(&Naptr, SipTransport)> = records
        .iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s") && !is_root(&record.replacement))
        .filter_map(|record| Some((record, service(&record.services)?)))
        .filter(|(_, transport)| allowed.contains(transport))
        .collect();
    usable.sort_by_key(|(record, _)| (record.order, record.preference));
    let mut named: Vec<(SipTransport, String)> = Vec::new();
    for (record, transport) in usable {
        let entry = (transport, without_dot(&record.replacement));
        if !named.contains(&entry) {
            named.push(entry);
        }
    }
    named
}

/// RFC 2782: lowest priority first; within one, the first is drawn by weight, then the next among the rest.
pub(super) fn by_srv(records: &[Srv], entropy: &mut Entropy) -> Vec<Srv> {
    let mut left: Vec<Srv> = records
        .iter()
        .filter(|record| !is_root(&record.target) && record.port != 0)
        .take(64)
        .map(|record| Srv {
            target: without_dot(&record.target),
            ..record.clone()
        })
        .collect();
    // Records of weight 0 stand first, so that they are drawn now and then. Order of arrival must not matter.
    left.sort_by(|a, b| {
        let key = |record: &Srv| (record.priority, record.weight != 0);
        key(a)
            .cmp(&key(b))
            .then_with(|| (&a.target, a.port).cmp(&(&b.target, b.port)))
    });
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(priority) = left.first().map(|record| record.priority) {
        let same = left.iter().take_while(|record| record.priority == priority);
        let sum: u64 = same.clone().map(|record| u64::from(record.weight)).sum();
        let drawn = entropy.below(sum + 1);
        let mut running = 0;
        let chosen = same
            .map(|record| {
                running += u64::from(record.weight);
                running
            })
            .position(|total| total >= drawn)
            .unwrap_or(0);
        ordered.push(left.remove(chosen));
    }
    ordered
}

fn service(services: &str) -> Option<SipTransport> {
    [
        ("SIP+D2U", SipTransport::Udp),
        ("SIP+D2T", SipTransport::Tcp),
        ("SIPS+D2T", SipTransport::Tls),
    ]
    .into_iter()
    .find(|(name, _)| name.eq_ignore_ascii_case(services))
    .map(|(_, transport)| transport)
}

/// "." names nobody.
fn is_root(name: &str) -> bool {
    name.is_empty() || name == "."
}

fn without_dot(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}
