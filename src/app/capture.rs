//! The SIP trace → a capture server, as `[telemetry] hep` says, and the flight recorder. The rooms do not know each other.
use std::sync::Arc;
use std::time::Duration;

use crate::config::{CaptureRtp, Config};
use crate::dialer::Recording;
use crate::net::sip_trace::{Direction, SipTrace, TraceSink, Traced};
use crate::sip::message::{Message, Numbers};
use crate::telemetry::{Captured, FlightRecorder, HepConfig, HepExporter, IpProtocol, Way};

struct HepSink {
    exporter: HepExporter,
    numbers: Numbers,
}

/// `trace`, and the capture server beside it where there is one.
pub(super) fn with_capture(config: &Config, trace: SipTrace) -> std::io::Result<SipTrace> {
    let Some(hep) = &config.telemetry.hep else {
        return Ok(trace);
    };
    let exporter = HepExporter::start(HepConfig {
        host: hep.host.clone(),
        port: hep.port,
        agent_id: hep.id,
        password: hep.password.clone(),
    })?;
    let numbers = match hep.mask {
        true => Numbers::Masked,
        false => Numbers::Whole,
    };
    Ok(trace.with(Arc::new(HepSink { exporter, numbers })))
}

/// `trace`, and the flight recorder beside it where it keeps any call.
pub(super) fn with_recorder(config: &Config, trace: SipTrace) -> (SipTrace, FlightRecorder) {
    let recorder = FlightRecorder::new(config.capture.calls, redacted);
    let trace = match config.capture.calls {
        0 => trace,
        _ => trace.with(Arc::new(RecorderSink(recorder.clone()))),
    };
    (trace, recorder)
}

/// What of the calls' RTP goes into the recorder, as `[capture] rtp` says.
pub(super) fn recording(config: &Config, recorder: &FlightRecorder) -> Option<Recording> {
    let capture = &config.capture;
    let audio = match capture.rtp {
        CaptureRtp::Off => return None,
        CaptureRtp::Headers => false,
        CaptureRtp::Audio => true,
    };
    Some(Recording {
        recorder: recorder.clone(),
        octets_max: capture.rtp_octets_max,
        audio,
        callee_audio: capture.callee_audio,
    })
}

fn redacted(octets: &[u8]) -> Option<Vec<u8>> {
    Some(Message::parse(octets).ok()?.for_capture(Numbers::Masked))
}

struct RecorderSink(FlightRecorder);

impl TraceSink for RecorderSink {
    /// The first INVITE that we send opens the record of its call.
    fn take(&self, traced: &Traced<'_>) {
        let Some(call_id) = traced.call_id() else { return };
        if traced.is_invite() && traced.direction == Direction::Sent {
            self.0.open(call_id);
        }
        self.0.note(
            call_id,
            way(traced.direction),
            traced.local,
            traced.peer,
            traced.octets,
        );
    }

    fn flush(&self, _: Duration) {}
}

const fn way(direction: Direction) -> Way {
    match direction {
        Direction::Sent => Way::Sent,
        Direction::Received => Way::Received,
    }
}

impl TraceSink for HepSink {
    /// What is no SIP is not sent: nobody knows what stands in it.
    fn take(&self, traced: &Traced<'_>) {
        let Ok(message) = traced.message() else { return };
        self.exporter.send(Captured {
            way: way(traced.direction),
            protocol: match traced.transport.via_name() {
                "UDP" => IpProtocol::Udp,
                _ => IpProtocol::Tcp,
            },
            local: traced.local,
            peer: traced.peer,
            call_id: message.headers().call_id().unwrap_or_default().to_owned(),
            payload: message.for_capture(self.numbers),
        });
    }

    fn flush(&self, limit: Duration) {
        self.exporter.flush(limit);
    }
}
