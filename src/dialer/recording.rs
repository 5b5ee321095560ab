//! Which calls' RTP goes into the flight recorder, and how much of it (SAFETY 1.11). The media thread fills the tape, the call's
//! task hands it over when the leg has closed.
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::media::stream::{Tape, TapeRules};
use crate::model::{Method, Verification};
use crate::telemetry::{FlightRecorder, Recorded, RecordedPacket, Seat};

/// `[capture] rtp`, where it is on.
#[derive(Debug, Clone)]
pub struct Recording {
    pub recorder: FlightRecorder,
    /// Of one call.
    pub octets_max: usize,
    /// The audio too, not only headers.
    pub audio: bool,
    pub callee_audio: bool,
}

impl Recording {
    /// What may be kept of this call.
    fn rules(&self, verification: &Verification) -> TapeRules {
        let has_code = matches!(verification.method, Method::MatchCode | Method::SpeakCode);
        // The keys of an extension come back in its echo.
        let has_keys = has_code || verification.extension.is_some();
        TapeRules {
            octets_max: self.octets_max,
            // Amount and payee are spoken anywhere in the script.
            own_audio: self.audio && verification.message.is_empty(),
            callee_audio: self.audio && self.callee_audio && !has_keys && verification.message.is_empty(),
            callee_digits: !has_code,
        }
    }

    /// A place for the packets of one more call; none when as many as may be kept are being recorded.
    pub(super) fn of_call(&self, verification: &Verification) -> Option<CallRecording> {
        Some(CallRecording {
            rules: self.rules(verification),
            seat: self.recorder.seat()?,
        })
    }
}

/// The place of one call.
#[derive(Debug)]
pub(super) struct CallRecording {
    pub(super) rules: TapeRules,
    seat: Seat,
}

impl CallRecording {
    /// The leg has closed. `local` as our SDP named it.
    pub(super) fn keep(&self, call_id: &str, local: SocketAddr, tape: Tape) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reel = Reel {
            began: since_epoch.saturating_sub(tape.began().elapsed()),
            local,
            tape: tape.trimmed(),
        };
        self.seat.keep(call_id, reel.tape.left_out(), Box::new(reel));
    }
}

/// A tape with its place in calendar time.
#[derive(Debug)]
struct Reel {
    began: Duration,
    local: SocketAddr,
    tape: Tape,
}

impl Recorded for Reel {
    fn packets(&self, each: &mut dyn FnMut(RecordedPacket)) {
        for taped in self.tape.packets() {
            let mut local = self.local;
            if taped.is_rtcp_apart {
                local.set_port(local.port().wrapping_add(1));
            }
            let (source, destination) = match taped.from_callee {
                true => (taped.remote, local),
                false => (local, taped.remote),
            };
            each(RecordedPacket {
                since_epoch: self.began + taped.at,
                source,
                destination,
                payload: taped.datagram,
            });
        }
    }
}
