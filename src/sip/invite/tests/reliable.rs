//! RFC 3262 and RFC 3311 before the answer: several reliable responses, their order, UPDATE in the early dialog.
use super::*;

fn reliable(rig: &Rig, status: u16, tag: &str, rseq: u32, sdp: Option<&[u8]>) -> Response {
    let mut response = rig.response(&Method::Invite, status, tag);
    response.headers.push("Require", "100rel");
    response.headers.push("RSeq", rseq.to_string());
    match sdp {
        Some(sdp) => response.with_body("application/sdp", sdp.to_vec()),
        None => response,
    }
}

fn racks(rig: &Rig) -> Vec<String> {
    let pracks = rig.requests(&Method::Prack);
    pracks
        .iter()
        .map(|prack| prack.headers.get("RAck").unwrap().to_owned())
        .collect()
}

fn statuses(rig: &Rig) -> Vec<u16> {
    let told = rig.events.iter().filter_map(|event| match event {
        Event::Provisional { status, .. } => Some(*status),
        _ => None,
    });
    told.collect()
}

#[test]
fn several_reliable_responses_are_acknowledged_in_order_each_once() {
    let mut rig = Rig::new();
    let responses = [
        reliable(&rig, 183, "a", 900, Some(ANSWER)),
        reliable(&rig, 180, "a", 901, None),
        reliable(&rig, 182, "a", 902, None),
    ];
    // The second overtakes the first, each is repeated, and the third comes late.
    for index in [0, 2, 0, 1, 1, 0, 2, 2] {
        rig.receive(responses[index].clone());
    }
    assert_eq!(racks(&rig), ["900 1 INVITE", "901 1 INVITE", "902 1 INVITE"]);
    assert_eq!(statuses(&rig), [183, 180, 182]);
    let seqs: Vec<_> = rig
        .requests(&Method::Prack)
        .iter()
        .map(|prack| prack.headers.cseq().unwrap().seq)
        .collect();
    assert_eq!(seqs, [2, 3, 4]);
}

#[test]
fn each_leg_of_a_fork_counts_its_own_responses() {
    let mut rig = Rig::new();
    for (tag, rseq) in [("a", 1), ("b", 70), ("a", 2), ("b", 71)] {
        let response = reliable(&rig, 180, tag, rseq, None);
        rig.receive(response);
    }
    assert_eq!(
        racks(&rig),
        ["1 1 INVITE", "70 1 INVITE", "2 1 INVITE", "71 1 INVITE"]
    );
}

#[test]
fn after_a_challenge_the_prack_names_the_second_invite() {
    let mut rig = Rig::new();
    rig.respond(491, "x");
    rig.advance(4_000);
    let response = reliable(&rig, 183, "a", 5, None);
    rig.receive(response);
    assert_eq!(racks(&rig), ["5 2 INVITE"]);
}

#[test]
fn a_2xx_that_overtakes_the_answer_to_the_prack_is_the_session() {
    let mut rig = Rig::new();
    let progress = reliable(&rig, 183, "a", 5, Some(ANSWER));
    rig.receive(progress);
    rig.respond(200, "a");
    assert_eq!(
        rig.events.last(),
        Some(&Event::Answered {
            sdp: Some(ANSWER.to_vec())
        })
    );
    // The PRACK goes on by itself until it is answered.
    rig.advance(1_600);
    let pracks = rig.requests(&Method::Prack);
    assert_eq!(pracks.len(), 3);
    assert!(
        pracks
            .iter()
            .all(|prack| Rig::branch(prack) == Rig::branch(&pracks[0]))
    );
    let ok = rig.response(&Method::Prack, 200, "a");
    rig.receive(ok);
    rig.advance(40_000);
    assert_eq!(rig.count(&Method::Prack), 3);
    rig.input(Input::Bye { reason: None });
    assert_eq!(rig.last_request(&Method::Bye).headers.get("CSeq"), Some("3 BYE"));
}

#[test]
fn a_prack_that_is_refused_or_lost_ends_nothing() {
    for status in [Some(481), Some(500), None] {
        let mut rig = Rig::new();
        let progress = reliable(&rig, 183, "a", 5, None);
        rig.receive(progress);
        match status {
            Some(status) => {
                let refusal = rig.response(&Method::Prack, status, "a");
                rig.receive(refusal);
            }
            None => rig.advance(40_000),
        }
        rig.answer("a");
        assert!(
            matches!(rig.events.last(), Some(Event::Answered { .. })),
            "{status:?}"
        );
    }
}

#[test]
fn a_response_that_requires_100rel_without_a_number_is_an_ordinary_one() {
    let mut rig = Rig::new();
    let mut response = rig.response(&Method::Invite, 180, "a");
    response.headers.push("Require", "100rel");
    rig.receive(response);
    assert_eq!((rig.count(&Method::Prack), statuses(&rig)), (0, vec![180]));
}

#[test]
fn with_100rel_off_it_is_not_offered_and_a_peer_that_insists_still_gets_its_prack() {
    let mut rig = Rig::with(InviteConfig {
        rel100: false,
        ..config()
    });
    assert!(!rig.last_request(&Method::Invite).headers.supports("100rel"));
    let response = reliable(&rig, 183, "a", 5, None);
    rig.receive(response);
    assert_eq!(rig.count(&Method::Prack), 1);
}

#[test]
fn an_update_without_offer_before_the_answer_is_accepted_and_moves_the_target() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    let mut update = rig.peer_request(Method::Update, 1, "a");
    update.headers.set("Contact", "<sip:moved@192.0.2.10:5099>");
    rig.receive(update);
    assert_eq!(rig.last_response().status, 200);
    let response = reliable(&rig, 183, "a", 1, None);
    rig.receive(response);
    assert_eq!(
        rig.last_request(&Method::Prack).uri.to_string(),
        "sip:moved@192.0.2.10:5099"
    );
}

#[test]
fn each_early_dialog_negotiates_for_itself() {
    let mut rig = Rig::new();
    for tag in ["a", "b"] {
        let progress = reliable(&rig, 183, tag, 1, Some(ANSWER));
        rig.receive(progress);
    }
    for (tag, seq) in [("a", 1), ("b", 2)] {
        let update = rig
            .peer_request(Method::Update, seq, tag)
            .with_body("application/sdp", tag.as_bytes().to_vec());
        rig.receive(update);
        rig.input(Input::AnswerOffer {
            sdp: format!("to {tag}").into_bytes(),
        });
        let ok = rig.last_response();
        assert_eq!((ok.status, ok.body), (200, format!("to {tag}").into_bytes()));
        assert_eq!(ok.headers.from().unwrap().tag(), Some(tag));
    }
}

#[test]
fn a_bye_to_an_early_dialog_is_not_the_callees_to_send() {
    let mut rig = Rig::new();
    rig.respond(180, "a");
    let bye = rig.peer_request(Method::Bye, 1, "a");
    rig.receive(bye);
    assert_eq!(rig.last_response().status, 481);
    rig.answer("a");
    assert!(matches!(rig.events.last(), Some(Event::Answered { .. })));
}
