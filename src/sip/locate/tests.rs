//! Records in, ordered destinations out.
use std::collections::BTreeMap;

use super::*;

use SipTransport::{Tcp, Tls, Udp};

/// What DNS knows, by name.
#[derive(Default)]
struct Zone(BTreeMap<Query, Answer>);

impl Zone {
    fn naptr(mut self, name: &str, records: &[(u16, u16, &str, &str)]) -> Self {
        let records = records
            .iter()
            .map(|(order, preference, services, replacement)| Naptr {
                order: *order,
                preference: *preference,
                flags: "S".to_owned(),
                services: (*services).to_owned(),
                replacement: (*replacement).to_owned(),
            })
            .collect();
        self.0
            .insert(Query::Naptr(name.to_owned()), Answer::Naptr(records));
        self
    }

    fn srv(mut self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let records = records
            .iter()
            .map(|(priority, weight, port, target)| Srv {
                priority: *priority,
                weight: *weight,
                port: *port,
                target: (*target).to_owned(),
            })
            .collect();
        self.0.insert(Query::Srv(name.to_owned()), Answer::Srv(records));
        self
    }

    fn addresses(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let query = Query::Addresses(name.to_owned());
        self.0.insert(query, Answer::Addresses(addresses));
        self
    }

    fn locate_seeded(
        &self,
        uri: &str,
        allowed: &[SipTransport],
        families: Families,
        seed: u64,
    ) -> Result<Vec<String>, LocateError> {
        let entropy = Entropy::from_number(seed);
        let mut locator = Locator::new(target(uri), allowed.to_vec(), families, entropy)?;
        for _ in 0..5 {
            match locator.step() {
                Step::Done(found) => return Ok(found.iter().map(shown).collect()),
                Step::Ask(queries) => {
                    assert!(!queries.is_empty());
                    let answer = |query: &Query| self.0.get(query).cloned().unwrap_or_else(|| none(query));
                    let known = queries.into_iter().map(|query| (query.clone(), answer(&query)));
                    locator.answer(&known.collect())?;
                }
            }
        }
        panic!("{uri} is never done")
    }

    fn locate(&self, uri: &str, allowed: &[SipTransport]) -> Result<Vec<String>, LocateError> {
        self.locate_seeded(uri, allowed, Families::V4First, 1)
    }
}

fn none(query: &Query) -> Answer {
    match query {
        Query::Naptr(_) => Answer::Naptr(Vec::new()),
        Query::Srv(_) => Answer::Srv(Vec::new()),
        Query::Addresses(_) => Answer::Addresses(Vec::new()),
    }
}

fn shown(destination: &Destination) -> String {
    format!("{} {}", destination.transport.param(), destination.address)
}

/// `sip:host[:port][;transport=…]`, enough for these tests.
fn target(uri: &str) -> Target {
    let (scheme, rest) = match uri.strip_prefix("sips:") {
        Some(rest) => (Scheme::Sips, rest),
        None => (Scheme::Sip, uri.strip_prefix("sip:").unwrap()),
    };
    let (address, transport) = match rest.split_once(";transport=") {
        Some((address, word)) => {
            let transport = [Udp, Tcp, Tls].into_iter().find(|t| t.param() == word);
            (address, Some(transport.unwrap()))
        }
        None => (rest, None),
    };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse().unwrap()))
        }
        _ => (address, None),
    };
    Target {
        scheme,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        transport,
    }
}

/// The example of RFC 3263 §4.1 and §4.2, with addresses.
fn example() -> Zone {
    Zone::default()
        .naptr(
            "example.com",
            &[
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
                (90, 50, "SIP+D2T", "_sip._tcp.example.com."),
                (100, 50, "SIP+D2U", "_sip._udp.example.com."),
                (10, 10, "E2U+email", "elsewhere.example.com."),
            ],
        )
        .srv("_sips._tcp.example.com", &[(0, 1, 5061, "server1.example.com.")])
        .srv(
            "_sip._tcp.example.com",
            &[
                (0, 1, 5060, "server1.example.com."),
                (1, 2, 5070, "server2.example.com."),
            ],
        )
        .srv(
            "_sip._udp.example.com",
            &[
                (2, 0, 5060, "server2.example.com."),
                (1, 0, 5060, "server1.example.com."),
            ],
        )
        .addresses("server1.example.com", &["2001:db8::1", "192.0.2.1"])
        .addresses("server2.example.com", &["192.0.2.2"])
        .addresses("example.com", &["192.0.2.9"])
}

#[test]
fn an_address_or_a_port_needs_no_naptr_and_no_srv() {
    let zone = example();
    for (uri, found) in [
        ("sip:192.0.2.7", "udp 192.0.2.7:5060"),
        ("sip:192.0.2.7:5080;transport=tcp", "tcp 192.0.2.7:5080"),
        ("sips:192.0.2.7", "tls 192.0.2.7:5061"),
        ("sip:[2001:db8::7]:5080", "udp [2001:db8::7]:5080"),
        ("sip:example.com:5080", "udp 192.0.2.9:5080"),
        ("sips:example.com:5081", "tls 192.0.2.9:5081"),
        ("sip:example.com:5081;transport=tls", "tls 192.0.2.9:5081"),
    ] {
        assert_eq!(
            zone.locate(uri, &[Udp, Tcp, Tls]).unwrap(),
            [found.to_owned()],
            "{uri}"
        );
    }
}

#[test]
fn naptr_chooses_among_the_transports_that_we_have() {
    let zone = example();
    assert_eq!(
        zone.locate("sip:example.com", &[Udp, Tcp, Tls]).unwrap(),
        [
            "tls 192.0.2.1:5061",
            "tls [2001:db8::1]:5061",
            "tcp 192.0.2.1:5060",
            "tcp [2001:db8::1]:5060",
            "tcp 192.0.2.2:5070",
            "udp 192.0.2.1:5060",
            "udp [2001:db8::1]:5060",
            "udp 192.0.2.2:5060",
        ]
    );
    assert_eq!(
        zone.locate("sip:example.com", &[Udp]).unwrap(),
        [
            "udp 192.0.2.1:5060",
            "udp [2001:db8::1]:5060",
            "udp 192.0.2.2:5060"
        ]
    );
}

#[test]
fn a_transport_parameter_goes_to_srv_at_once() {
    let zone = example();
    assert_eq!(
        zone.locate_seeded("sip:example.com;transport=tcp", &[Udp, Tcp], Families::V4Only, 1)
            .unwrap(),
        ["tcp 192.0.2.1:5060", "tcp 192.0.2.2:5070"]
    );
    assert_eq!(
        zone.locate_seeded("sips:example.com", &[Udp, Tls], Families::V6First, 1)
            .unwrap(),
        ["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061"]
    );
}

#[test]
fn without_naptr_srv_is_asked_and_without_srv_the_name_itself() {
    let srv_only = Zone::default()
        .srv("_sip._udp.a.example", &[(1, 1, 5070, "u.a.example")])
        .srv("_sip._tcp.a.example", &[(1, 1, 5071, "t.a.example")])
        .addresses("u.a.example", &["192.0.2.3"])
        .addresses("t.a.example", &["192.0.2.4"]);
    assert_eq!(
        srv_only.locate("sip:a.example", &[Tcp, Udp]).unwrap(),
        ["tcp 192.0.2.4:5071", "udp 192.0.2.3:5070"]
    );
    let plain = Zone::default().addresses("a.example", &["192.0.2.5", "192.0.2.6"]);
    assert_eq!(
        plain.locate("sip:a.example", &[Tls, Udp]).unwrap(),
        ["udp 192.0.2.5:5060", "udp 192.0.2.6:5060"]
    );
    assert_eq!(
        plain.locate("sip:a.example", &[Tls]).unwrap(),
        ["tls 192.0.2.5:5061", "tls 192.0.2.6:5061"]
    );
}

#[test]
fn what_leads_nowhere_says_so() {
    let closed = Zone::default()
        .srv("_sip._udp.a.example", &[(0, 0, 0, ".")])
        .addresses("a.example", &["192.0.2.5"]);
    let empty = |host: &str| LocateError::Empty {
        host: host.to_owned(),
    };
    // RFC 2782: the service is decidedly not available here.
    assert_eq!(
        closed.locate("sip:a.example;transport=udp", &[Udp]),
        Err(empty("a.example"))
    );
    assert_eq!(closed.locate("sip:b.example", &[Udp]), Err(empty("b.example")));
    for (uri, wanted) in [
        ("sip:a.example;transport=tls", "tls"),
        ("sips:a.example", "tls"),
        ("sips:a.example;transport=udp", "sips over udp"),
    ] {
        let error = closed.locate(uri, &[Udp, Tcp]).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn a_failed_naptr_is_passed_over_and_a_failed_srv_is_not() {
    let entropy = Entropy::from_number(1);
    let locator = Locator::new(
        target("sip:a.example"),
        vec![Udp, Tcp],
        Families::V4First,
        entropy,
    )
    .unwrap();
    let failed = BTreeMap::new();
    let mut silent = locator.clone();
    silent.answer(&failed).unwrap();
    let srv = |transport: &str| Query::Srv(format!("_sip._{transport}.a.example"));
    assert_eq!(silent.step(), Step::Ask(vec![srv("udp"), srv("tcp")]));
    let mut half = silent.clone();
    let empty = LocateError::Empty {
        host: "a.example".to_owned(),
    };
    assert_eq!(silent.answer(&failed), Err(empty));
    let record = Srv {
        priority: 1,
        weight: 1,
        port: 5071,
        target: "t.a.example".to_owned(),
    };
    half.answer(&BTreeMap::from([(srv("tcp"), Answer::Srv(vec![record]))]))
        .unwrap();
    assert_eq!(
        half.step(),
        Step::Ask(vec![Query::Addresses("t.a.example".to_owned())])
    );
}

#[test]
fn weights_decide_how_often_a_server_is_first() {
    let zone = Zone::default()
        .srv(
            "_sip._udp.a.example",
            &[
                (1, 60, 5060, "a.a.example"),
                (1, 30, 5060, "b.a.example"),
                (1, 10, 5060, "c.a.example"),
                (2, 500, 5060, "d.a.example"),
            ],
        )
        .addresses("a.a.example", &["192.0.2.1"])
        .addresses("b.a.example", &["192.0.2.2"])
        .addresses("c.a.example", &["192.0.2.3"])
        .addresses("d.a.example", &["192.0.2.4"]);
    let mut firsts: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..2000 {
        let found = zone
            .locate_seeded("sip:a.example;transport=udp", &[Udp], Families::V4First, seed)
            .unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(found[3], "udp 192.0.2.4:5060", "the lower priority is last");
        *firsts.entry(found[0].clone()).or_default() += 1;
    }
    let share = |ip: &str| firsts[&format!("udp {ip}:5060")];
    assert!((1100..1300).contains(&share("192.0.2.1")), "{firsts:?}");
    assert!((500..700).contains(&share("192.0.2.2")), "{firsts:?}");
    assert!((130..290).contains(&share("192.0.2.3")), "{firsts:?}");
}

#[test]
fn a_weight_of_zero_is_rare_but_not_never_and_the_order_of_arrival_does_not_matter() {
    let records = [(1, 0, 5060, "z.a.example"), (1, 10, 5060, "a.a.example")];
    let mut reversed = records;
    reversed.reverse();
    let zone = |records: &[(u16, u16, u16, &str)]| {
        Zone::default()
            .srv("_sip._udp.a.example", records)
            .addresses("a.a.example", &["192.0.2.1"])
            .addresses("z.a.example", &["192.0.2.2"])
    };
    let mut rare = 0;
    for seed in 0..1100 {
        let one = zone(&records).locate_seeded("sip:a.example", &[Udp], Families::V4First, seed);
        let two = zone(&reversed).locate_seeded("sip:a.example", &[Udp], Families::V4First, seed);
        assert_eq!(one, two);
        rare += u32::from(one.unwrap()[0] == "udp 192.0.2.2:5060");
    }
    assert!((50..150).contains(&rare), "{rare}");
}

#[test]
fn a_flood_of_records_stays_within_the_bounds() {
    let names: Vec<String> = (0..400).map(|n| format!("s{n}.a.example")).collect();
    let records: Vec<(u16, u16, u16, &str)> = names
        .iter()
        .map(|name| (1, u16::MAX, 5060, name.as_str()))
        .collect();
    let mut zone = Zone::default().srv("_sip._udp.a.example", &records);
    let ips: Vec<String> = (1..100).map(|n| format!("192.0.2.{n}")).collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    for name in &names {
        zone = zone.addresses(name, &ips);
    }
    let found = zone.locate("sip:a.example;transport=udp", &[Udp]).unwrap();
    assert_eq!(found.len(), DESTINATIONS_MAX);
}
