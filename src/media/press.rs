//! One report per physical press, whatever carried it: telephone-event, tones in the audio, SIP INFO.
//!
//! A key can reach us three ways at once: a gateway sends telephone-event and leaks the tone, another repeats it in
//! INFO. [`PressMerger`] takes what each detector saw and lets one through:
//!
//! - telephone-event counts as soon as its detector is certain;
//! - a tone counts at once when telephone-event was not negotiated; else it waits until [`EVENT_WINDOW`] after it
//!   began and counts only if no packet of a key came, with `mismatch` set (the peer agreed to events and sends tones);
//! - INFO counts unless the same digit was heard in the media within [`INFO_WINDOW`], and the other way round.
//!
//! It decodes nothing itself ([`super::telephone_event`], [`super::inband`]); the parser of INFO bodies is here.
//!
//! Invariant: every [`PressEvent::Ended`] follows a [`PressEvent::Pressed`] of the same digit and transport.
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::telephone_event::Evidence;
use crate::model::{Digit, KeyTransport};

/// With telephone-event negotiated, a tone is believed only if no packet of a key came this long around it.
pub const EVENT_WINDOW: Duration = Duration::from_millis(120);
/// INFO travels through the signalling servers: up to this long apart it is the same press as the media's.
pub const INFO_WINDOW: Duration = Duration::from_millis(1000);
/// Presses kept for comparison. 120 ms hold at most three tones, and a second at most seven presses.
const RECENT_MAX: usize = 8;
const HELD_MAX: usize = 4;

/// Which detectors decide, per trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtmfMode {
    /// Both detectors; the commonest fault in the field is telephone-event agreed and tones sent.
    #[default]
    Auto,
    Rfc4733,
    Inband,
}

impl DtmfMode {
    /// The word of the trunk file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rfc4733 => "rfc4733",
            Self::Inband => "inband",
        }
    }
}

impl std::str::FromStr for DtmfMode {
    type Err = DtmfModeError;

    fn from_str(word: &str) -> Result<Self, DtmfModeError> {
        match word {
            "auto" => Ok(Self::Auto),
            "rfc4733" => Ok(Self::Rfc4733),
            "inband" => Ok(Self::Inband),
            other => Err(DtmfModeError(other.chars().take(32).collect())),
        }
    }
}

impl fmt::Display for DtmfMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected dtmf to be one of auto, rfc4733, inband; got {0:?}")]
pub struct DtmfModeError(String);

/// One physical press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    pub digit: Digit,
    pub transport: KeyTransport,
    /// When it became certain.
    pub at: Instant,
    /// First evidence.
    pub started_at: Instant,
    /// `None` while the key may still be down; [`PressEvent::Ended`] brings it.
    pub duration_ms: Option<u32>,
    /// Telephone-event was agreed, and the key came as tones.
    pub mismatch: bool,
}

/// What the merger tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PressEvent {
    Pressed(Press),
    /// The key of the last such press is up.
    Ended {
        digit: Digit,
        transport: KeyTransport,
        duration_ms: u32,
    },
    /// Once per stream: events came on a payload type that was not agreed, and are accepted.
    UnnegotiatedEvents {
        payload_type: u8,
    },
}

/// A press that went out, for comparison with what another transport brings.
#[derive(Debug, Clone, Copy)]
struct Recent {
    digit: Digit,
    transport: KeyTransport,
    started_at: Instant,
    /// `None` while it is down.
    ended_at: Option<Instant>,
    /// By transport: a copy has come by it too. A press explains one copy per transport.
    explained: [bool; 3],
}

/// A tone that waits for a possible event packet.
#[derive(Debug, Clone, Copy)]
struct Held {
    digit: Digit,
    started_at: Instant,
    duration_ms: Option<u32>,
}

/// Merges the detectors of one stream.
#[derive(Debug, Clone)]
pub struct PressMerger {
    mode: DtmfMode,
    event_negotiated: bool,
    event_packet_at: Option<Instant>,
    recent: VecDeque<Recent>,
    held: VecDeque<Held>,
}

impl PressMerger {
    #[must_use]
    pub fn new(mode: DtmfMode, event_negotiated: bool) -> Self {
        Self {
            mode,
            event_negotiated,
            event_packet_at: None,
            recent: VecDeque::with_capacity(RECENT_MAX),
            held: VecDeque::with_capacity(HELD_MAX),
        }
    }

    /// A re-offer may change the method; presses under way are kept.
    pub const fn renegotiate(&mut self, mode: DtmfMode, event_negotiated: bool) {
        self.mode = mode;
        self.event_negotiated = event_negotiated;
    }

    /// An event packet. Tones around one of a press do not count, also when the press is not yet certain. One of a
    /// press that is over explains a tone that begins after it, not one that waits already.
    pub fn event_packet(&mut self, now: Instant, evidence: Evidence) {
        if self.mode == DtmfMode::Inband || evidence == Evidence::Nothing {
            return;
        }
        self.event_packet_at = Some(now);
        if evidence == Evidence::Press {
            self.held.clear();
        }
    }

    pub fn event_began(
        &mut self,
        now: Instant,
        digit: Digit,
        started_at: Instant,
        out: &mut Vec<PressEvent>,
    ) {
        if self.mode == DtmfMode::Inband || self.heard_elsewhere(digit, KeyTransport::Rfc4733, started_at) {
            return;
        }
        self.report(now, digit, KeyTransport::Rfc4733, started_at, false, out);
    }

    pub fn event_ended(&mut self, now: Instant, digit: Digit, duration_ms: u32, out: &mut Vec<PressEvent>) {
        self.end(now, digit, KeyTransport::Rfc4733, duration_ms, out);
    }

    pub fn tone_began(&mut self, now: Instant, digit: Digit, started_at: Instant, out: &mut Vec<PressEvent>) {
        if self.mode == DtmfMode::Rfc4733
            || self.event_packet_near(started_at)
            || self.heard_elsewhere(digit, KeyTransport::Inband, started_at)
        {
            return;
        }
        let waits = self.mode == DtmfMode::Auto && self.event_negotiated;
        if !waits {
            self.report(now, digit, KeyTransport::Inband, started_at, false, out);
            return;
        }
        if self.held.len() < HELD_MAX {
            let duration_ms = None;
            self.held.push_back(Held {
                digit,
                started_at,
                duration_ms,
            });
        }
        self.poll(now, out);
    }

    pub fn tone_ended(&mut self, now: Instant, digit: Digit, duration_ms: u32, out: &mut Vec<PressEvent>) {
        if let Some(held) = self.held.back_mut().filter(|h| h.digit == digit) {
            held.duration_ms = Some(duration_ms);
            return;
        }
        self.end(now, digit, KeyTransport::Inband, duration_ms, out);
    }

    /// A key in a SIP INFO ([`parse_info`]).
    pub fn info(&mut self, now: Instant, key: InfoKey, out: &mut Vec<PressEvent>) {
        let lasted = Duration::from_millis(u64::from(key.duration_ms.unwrap_or(0)));
        let started_at = now.checked_sub(lasted).unwrap_or(now);
        self.held.retain(|h| h.digit != key.digit);
        if self.heard_elsewhere(key.digit, KeyTransport::Info, started_at) {
            return;
        }
        self.remember(key.digit, KeyTransport::Info, started_at, Some(now));
        out.push(PressEvent::Pressed(Press {
            digit: key.digit,
            transport: KeyTransport::Info,
            at: now,
            started_at,
            duration_ms: key.duration_ms,
            mismatch: false,
        }));
    }

    /// Lets tones go whose wait is over.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<PressEvent>) {
        while let Some(held) = self.held.front().copied() {
            if now < held.started_at + EVENT_WINDOW {
                return;
            }
            self.held.pop_front();
            self.report(now, held.digit, KeyTransport::Inband, held.started_at, true, out);
            if let Some(duration_ms) = held.duration_ms {
                self.end(now, held.digit, KeyTransport::Inband, duration_ms, out);
            }
        }
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let held = self.held.front()?;
        Some((
            held.started_at + EVENT_WINDOW,
            "no telephone-event came with the tone",
        ))
    }

    fn event_packet_near(&self, started_at: Instant) -> bool {
        self.event_packet_at
            .is_some_and(|at| at + EVENT_WINDOW >= started_at)
    }

    /// Whether a press that went out by another transport is this one; it then explains this copy and no other.
    fn heard_elsewhere(&mut self, digit: Digit, transport: KeyTransport, started_at: Instant) -> bool {
        let others = self
            .recent
            .iter_mut()
            .filter(|r| r.digit == digit && r.transport != transport);
        let mut near = others.filter(|r| r.is_near(started_at, transport));
        near.any(|r| !std::mem::replace(r.explained(transport), true))
    }

    fn report(
        &mut self,
        now: Instant,
        digit: Digit,
        transport: KeyTransport,
        started_at: Instant,
        mismatch: bool,
        out: &mut Vec<PressEvent>,
    ) {
        self.remember(digit, transport, started_at, None);
        out.push(PressEvent::Pressed(Press {
            digit,
            transport,
            at: now,
            started_at,
            duration_ms: None,
            mismatch,
        }));
    }

    fn end(
        &mut self,
        now: Instant,
        digit: Digit,
        transport: KeyTransport,
        duration_ms: u32,
        out: &mut Vec<PressEvent>,
    ) {
        let down = self.recent.iter_mut().rev();
        let mut down = down.filter(|r| r.digit == digit && r.transport == transport && r.ended_at.is_none());
        let Some(press) = down.next() else { return };
        press.ended_at = Some(now);
        out.push(PressEvent::Ended {
            digit,
            transport,
            duration_ms,
        });
    }

    fn remember(
        &mut self,
        digit: Digit,
        transport: KeyTransport,
        started_at: Instant,
        ended_at: Option<Instant>,
    ) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent {
            digit,
            transport,
            started_at,
            ended_at,
            explained: [false; 3],
        });
    }
}

impl Recent {
    const fn explained(&mut self, transport: KeyTransport) -> &mut bool {
        let [rfc4733, inband, info] = &mut self.explained;
        match transport {
            KeyTransport::Rfc4733 => rfc4733,
            KeyTransport::Inband => inband,
            KeyTransport::Info => info,
        }
    }

    /// Whether a press that began at `started_at` by `transport` can be this one.
    fn is_near(&self, started_at: Instant, transport: KeyTransport) -> bool {
        let by_signalling = self.transport == KeyTransport::Info || transport == KeyTransport::Info;
        let window = if by_signalling { INFO_WINDOW } else { EVENT_WINDOW };
        let after_its_start = started_at + window >= self.started_at;
        let before_its_end = self
            .ended_at
            .is_none_or(|ended_at| started_at <= ended_at + window);
        after_its_start && before_its_end
    }
}

/// A key from a SIP INFO body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfoKey {
    pub digit: Digit,
    pub duration_ms: Option<u32>,
}

/// Longest INFO body that can be a key, octets.
const INFO_BODY_LEN_MAX: usize = 512;
/// Longest press an INFO may claim, milliseconds.
const INFO_DURATION_MS_MAX: u32 = 60_000;

/// Reads `application/dtmf-relay` (`Signal=`, `Duration=` in milliseconds) and `application/dtmf` (the bare symbol).
/// Anything else is no key: `None`.
#[must_use]
pub fn parse_info(content_type: &str, body: &[u8]) -> Option<InfoKey> {
    if body.len() > INFO_BODY_LEN_MAX {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if media_type.eq_ignore_ascii_case("application/dtmf") && !text.contains('=') {
        let digit = info_digit(text)?;
        return Some(InfoKey {
            digit,
            duration_ms: None,
        });
    }
    let is_key = media_type.eq_ignore_ascii_case("application/dtmf-relay")
        || media_type.eq_ignore_ascii_case("application/dtmf");
    if !is_key {
        return None;
    }
    let field = |name: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let mut values = pairs.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    };
    let digit = info_digit(field("signal")?)?;
    let duration_ms = field("duration").and_then(|d| d.parse().ok());
    Some(InfoKey {
        digit,
        duration_ms: duration_ms.map(|d: u32| d.min(INFO_DURATION_MS_MAX)),
    })
}

/// One symbol, or the event code that some gateways write for `*` and `#`.
fn info_digit(text: &str) -> Option<Digit> {
    let text = text.trim();
    let mut symbols = text.chars();
    match (symbols.next(), symbols.next()) {
        (Some(symbol), None) => Digit::from_char(symbol),
        (Some(_), Some(_)) => {
            let event = text.parse::<u8>().ok().filter(|event| (10..16).contains(event))?;
            Digit::from_event(event)
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Bench {
        start: Instant,
        merger: PressMerger,
        out: Vec<PressEvent>,
    }

    impl Bench {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some origin; only differences count"
        )]
        fn new(mode: DtmfMode, negotiated: bool) -> Self {
            Self {
                start: Instant::now(),
                merger: PressMerger::new(mode, negotiated),
                out: Vec::new(),
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(10_000 + ms)
        }

        fn presses(&self) -> Vec<(char, KeyTransport, bool)> {
            let presses = self.out.iter().filter_map(|e| match e {
                PressEvent::Pressed(p) => Some((p.digit.as_char(), p.transport, p.mismatch)),
                PressEvent::Ended { .. } | PressEvent::UnnegotiatedEvents { .. } => None,
            });
            presses.collect()
        }

        fn event(&mut self, from_ms: u64, to_ms: u64, digit: Digit) {
            let (began, ended) = (self.at(from_ms + 20), self.at(to_ms));
            self.merger.event_packet(self.at(from_ms), Evidence::Press);
            self.merger
                .event_began(began, digit, self.at(from_ms), &mut self.out);
            self.merger.event_packet(ended, Evidence::Press);
            let duration_ms = (to_ms - from_ms) as u32;
            self.merger.event_ended(ended, digit, duration_ms, &mut self.out);
        }

        fn tone(&mut self, from_ms: u64, to_ms: u64, digit: Digit) {
            let (began, ended) = (self.at(from_ms + 40), self.at(to_ms + 25));
            self.merger.poll(began, &mut self.out);
            self.merger
                .tone_began(began, digit, self.at(from_ms), &mut self.out);
            self.merger.poll(ended, &mut self.out);
            let duration_ms = (to_ms - from_ms) as u32;
            self.merger.tone_ended(ended, digit, duration_ms, &mut self.out);
        }

        fn poll(&mut self, ms: u64) {
            self.merger.poll(self.at(ms), &mut self.out);
        }

        fn info(&mut self, ms: u64, digit: Digit) {
            let key = InfoKey {
                digit,
                duration_ms: Some(100),
            };
            self.merger.info(self.at(ms), key, &mut self.out);
        }
    }

    #[test]
    fn a_tone_beside_its_event_is_one_press() {
        let mut bench = Bench::new(DtmfMode::Auto, true);
        bench.event(0, 100, Digit::POUND);
        bench.tone(5, 105, Digit::POUND);
        bench.poll(1000);
        assert_eq!(bench.presses(), [('#', KeyTransport::Rfc4733, false)]);
        assert_eq!(bench.out.len(), 2);
    }

    #[test]
    fn an_event_shortly_after_the_leaked_tone_wins() {
        let mut bench = Bench::new(DtmfMode::Auto, true);
        bench.tone(0, 60, Digit::POUND);
        bench.event(90, 200, Digit::POUND);
        bench.poll(1000);
        assert_eq!(bench.presses(), [('#', KeyTransport::Rfc4733, false)]);
    }

    #[test]
    fn a_tone_without_events_counts_after_the_window_and_is_flagged() {
        let mut bench = Bench::new(DtmfMode::Auto, true);
        bench.tone(0, 60, Digit::POUND);
        assert_eq!(bench.presses(), []);
        let (due, _) = bench.merger.poll_timeout().unwrap();
        assert_eq!(due, bench.at(120));
        bench.poll(120);
        assert_eq!(bench.presses(), [('#', KeyTransport::Inband, true)]);
        let ended = PressEvent::Ended {
            digit: Digit::POUND,
            transport: KeyTransport::Inband,
            duration_ms: 60,
        };
        assert_eq!(bench.out[1], ended);
        assert_eq!(bench.merger.poll_timeout(), None);
    }

    #[test]
    fn without_telephone_event_a_tone_counts_at_once() {
        let mut bench = Bench::new(DtmfMode::Auto, false);
        bench.tone(0, 60, Digit::STAR);
        bench.tone(200, 260, Digit::STAR);
        let star = ('*', KeyTransport::Inband, false);
        assert_eq!(bench.presses(), [star, star]);
    }

    #[test]
    fn a_late_event_of_a_counted_tone_is_the_same_press() {
        let mut bench = Bench::new(DtmfMode::Auto, false);
        bench.tone(0, 60, Digit::POUND);
        bench.event(100, 200, Digit::POUND);
        assert_eq!(bench.presses().len(), 1);
        bench.event(600, 700, Digit::POUND);
        assert_eq!(bench.presses().len(), 2);
    }

    #[test]
    fn a_forced_mode_ignores_the_other_detector() {
        let mut bench = Bench::new(DtmfMode::Rfc4733, false);
        bench.tone(0, 60, Digit::POUND);
        bench.poll(500);
        assert_eq!(bench.presses(), []);
        let mut bench = Bench::new(DtmfMode::Inband, true);
        bench.event(0, 60, Digit::POUND);
        assert_eq!(bench.presses(), []);
        bench.tone(10, 60, Digit::POUND);
        assert_eq!(bench.presses(), [('#', KeyTransport::Inband, false)]);
    }

    #[test]
    fn info_repeats_what_the_media_said_and_counts_alone() {
        let mut bench = Bench::new(DtmfMode::Auto, true);
        bench.event(0, 100, Digit::POUND);
        bench.info(300, Digit::POUND);
        assert_eq!(bench.presses().len(), 1);
        bench.info(700, Digit::POUND);
        assert_eq!(bench.presses().len(), 2, "one media press explains one INFO");
        bench.event(900, 1000, Digit::POUND);
        assert_eq!(bench.presses().len(), 2, "and one INFO one media press");
    }

    #[test]
    fn twelve_quick_presses_by_both_paths_stay_twelve() {
        let mut bench = Bench::new(DtmfMode::Auto, true);
        for n in 0..12 {
            bench.event(n * 130, n * 130 + 60, Digit::ZERO);
            bench.tone(n * 130, n * 130 + 60, Digit::ZERO);
        }
        bench.poll(10_000);
        assert_eq!(bench.presses().len(), 12);
    }

    #[test]
    fn info_bodies_of_common_devices_are_read() {
        let relay = "application/dtmf-relay";
        let key = |digit, duration_ms| Some(InfoKey { digit, duration_ms });
        assert_eq!(
            parse_info(relay, b"Signal=#\r\nDuration=160\r\n"),
            key(Digit::POUND, Some(160))
        );
        assert_eq!(
            parse_info(relay, b"Signal= 11\nDuration= 250"),
            key(Digit::POUND, Some(250))
        );
        assert_eq!(
            parse_info("Application/DTMF-Relay; x=y", b"signal=*"),
            key(Digit::STAR, None)
        );
        assert_eq!(parse_info("application/dtmf", b"#"), key(Digit::POUND, None));
        assert_eq!(
            parse_info(relay, b"Signal=0\nDuration=4000000000"),
            key(Digit::ZERO, Some(60_000))
        );
        for (content_type, body) in [
            ("text/plain", &b"Signal=#"[..]),
            (relay, b"Duration=100"),
            (relay, b"Signal=16"),
            (relay, b"Signal=##"),
            (relay, b"Signal="),
            ("application/dtmf", b""),
            ("application/dtmf", b"\xff"),
        ] {
            assert_eq!(parse_info(content_type, body), None, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_info_body_panics(content_type in ".{0,40}", body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_info(&content_type, &body);
            let _ = parse_info("application/dtmf-relay", &body);
        }
    }
}
