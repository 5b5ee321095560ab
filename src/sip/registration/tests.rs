//! Every path of the machine in virtual time, and what no input may break.
use proptest::prelude::*;

use super::*;
use crate::sip::digest::{DigestServer, Verdict};

const REGISTRAR: &str = "192.0.2.10:5060";
const OURS: &str = "<sip:1001@192.0.2.1:5060>";

/// The machine with what it has sent and said.
struct Bench {
    machine: Registration,
    now: Instant,
    sent: Vec<Request>,
    events: Vec<Event>,
}

fn config() -> RegistrationConfig {
    RegistrationConfig {
        target: REGISTRAR.parse().unwrap(),
        local: "192.0.2.1:5060".parse().unwrap(),
        public: None,
        transport: Transport::Udp,
        request_uri: "sip:carrier.example".parse().unwrap(),
        aor: "sip:1001@carrier.example".parse().unwrap(),
        contact_user: "1001".to_owned(),
        expires_s: 300,
        user_agent: "Ringproof".to_owned(),
        call_id: "registration-1".to_owned(),
        credentials: Some(Credentials {
            username: "1001".to_owned(),
            password: "secret".to_owned().into(),
            realm: None,
        }),
        timers: TimerConfig::default(),
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(config(), 1)
    }

    fn with(config: RegistrationConfig, seed: u64) -> Self {
        let now = crate::sip::epoch();
        let machine = Registration::start(now, config, Entropy::from_number(seed));
        let mut bench = Self {
            machine,
            now,
            sent: Vec::new(),
            events: Vec::new(),
        };
        bench.drain();
        bench
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => match Message::parse(&bytes).unwrap() {
                    Message::Request(request) => self.sent.push(request),
                    Message::Response(response) => panic!("sent {response:?}"),
                },
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    /// Lets the next deadline pass; its name.
    fn tick(&mut self) -> &'static str {
        let (at, name) = self.machine.poll_timeout().unwrap();
        self.now = self.now.max(at);
        self.input(Input::Timeout);
        name
    }

    /// Lets deadlines pass until one of this name has.
    fn tick_to(&mut self, wanted: &str) {
        for _ in 0..100 {
            if self.tick() == wanted {
                return;
            }
        }
        panic!("no {wanted}");
    }

    fn last(&self) -> &Request {
        self.sent.last().unwrap()
    }

    fn answer_from(&mut self, source: &str, status: u16, fields: &[(&str, &str)]) {
        let mut response = Response::reply_to(self.last(), status, None).with_to_tag("t");
        for (name, value) in fields {
            response.headers.push(name, *value);
        }
        let input = Input::Message {
            message: Box::new(Message::parse(&response.to_bytes()).unwrap()),
            source: source.parse().unwrap(),
        };
        self.input(input);
    }

    fn answer(&mut self, status: u16, fields: &[(&str, &str)]) {
        self.answer_from(REGISTRAR, status, fields);
    }

    /// 200 with our Contact for so long; when it ends.
    fn grant(&mut self, seconds: u32) -> Instant {
        let contact = format!("{OURS};expires={seconds}");
        self.answer(200, &[("Contact", &contact)]);
        match self.events.last() {
            Some(Event::Registered { until, .. }) => *until,
            other => panic!("{other:?}"),
        }
    }

    fn failure(&self) -> (&Failure, Duration, Option<Instant>) {
        match self.events.last() {
            Some(Event::Failed { why, retry_at, bound }) => (why, *retry_at - self.now, *bound),
            other => panic!("{other:?}"),
        }
    }

    fn field(&self, name: &str) -> &str {
        self.last().headers.get(name).unwrap()
    }
}

#[test]
fn the_first_register_says_what_is_bound_and_for_how_long() {
    let bench = Bench::new();
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(bench.last().method, Method::Register);
    assert_eq!(bench.last().uri.to_string(), "sip:carrier.example");
    assert_eq!(bench.field("To"), "<sip:1001@carrier.example>");
    assert!(bench.field("From").starts_with("<sip:1001@carrier.example>;tag="));
    assert_eq!(bench.field("Contact"), format!("{OURS};expires=300"));
    assert_eq!(bench.field("Expires"), "300");
    assert_eq!(bench.field("CSeq"), "1 REGISTER");
    assert_eq!(bench.field("Supported"), "path");
    assert!(!bench.last().headers.contains("Authorization"));
}

#[test]
fn a_binding_is_refreshed_well_before_its_end_with_the_same_call_id_and_the_next_cseq() {
    let mut bench = Bench::new();
    for round in 1..5_u32 {
        let until = bench.grant(300);
        assert_eq!(until, bench.now + Duration::from_secs(300));
        let granted_at = bench.now;
        bench.tick_to("refresh");
        let after = bench.now - granted_at;
        assert!(
            after >= Duration::from_secs(180) && after <= Duration::from_secs(240),
            "{after:?}"
        );
        assert_eq!(bench.field("CSeq"), format!("{} REGISTER", round + 1));
        assert_eq!(bench.field("Call-ID"), "registration-1");
    }
    assert_eq!(bench.sent.len(), 5);
}

#[test]
fn many_clients_do_not_refresh_at_once() {
    let refresh = |seed| {
        let mut bench = Bench::with(config(), seed);
        let start = bench.now;
        bench.grant(1000);
        bench.tick_to("refresh");
        (bench.now - start).as_millis()
    };
    let times: std::collections::BTreeSet<_> = (0..50).map(refresh).collect();
    assert!(times.len() > 20, "{times:?}");
}

#[test]
fn our_contact_is_found_among_others_and_the_service_route_is_kept_in_order() {
    let mut bench = Bench::new();
    bench.answer(
        200,
        &[
            (
                "Contact",
                "<sip:1001@198.51.100.7:5062>;expires=20, <sip:1001@192.0.2.1>;expires=90",
            ),
            ("Expires", "7"),
            (
                "Service-Route",
                "<sip:a.carrier.example;lr>, <sip:b.carrier.example;lr>",
            ),
            ("Path", "<sip:edge.carrier.example;lr>"),
        ],
    );
    let Some(Event::Registered {
        granted,
        service_route,
        ..
    }) = bench.events.last()
    else {
        panic!("{:?}", bench.events);
    };
    assert_eq!(*granted, Duration::from_secs(90));
    let routes: Vec<String> = service_route.iter().map(ToString::to_string).collect();
    assert_eq!(
        routes,
        ["<sip:a.carrier.example;lr>", "<sip:b.carrier.example;lr>"]
    );
}

#[test]
fn how_long_is_granted_without_an_expires_parameter_of_our_contact() {
    for (fields, expected) in [
        (vec![("Contact", OURS), ("Expires", "120")], Some(120)),
        (vec![("Expires", "120")], Some(120)),
        (vec![], Some(300)),
        (vec![("Contact", OURS)], Some(300)),
        // Rewritten by a box that mends NAT: known by the user.
        (
            vec![("Contact", "<sip:1001@203.0.113.5:31000>;expires=60")],
            Some(60),
        ),
        (vec![("Contact", "<sip:1002@203.0.113.5>;expires=60")], None),
        (vec![("Contact", "<sip:1001@192.0.2.1>;expires=0")], None),
        (
            vec![("Contact", "<sip:1001@192.0.2.1>;expires=9999999")],
            Some(EXPIRES_MAX_S),
        ),
    ] {
        let mut bench = Bench::new();
        bench.answer(200, &fields);
        match (bench.events.last(), expected) {
            (Some(Event::Registered { granted, .. }), Some(seconds)) => {
                assert_eq!(*granted, Duration::from_secs(seconds.into()), "{fields:?}");
            }
            (Some(Event::Failed { why, .. }), None) => assert_eq!(*why, Failure::NotKept),
            other => panic!("{fields:?}: {other:?}"),
        }
    }
}

#[test]
fn min_expires_is_taken_once_a_refresh_and_kept() {
    let mut bench = Bench::new();
    bench.answer(423, &[("Min-Expires", "1800")]);
    assert_eq!(
        (bench.field("Expires"), bench.field("CSeq")),
        ("1800", "2 REGISTER")
    );
    assert!(bench.events.is_empty());
    bench.grant(1800);
    bench.tick_to("refresh");
    assert_eq!(bench.field("Expires"), "1800");
    bench.answer(423, &[("Min-Expires", "3600")]);
    assert_eq!(bench.field("Expires"), "3600");
    bench.answer(423, &[("Min-Expires", "7200")]);
    assert_eq!(*bench.failure().0, Failure::TooBrief { min_s: Some(7200) });
}

#[test]
fn an_interval_that_is_no_longer_or_absurd_is_not_taken() {
    for min in [None, Some("300"), Some("1"), Some("100000"), Some("soon")] {
        let mut bench = Bench::new();
        let fields: Vec<_> = min.iter().map(|min| ("Min-Expires", *min)).collect();
        bench.answer(423, &fields);
        assert_eq!(bench.sent.len(), 1, "{min:?}");
        assert!(matches!(bench.failure().0, Failure::TooBrief { .. }));
    }
}

#[test]
fn a_challenge_is_answered_and_the_next_refresh_is_not_challenged() {
    for (status, asks, answers) in [
        (401, "WWW-Authenticate", "Authorization"),
        (407, "Proxy-Authenticate", "Proxy-Authorization"),
    ] {
        let mut bench = Bench::new();
        let mut server = DigestServer::new("carrier.example").with_user("1001", "secret");
        let challenge = server.challenge(false, &mut Entropy::from_number(9));
        bench.answer(status, &[(asks, &challenge[0])]);
        for seq in 2..4 {
            assert_eq!(bench.field("CSeq"), format!("{seq} REGISTER"));
            let request = bench.last().clone();
            let given = request.headers.get(answers);
            let verdict = server.verify(given, &request.method, &request.uri, &request.body);
            assert!(matches!(verdict, Verdict::Accepted { .. }), "{seq}: {verdict:?}");
            bench.grant(60);
            bench.tick_to("refresh");
        }
        assert_eq!(bench.sent.len(), 4);
    }
}

#[test]
fn a_nonce_that_grew_stale_costs_one_more_round() {
    let mut bench = Bench::new();
    let mut server = DigestServer::new("carrier.example").with_user("1001", "secret");
    let mut entropy = Entropy::from_number(9);
    let challenge = server.challenge(false, &mut entropy);
    bench.answer(401, &[("WWW-Authenticate", &challenge[0])]);
    bench.grant(60);
    bench.tick_to("refresh");
    let stale = server.challenge(true, &mut entropy);
    bench.answer(401, &[("WWW-Authenticate", &stale[0])]);
    assert_eq!(bench.field("CSeq"), "4 REGISTER");
    bench.grant(60);
}

#[test]
fn a_wrong_password_and_a_missing_one_are_told_apart() {
    let challenge = [("WWW-Authenticate", r#"Digest realm="r", nonce="n", qop="auth""#)];
    let realm = "r".to_owned();
    let mut bench = Bench::new();
    bench.answer(401, &challenge);
    bench.answer(401, &challenge);
    assert_eq!(bench.sent.len(), 2);
    let wrong = Failure::WrongCredentials { realm: realm.clone() };
    assert_eq!(*bench.failure().0, wrong);
    let mut bench = Bench::with(
        RegistrationConfig {
            credentials: None,
            ..config()
        },
        1,
    );
    bench.answer(401, &challenge);
    assert_eq!(*bench.failure().0, Failure::NoCredentials { realm });
}

#[test]
fn refusals_rest_longer_each_time_up_to_half_an_hour_and_a_success_forgets_them() {
    for status in [301, 302, 403, 404, 480, 500, 600] {
        let mut bench = Bench::new();
        for longest in [30, 60, 120, 240, 480, 960, 1800, 1800] {
            bench.answer(status, &[("Contact", "<sip:198.51.100.1>")]);
            let (why, rest, bound) = bench.failure();
            assert!(matches!(why, Failure::Refused { status: s, .. } if *s == status));
            let longest = Duration::from_secs(longest);
            assert!(
                rest >= longest / 2 && rest <= longest,
                "{status}: {rest:?} of {longest:?}"
            );
            assert_eq!(bound, None);
            bench.tick_to("retry");
        }
        assert_eq!(bench.sent.len(), 9, "{status}");
        bench.grant(300);
        bench.tick_to("refresh");
        bench.answer(status, &[]);
        assert!(bench.failure().1 <= Duration::from_secs(30));
    }
}

#[test]
fn retry_after_is_heeded_and_a_binding_outlives_a_503_but_not_a_403() {
    let mut bench = Bench::new();
    let until = bench.grant(600);
    bench.tick_to("refresh");
    bench.answer(503, &[("Retry-After", "77")]);
    let (_, rest, bound) = bench.failure();
    assert_eq!((rest, bound), (Duration::from_secs(77), Some(until)));
    bench.tick_to("retry");
    bench.answer(403, &[]);
    assert_eq!(bench.failure().2, None);
    let mut bench = Bench::new();
    bench.answer(503, &[("Retry-After", "999999")]);
    assert_eq!(bench.failure().1, Duration::from_secs(3600));
}

#[test]
fn silence_is_timer_f_and_the_binding_lapses_at_its_end() {
    let mut bench = Bench::new();
    bench.tick_to("timer F");
    assert_eq!(bench.now - crate_start(&bench), Duration::from_secs(32));
    assert_eq!(*bench.failure().0, Failure::Silent);
    assert!(bench.sent.len() > 5, "it was repeated");
    bench.tick_to("retry");
    let until = bench.grant(60);
    bench.events.clear();
    while bench.events.last() != Some(&Event::Lapsed) {
        bench.tick();
    }
    assert_eq!(bench.now, until);
    assert!(bench.machine.poll_timeout().is_some(), "it goes on trying");
}

/// Timer F runs from the start of the machine.
fn crate_start(bench: &Bench) -> Instant {
    bench.now - Duration::from_secs(32)
}

#[test]
fn an_error_of_the_transport_rests_and_a_late_answer_changes_nothing() {
    let mut bench = Bench::new();
    bench.input(Input::TransportError);
    assert_eq!(*bench.failure().0, Failure::Transport);
    let events = bench.events.len();
    bench.answer(200, &[("Contact", OURS)]);
    assert_eq!(bench.events.len(), events);
}

#[test]
fn strangers_and_provisional_answers_change_nothing() {
    let mut bench = Bench::new();
    bench.answer_from("198.51.100.1:5060", 200, &[("Contact", OURS)]);
    bench.answer(100, &[]);
    assert!(bench.events.is_empty());
    let request = Input::Message {
        message: Box::new(Message::parse(&bench.last().to_bytes()).unwrap()),
        source: REGISTRAR.parse().unwrap(),
    };
    bench.input(request);
    assert!(bench.events.is_empty());
    bench.grant(300);
}

#[test]
fn a_stop_takes_our_binding_away_and_nobody_elses() {
    let mut bench = Bench::new();
    bench.grant(300);
    bench.input(Input::Stop);
    assert_eq!(bench.field("Expires"), "0");
    assert_eq!(bench.field("Contact"), format!("{OURS};expires=0"));
    assert_eq!(bench.field("CSeq"), "2 REGISTER");
    assert!(!bench.machine.is_over());
    let challenge = [("WWW-Authenticate", r#"Digest realm="r", nonce="n", qop="auth""#)];
    bench.answer(401, &challenge);
    assert_eq!(bench.field("Expires"), "0");
    bench.answer(200, &[]);
    assert_eq!(bench.events.last(), Some(&Event::Unregistered));
    assert!(bench.machine.is_over());
    let sent = bench.sent.len();
    while bench.machine.poll_timeout().is_some() {
        bench.tick();
    }
    assert_eq!(bench.sent.len(), sent);
}

#[test]
fn a_stop_ends_whatever_is_under_way() {
    // Nothing bound: nothing to take away.
    let mut bench = Bench::new();
    bench.answer(403, &[]);
    bench.input(Input::Stop);
    assert_eq!(bench.events.last(), Some(&Event::Unregistered));
    // A REGISTER is under way: its answer first.
    let mut bench = Bench::new();
    bench.input(Input::Stop);
    assert_eq!(bench.sent.len(), 1);
    bench.grant(300);
    assert_eq!((bench.sent.len(), bench.field("Expires")), (2, "0"));
    bench.answer(500, &[]);
    assert!(bench.machine.is_over());
    let mut bench = Bench::new();
    bench.input(Input::Stop);
    bench.answer(403, &[]);
    assert!(bench.machine.is_over());
    // The removal is never answered.
    let mut bench = Bench::new();
    bench.grant(3000);
    bench.input(Input::Stop);
    bench.tick_to("timer F");
    assert!(bench.machine.is_over());
}

#[test]
fn another_address_takes_over_between_two_requests() {
    let mut bench = Bench::new();
    let (other, local) = ("192.0.2.20:5060", "192.0.2.1:5060".parse().unwrap());
    let to_other =
        |machine: &mut Registration| machine.retarget(other.parse().unwrap(), local, None, Transport::Udp);
    assert!(!to_other(&mut bench.machine));
    bench.grant(300);
    assert!(to_other(&mut bench.machine));
    bench.tick_to("refresh");
    assert_eq!(bench.field("CSeq"), "2 REGISTER");
    bench.answer_from(REGISTRAR, 200, &[]);
    assert_eq!(bench.events.len(), 1);
    bench.answer_from(other, 200, &[]);
    assert_eq!(bench.events.len(), 2);
}

const BEHIND_NAT: &str = "203.0.113.7:40001";
const AS_SEEN: &str = "<sip:1001@203.0.113.7:40001>";

/// As [`Bench::grant`], by a registrar that saw the REGISTER come from there.
fn granted_to(bench: &mut Bench, source: &str, seconds: u32) {
    let mut response = Response::reply_to(bench.last(), 200, None).with_to_tag("t");
    response.headers.stamp_source(source.parse().unwrap());
    let contact = format!(
        "{};expires={seconds}",
        bench.field("Contact").split(';').next().unwrap()
    );
    response.headers.push("Contact", contact);
    let input = Input::Message {
        message: Box::new(Message::parse(&response.to_bytes()).unwrap()),
        source: REGISTRAR.parse().unwrap(),
    };
    bench.input(input);
}

fn contacts(bench: &Bench) -> Vec<String> {
    bench.last().headers.all("Contact").map(str::to_owned).collect()
}

#[test]
fn the_address_that_the_registrar_sees_is_bound_instead_of_ours() {
    let mut bench = Bench::new();
    granted_to(&mut bench, BEHIND_NAT, 300);
    assert!(
        matches!(bench.events[..], [Event::Registered { .. }]),
        "{:?}",
        bench.events
    );
    let both = [format!("{AS_SEEN};expires=300"), format!("{OURS};expires=0")];
    assert_eq!((bench.sent.len(), contacts(&bench)), (2, both.to_vec()));
    granted_to(&mut bench, BEHIND_NAT, 300);
    assert_eq!((bench.sent.len(), bench.events.len()), (2, 2));
    bench.tick_to("refresh");
    assert_eq!(contacts(&bench), [format!("{AS_SEEN};expires=300")]);
    granted_to(&mut bench, BEHIND_NAT, 300);
    // The NAT forgot us, and then is gone.
    for (source, seen) in [
        ("203.0.113.7:40002", "<sip:1001@203.0.113.7:40002>"),
        ("192.0.2.1:5060", OURS),
    ] {
        bench.tick_to("refresh");
        let former = bench.field("Contact").replace("300", "0");
        granted_to(&mut bench, source, 300);
        assert_eq!(contacts(&bench), [format!("{seen};expires=300"), former]);
        granted_to(&mut bench, source, 300);
    }
    bench.input(Input::Stop);
    assert_eq!(contacts(&bench), [format!("{OURS};expires=0")]);
}

#[test]
fn a_nat_with_an_address_for_each_register_is_not_chased() {
    let mut bench = Bench::new();
    let mut ports = 40_001..;
    let mut next = || format!("203.0.113.7:{}", ports.next().unwrap());
    granted_to(&mut bench, &next(), 300);
    assert_eq!(bench.sent.len(), 2);
    for refreshes in 0..5 {
        granted_to(&mut bench, &next(), 300);
        assert_eq!(bench.sent.len(), 2 + refreshes);
        bench.tick_to("refresh");
    }
}

#[test]
fn our_own_address_stays_where_it_is_configured_not_seen_or_wanted() {
    let mut public = config();
    public.public = Some("198.51.100.9:5060".parse().unwrap());
    let mut bench = Bench::with(public, 1);
    granted_to(&mut bench, BEHIND_NAT, 300);
    assert_eq!(bench.sent.len(), 1);
    // No rport in the answer.
    let mut bench = Bench::new();
    bench.grant(300);
    assert_eq!(bench.sent.len(), 1);
    // Over a stream the port is the connection's.
    let mut stream = config();
    stream.transport = Transport::Tcp;
    let mut bench = Bench::with(stream.clone(), 1);
    granted_to(&mut bench, "192.0.2.1:49152", 300);
    assert_eq!(bench.sent.len(), 1);
    let mut bench = Bench::with(stream, 1);
    granted_to(&mut bench, BEHIND_NAT, 300);
    assert!(contacts(&bench)[0].starts_with("<sip:1001@203.0.113.7:40001;transport=tcp>"));
    // A registrar that refuses what it saw gets ours, and keeps it.
    let mut bench = Bench::new();
    granted_to(&mut bench, BEHIND_NAT, 300);
    bench.answer(403, &[]);
    bench.tick_to("retry");
    assert_eq!(contacts(&bench), [format!("{OURS};expires=300")]);
    granted_to(&mut bench, BEHIND_NAT, 300);
    assert_eq!(bench.sent.len(), 3);
}

#[test]
fn a_connection_that_ends_brings_the_refresh_forward_but_not_at_once() {
    let mut stream = config();
    stream.transport = Transport::Tcp;
    let mut bench = Bench::with(stream, 1);
    let bound_at = bench.now;
    bench.grant(300);
    bench.input(Input::TransportError);
    bench.tick_to("refresh");
    assert_eq!(bench.now - bound_at, pace::REST_MIN);
    // Datagrams have no connection.
    let mut bench = Bench::new();
    bench.grant(300);
    bench.input(Input::TransportError);
    let bound_at = bench.now;
    bench.tick_to("refresh");
    assert!(bench.now - bound_at >= Duration::from_secs(180));
}

#[test]
fn another_port_of_ours_takes_the_place_of_the_one_that_is_bound() {
    let mut bench = Bench::new();
    bench.grant(300);
    bench.now += Duration::from_secs(240);
    assert!(bench.machine.is_about_to_ask(bench.now));
    let local = "192.0.2.1:5070".parse().unwrap();
    assert!(
        bench
            .machine
            .retarget(REGISTRAR.parse().unwrap(), local, None, Transport::Udp)
    );
    bench.input(Input::Timeout);
    let now_and_before = [
        "<sip:1001@192.0.2.1:5070>;expires=300".to_owned(),
        format!("{OURS};expires=0"),
    ];
    assert_eq!(contacts(&bench), now_and_before);
}

fn any_step() -> impl Strategy<Value = (u8, u16, Option<u32>, Option<u32>)> {
    let statuses = prop_oneof![
        Just(200_u16),
        Just(401),
        Just(407),
        Just(423),
        Just(403),
        Just(503),
        100..700_u16
    ];
    (
        0..10_u8,
        statuses,
        proptest::option::of(any::<u32>()),
        proptest::option::of(any::<u32>()),
    )
}

proptest! {
    #[test]
    fn whatever_comes_there_is_a_next_step_until_it_is_over(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut bench = Bench::new();
        for (what, status, seconds, min) in steps {
            match what {
                0..=3 => {
                    let seconds = seconds.unwrap_or(300).to_string();
                    let contact = format!("{OURS};expires={seconds}");
                    let min = min.unwrap_or(900).to_string();
                    bench.answer(status, &[
                        ("Contact", &contact),
                        ("Min-Expires", &min),
                        ("Retry-After", &min),
                        ("WWW-Authenticate", r#"Digest realm="r", nonce="n", stale=true"#),
                        ("Proxy-Authenticate", r#"Digest realm="p", nonce="n""#),
                    ]);
                }
                4..=7 => { if bench.machine.poll_timeout().is_some() { bench.tick(); } }
                8 => bench.input(Input::TransportError),
                _ if min.is_some_and(|min| min % 4 == 0) => bench.input(Input::Stop),
                _ => {}
            }
            prop_assert!(bench.machine.is_over() || bench.machine.poll_timeout().is_some());
            prop_assert_eq!(bench.events.contains(&Event::Unregistered), bench.machine.is_over());
        }
        let numbers: Vec<u32> = bench.sent.iter().map(|r| r.headers.cseq().unwrap().seq).collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", numbers);
    }
}
