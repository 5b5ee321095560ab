//! Tracing set-up, the Prometheus recorder, the flight recorder and the export of SIP messages to a capture server.
//!
//! Log levels: ERROR needs a person now; WARN a person today; INFO is one line a call; DEBUG is signalling and may hold
//! addresses; TRACE is per packet. A whole telephone number stands at no level.
mod dissect;
mod flight;
mod hep;
mod hep_export;
mod host;
mod ways;

pub use dissect::{Carried, Content, DissectError, Dissection, LeftOut, dissect};
pub use flight::{CaptureError, FlightRecorder, Recorded, RecordedPacket, Redact, Seat};
pub use hep::IpProtocol;
pub use hep_export::{Captured, HepConfig, HepExporter, Way};
pub use host::{NoEntropy, entropy, wallclock};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Why logging or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("telemetry.log: expected a level or a filter such as info,ringproof::sip=debug: {0}")]
    Filter(String),
    #[error("a recorder is already installed: {0}")]
    Installed(String),
}

/// Installs the subscriber: to standard error, text or JSON. `filter` in the syntax of tracing's `EnvFilter`.
pub fn install_logging(filter: &str, json: bool) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter).map_err(|e| TelemetryError::Filter(e.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    installed.map_err(|e| TelemetryError::Installed(e.to_string()))
}

/// Installs the process-wide recorder; the handle renders `/metrics`.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets(&[
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        ])
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| TelemetryError::Installed(e.to_string()))
}
