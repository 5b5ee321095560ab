//! Every simulated callee of the contract, called over the real wire, all at the same time.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringproof::media::codec;
use ringproof::model::Codec;
use serde_json::{Value, json};

use super::house::House;
use super::line::text;

/// What a call to one callee must come to.
struct Case {
    /// Last four digits of +1 500 555 …
    number: &'static str,
    method: &'static str,
    /// Fields of the POST beside `to` and `method`.
    with: Value,
    outcome: &'static str,
    /// The deciding key and its transport.
    key: Option<(&'static str, &'static str)>,
    sip_status: u16,
    hung_up_by: Option<&'static str>,
    flags: &'static [&'static str],
}

impl Case {
    fn new(number: &'static str, outcome: &'static str) -> Self {
        Self {
            number,
            method: "press_key",
            with: json!({}),
            outcome,
            key: None,
            sip_status: 200,
            hung_up_by: Some("us"),
            flags: &[],
        }
    }

    fn key(self, key: &'static str, transport: &'static str) -> Self {
        Self {
            key: Some((key, transport)),
            ..self
        }
    }

    fn rejected(self, sip_status: u16) -> Self {
        Self {
            sip_status,
            hung_up_by: None,
            ..self
        }
    }

    fn by(self, hung_up_by: &'static str) -> Self {
        Self {
            hung_up_by: Some(hung_up_by),
            ..self
        }
    }

    fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn with(self, with: Value) -> Self {
        Self { with, ..self }
    }

    fn flags(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }
}

/// The callees of contract §7. Those of one inner list have the same number, or follow one another for another
/// reason; the lists run at the same time.
fn table() -> Vec<Vec<Case>> {
    let case = Case::new;
    let approved = "approved/key_confirmed";
    let machine = "expired/suspect_machine";
    vec![
        vec![case("0001", approved).key("#", "rfc4733")],
        vec![case("0002", approved).key("#", "inband")],
        vec![case("0003", approved).key("#", "info")],
        vec![case("0004", "failed/busy").rejected(486)],
        vec![case("0005", "expired/no_answer").rejected(487).by("us")],
        vec![case("0006", "denied/declined").rejected(603)],
        vec![case("0007", "failed/not_allocated").rejected(404)],
        vec![
            case("0008", "failed/congestion").rejected(503),
            case("0008", approved).key("#", "rfc4733"),
        ],
        vec![case("0009", "expired/no_input").flags(&["silent_callee"])],
        vec![case("0010", approved).key("#", "rfc4733")],
        vec![case("0011", "denied/fraud_reported").key("#", "rfc4733")],
        vec![
            case("0012", "denied/hung_up")
                .by("callee")
                .flags(&["silent_callee"]),
        ],
        vec![case("0013", approved).key("#", "rfc4733")],
        vec![case("0014", "expired/voicemail").flags(&["beep"])],
        vec![
            // Tones though telephone-event is agreed.
            case("0015", machine).flags(&["dtmf_mismatch"]),
            case("0015", machine)
                .method("random_key")
                .flags(&["dtmf_mismatch"]),
            case("0015", machine)
                .method("match_code")
                .flags(&["dtmf_mismatch"]),
        ],
        vec![case("0016", "expired/call_screened").flags(&["screening_robot"])],
        // 480 after a 183 is an answer after ringing (SIP §4).
        vec![case("0017", "expired/no_answer").rejected(480)],
        vec![
            case("0018", "failed/media_failed")
                .by("callee")
                .flags(&["no_callee_audio"]),
        ],
        vec![case("0019", approved).key("#", "rfc4733")],
        vec![
            case("0021", "approved/code_matched")
                .method("match_code")
                .key("#", "rfc4733"),
        ],
        vec![case("0022", approved).method("random_key").key("?", "rfc4733")],
        vec![case("0023", "canceled/by_client")],
        vec![
            case("0024", approved)
                .key("#", "rfc4733")
                .with(json!({"extension": {"digits": "1234", "wait_ms": 2000}})),
        ],
        vec![
            case("0025", "delivered/code_played")
                .method("speak_code")
                .key("1", "rfc4733")
                .with(json!({"code": "481920"})),
        ],
        vec![
            case("0026", "failed/rejected_by_network")
                .rejected(603)
                .flags(&["call_blocked"]),
        ],
        vec![
            case("0027", approved)
                .key("#", "inband")
                .flags(&["dtmf_mismatch"]),
        ],
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_simulated_callee_ends_as_documented() {
    let began = Instant::now();
    let house = Arc::new(House::start().await);
    let mut running = tokio::task::JoinSet::new();
    for cases in table() {
        let house = Arc::clone(&house);
        running.spawn(async move {
            let mut ended = Vec::new();
            for case in cases {
                ended.push((run(&house, &case).await, case));
            }
            ended
        });
    }
    let mut results = Vec::new();
    while let Some(ended) = running.join_next().await {
        results.extend(ended.unwrap());
    }
    let mut faults = Vec::new();
    for (result, case) in &results {
        check(&house, case, result, &mut faults);
    }
    check_webhooks(&house, &results, &mut faults);
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(results.len(), 29);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    Arc::into_inner(house).unwrap().stop().await;
}

/// How one call went, by the server's word and by the callee's.
struct Result {
    id: String,
    view: Value,
    call: Value,
    audio: Vec<i16>,
}

async fn run(house: &House, case: &Case) -> Result {
    let to = format!("+1500555{}", case.number);
    let mut body = json!({"to": to, "method": case.method, "callback_url": house.hooks.url});
    // The case before may have had the same number: this one waits until its phone is quiet.
    body["supersede"] = json!(true);
    let fields = body.as_object_mut().unwrap();
    fields.extend(case.with.as_object().unwrap().clone());
    let created = house.http.create(&body).await;
    let id = text(&created["id"]).to_owned();
    match (case.number, case.method) {
        ("0021", _) => {
            let code = json!({"code": created["display_code"]});
            house.carrier.script(&to, &code).await;
        }
        ("0023", _) => {
            house.http.stage(&id, "ringing").await;
            house
                .http
                .post(&format!("/v1/verifications/{id}/cancel"), &json!({}))
                .await;
        }
        _ => {}
    }
    let ended = house.http.ended(&id).await;
    let call_id = text(&ended["attempts"][0]["call_id"]).to_owned();
    let call = house.carrier.over(&call_id).await;
    let view = reported(house, &id).await;
    house.hooks.terminal(&id).await;
    let wav = house
        .carrier
        .http
        .bytes(&format!("/sim/calls/{call_id}/audio.wav"))
        .await;
    let mut wav = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap();
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (8000, 1));
    let audio = wav.samples().map(|s| s.unwrap()).collect();
    Result {
        id,
        view,
        call,
        audio,
    }
}

/// The verification with the last report of its call: that is written after the outcome.
pub(super) async fn reported(house: &House, id: &str) -> Value {
    let store = house.app.store();
    let id_parsed = id.parse().unwrap();
    let mut watch = store.watch(id_parsed).unwrap();
    let look = async {
        loop {
            let view = house.http.read(id).await;
            if view["attempts"][0]["ended_at"].is_string() {
                return view;
            }
            watch.changed().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), look).await {
        Ok(view) => view,
        Err(_) => panic!(
            "the last report of {id} did not come: {}",
            house.http.read(id).await
        ),
    }
}

fn check(house: &House, case: &Case, result: &Result, faults: &mut Vec<String>) {
    let Result { view, call, .. } = result;
    let name = format!("{} {}", case.number, case.method);
    let mut expect = |what: &str, found: &Value, expected: Value| {
        if *found != expected {
            faults.push(format!("{name}: {what}: expected {expected}, found {found}"));
        }
    };
    let attempt = &view["attempts"][0];
    let outcome = format!("{}/{}", text(&view["status"]), text(&view["reason"]));
    expect("outcome", &json!(outcome), json!(case.outcome));
    expect(
        "attempts",
        &json!(view["attempts"].as_array().map(Vec::len)),
        json!(1),
    );
    expect("trunk", &attempt["trunk"], json!("simulated-carrier"));
    expect("call_id", &attempt["call_id"], call["call_id"].clone());
    expect("sip_status", &attempt["sip_status"], json!(case.sip_status));
    if case.hung_up_by.is_some() {
        expect("hung_up_by", &attempt["hung_up_by"], json!(case.hung_up_by));
    }
    expect("flags", &attempt["flags"], json!(case.flags));
    let (key, transport) = case.key.unzip();
    expect("key_transport", &attempt["key_transport"], json!(transport));
    match key {
        Some("?") => expect("key", &attempt["key"], call["keys"][0]["digits"].clone()),
        key => expect("key", &attempt["key"], json!(key)),
    }
    if key.is_some() {
        expect("key_delay", &json!(attempt["key_delay_ms"].is_u64()), json!(true));
    }
    expect("ended_at", &json!(attempt["ended_at"].is_string()), json!(true));
    if case.sip_status == 200 && case.number != "0023" {
        check_talk(attempt, case, &mut expect);
    }
    check_call(case, call, &mut expect);
    check_prompt(house, case, result, &mut expect);
}

fn check_talk(attempt: &Value, case: &Case, expect: &mut impl FnMut(&str, &Value, Value)) {
    expect("codec", &attempt["codec"], json!("PCMU"));
    for field in ["pdd_ms", "ring_ms", "talk_ms"] {
        expect(field, &json!(attempt[field].is_u64()), json!(true));
    }
    let heard = attempt["packets_received"].as_u64() > Some(0);
    expect("packets_received", &json!(heard), json!(case.number != "0018"));
    if heard {
        expect("jitter", &json!(attempt["jitter_ms"].is_number()), json!(true));
        expect("mos", &json!(attempt["mos"].is_number()), json!(true));
    }
}

/// What the callee's side of the call must have seen.
fn check_call(case: &Case, call: &Value, expect: &mut impl FnMut(&str, &Value, Value)) {
    let messages = call["messages"].as_array().unwrap();
    let seen = |direction: &str, summary: &str| {
        let fits = |m: &&Value| m["direction"] == direction && m["summary"] == summary;
        messages.iter().filter(fits).count()
    };
    if case.sip_status == 200 {
        let byes = seen("in", "BYE") + seen("out", "BYE");
        expect("ACKed", &json!(seen("in", "ACK") > 0), json!(true));
        expect("ended by BYE", &json!(byes > 0), json!(true));
    }
    match case.number {
        "0005" => expect("CANCEL", &json!(seen("in", "CANCEL") > 0), json!(true)),
        "0023" => {
            let order: Vec<&str> = messages.iter().map(|m| text(&m["summary"])).collect();
            let crossed = ["CANCEL", "200 OK (INVITE)", "ACK", "BYE", "200 OK (BYE)"];
            let mut rest = order.iter();
            let in_order = crossed.iter().all(|wanted| rest.any(|found| found == wanted));
            expect(
                "200 crossing CANCEL",
                &json!([in_order, order]),
                json!([true, order]),
            );
        }
        "0010" | "0011" | "0013" => {
            let pressed: String = call["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|k| text(&k["digits"]))
                .collect();
            let wanted = match case.number {
                "0010" => "5#",
                "0011" => "0#",
                _ => "*#",
            };
            expect("keys of the callee", &json!(pressed), json!(wanted));
        }
        "0024" => {
            let received = call["keys_received"].as_array().unwrap();
            let digits: String = received.iter().map(|k| text(&k["digits"])).collect();
            let events = received.iter().all(|k| k["transport"] == "rfc4733");
            expect("extension", &json!([digits, events]), json!(["1234", true]));
        }
        "0025" => {
            let heard: Vec<&str> = call["heard"].as_array().unwrap().iter().map(text).collect();
            let digits: String = heard
                .iter()
                .filter_map(|clip| clip.strip_prefix("digit-"))
                .collect();
            expect("spoken code", &json!(digits), json!("481920481920"));
        }
        _ => {}
    }
}

/// The callee's recording holds the sentence that asks for the key, sample for sample.
fn check_prompt(house: &House, case: &Case, result: &Result, expect: &mut impl FnMut(&str, &Value, Value)) {
    let clip = match (case.sip_status, case.number, case.method) {
        (200, "0012" | "0018", _) => "brand-default",
        (200, "0015" | "0023", _) => return,
        (200, "0014", _) => return check_beep(&result.audio, expect),
        (200, _, "press_key") => "confirm-press-pound",
        (200, _, "match_code") => "match-code-enter",
        (200, _, "random_key") => "random-press-key",
        (200, _, _) => "speak-code-press-one",
        _ => return,
    };
    let clip = house.voices[0].clip(clip).unwrap();
    let octets = clip.audio(Codec::Pcmu);
    let mut prompt = vec![0; octets.len()];
    codec::decode(Codec::Pcmu, octets, &mut prompt);
    let share = share_found(&prompt, &result.audio);
    // 0012 has left before the end of the sentence.
    let share_min = if case.number == "0012" { 50 } else { 95 };
    let enough = json!([share, share >= share_min]);
    expect(
        "per cent of the prompt in the recording",
        &enough,
        json!([share, true]),
    );
}

/// The greeting of 4 s is spoken over; from 300 ms after it the machine beeps. Within 200 ms of that the beep is known, and
/// within 200 ms more the call is over: the rest is what a busy machine and a ring of 40 ms take.
fn check_beep(heard: &[i16], expect: &mut impl FnMut(&str, &Value, Value)) {
    const PER_MS: usize = 8;
    let said = heard.iter().take(4000 * PER_MS).any(|sample| sample.abs() > 3000);
    expect("prompt over the greeting", &json!(said), json!(true));
    let last = heard.iter().rposition(|sample| sample.abs() > 300);
    let spoke_until_ms = last.unwrap_or_default() / PER_MS;
    let in_time = json!([spoke_until_ms, spoke_until_ms <= 4300 + 500]);
    expect("stop after the beep", &in_time, json!([spoke_until_ms, true]));
    let ended_ms = heard.len() / PER_MS;
    let in_time = json!([ended_ms, ended_ms <= 4300 + 700]);
    expect("BYE after the beep", &in_time, json!([ended_ms, true]));
}

/// Per cent of the prompt's frames that stand in the recording, all at the same distance from its loudest one.
fn share_found(prompt: &[i16], recording: &[i16]) -> usize {
    const FRAME: usize = 160;
    let level = |frame: &[i16]| frame.iter().map(|s| u32::from(s.unsigned_abs())).sum::<u32>();
    let frames: Vec<&[i16]> = prompt.chunks_exact(FRAME).collect();
    let (loudest, needle) = frames
        .iter()
        .enumerate()
        .max_by_key(|(_, frame)| level(frame))
        .unwrap();
    let best = recording
        .windows(FRAME)
        .enumerate()
        .filter(|(_, window)| window == needle)
        .filter_map(|(at, _)| at.checked_sub(loudest * FRAME))
        .map(|begins| {
            let found = recording.get(begins..).unwrap_or_default().chunks_exact(FRAME);
            frames.iter().zip(found).filter(|(a, b)| *a == b).count()
        })
        .max();
    best.unwrap_or_default() * 100 / frames.len()
}

/// One terminal event for each verification, fraud told once, every signature right.
fn check_webhooks(house: &House, results: &[(Result, Case)], faults: &mut Vec<String>) {
    for hook in house.hooks.all() {
        if let Some(fault) = &hook.fault {
            faults.push(format!("{} {}: {fault}", hook.kind, hook.verification));
        }
    }
    for (result, case) in results {
        let hooks = house.hooks.of(&result.id);
        let mut kinds: Vec<&str> = hooks.iter().map(|h| h.kind.as_str()).collect();
        kinds.sort_unstable();
        let terminal = format!("verification.{}", case.outcome.split('/').next().unwrap());
        let expected = match case.number {
            "0011" => vec!["fraud.reported", terminal.as_str()],
            _ => vec![terminal.as_str()],
        };
        if kinds != expected {
            faults.push(format!("{}: webhooks: {kinds:?}", case.number));
        }
        for hook in hooks {
            let body = &hook.body["data"];
            let outcome = format!("{}/{}", text(&body["status"]), text(&body["reason"]));
            if outcome != case.outcome || body["display_code"].is_string() {
                faults.push(format!("{}: webhook says {outcome}", case.number));
            }
        }
    }
}
