//! The phones: what happens on their lines, what they hear, and what their owners do about it.
use ringproof::model::KeyTransport;

use crate::callee::{Callee, Deed, Deeds};
use crate::clock::At;
use crate::dice::Dice;
use crate::peer::{LineEvent, Media};
use crate::script::Habit;
use crate::transition::{Line, Transition};
use crate::world::World;

/// From a phone to our leg.
const TO_LEG_MS: u64 = 40;
/// From the first evidence of a key to certainty: telephone-event, tones, and tones where events were agreed.
const EVENT_CERTAIN_MS: u64 = 20;
const TONE_CERTAIN_MS: u64 = 50;
const MISMATCH_CERTAIN_MS: u64 = 120;

impl World<'_> {
    pub(crate) fn line_event(&mut self, trunk: usize, exchange: usize, leg: usize, event: LineEvent) {
        let line = Line { trunk, exchange, leg };
        match event {
            LineEvent::EarlyMedia => {
                self.phone_sends(line);
                let deeds = self.callee(line).early_media();
                self.do_all(line, deeds);
            }
            LineEvent::Answered => {
                self.phone_sends(line);
                let deeds = self.callee(line).answered();
                self.do_all(line, deeds);
            }
            LineEvent::Over => {
                self.sending.retain(|sending| *sending != line);
                if let Some(callee) = self.callees.get_mut(&line) {
                    callee.over = true;
                }
            }
        }
    }

    pub(crate) fn hears(&mut self, line: Line, clip: &str) {
        if self.callee(line).over {
            return;
        }
        let deeds = self.callee(line).hears(clip);
        self.do_all(line, deeds);
    }

    pub(crate) fn presses(&mut self, line: Line, key: char) {
        let callee = self.callee(line);
        if callee.over {
            return;
        }
        let script = callee.script.clone();
        let answered = self.peers[line.trunk].exchanges[line.exchange].legs[line.leg]
            .answered_at
            .is_some();
        let Media { events } = self.peers[line.trunk].exchanges[line.exchange].legs[line.leg].form;
        let now = self.now();
        if script.transport == KeyTransport::Info && answered {
            let peer = &mut self.peers[line.trunk];
            let effects = peer.key_info(now, line.exchange, line.leg, key, script.tone_ms);
            return self.trunk_effects(line.trunk, effects);
        }
        // A phone sends events only where they were agreed.
        let in_band = script.transport != KeyTransport::Rfc4733 || !events;
        let mismatch = in_band && events;
        let certain_ms = match (in_band, mismatch) {
            (false, _) => EVENT_CERTAIN_MS,
            (true, false) => TONE_CERTAIN_MS,
            (true, true) => MISMATCH_CERTAIN_MS,
        };
        let goes_on = matches!(script.habit, Habit::TonesBeforeAnswer { goes_on: true });
        let tone_ms = if goes_on {
            60_000
        } else {
            script.tone_ms.max(certain_ms)
        };
        let started = At(now.0).plus_ms(TO_LEG_MS);
        self.note(format_args!("{:>28} presses {key}", "a phone"));
        let certain = Transition::KeyCertain {
            line,
            key,
            started,
            tone_ms,
            in_band,
            mismatch,
        };
        self.at(started.plus_ms(certain_ms), certain);
        self.at(
            started.plus_ms(tone_ms + 20),
            Transition::KeyUp {
                line,
                key,
                tone_ms,
                in_band,
            },
        );
    }

    pub(crate) fn hangs_up(&mut self, line: Line) {
        if self.callee(line).over {
            return;
        }
        self.note(format_args!("{:>28} hangs up", "a phone"));
        let now = self.now();
        let effects = self.peers[line.trunk].hang_up(now, line.exchange, line.leg);
        self.trunk_effects(line.trunk, effects);
    }

    fn phone_sends(&mut self, line: Line) {
        if self.callee(line).script.sends_rtp && !self.sending.contains(&line) {
            self.sending.push(line);
            let after_ms = TO_LEG_MS + self.dice.between(0, 60);
            self.after_ms(after_ms, Transition::FirstPacket { line });
        }
    }

    fn do_all(&mut self, line: Line, deeds: Deeds) {
        for (after_ms, deed) in deeds {
            let transition = match deed {
                Deed::Key(key) => Transition::Presses { line, key },
                Deed::HangUp => Transition::HangsUp { line },
            };
            self.after_ms(after_ms, transition);
        }
    }

    fn callee(&mut self, line: Line) -> &mut Callee {
        let exchange = &self.peers[line.trunk].exchanges[line.exchange];
        let known = self
            .facts
            .attempts
            .values()
            .find(|facts| facts.call_id == exchange.call_id);
        let request = known
            .and_then(|facts| self.facts.verifications.get(&facts.verification))
            .map_or(0, |facts| facts.request);
        let asked = &self.plan.requests[request];
        self.callees
            .entry(line)
            .or_insert_with(|| Callee::new(exchange.script.callee.clone(), asked.method, &asked.code))
    }
}
