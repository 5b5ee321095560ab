//! The SIP trace → a capture server, as `[telemetry] hep` says. Neither room knows the other.
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::net::sip_trace::{Direction, SipTrace, TraceSink, Traced};
use crate::sip::message::Numbers;
use crate::telemetry::{Captured, HepConfig, HepExporter, IpProtocol, Way};

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

impl TraceSink for HepSink {
    /// What is no SIP is not sent: nobody knows what stands in it.
    fn take(&self, traced: &Traced<'_>) {
        let Ok(message) = traced.message else { return };
        self.exporter.send(Captured {
            way: match traced.direction {
                Direction::Sent => Way::Sent,
                Direction::Received => Way::Received,
            },
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
