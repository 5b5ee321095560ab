//! `ringproof capture show FILE`: the calls in a capture, decoded offline.
//!
//! ```text
//!  file ─ telemetry::dissect ─▶ sip (messages, TCP joined) ─┐
//!                             └▶ rtp (streams by SSRC) ─────┴▶ calls (SDP joins them) ─▶ listen (keys, figures) ─▶ ladder │ JSON
//! ```
//! It reads captures of anyone, not only the flight recorder's, and believes nothing that it reads.
mod calls;
mod ladder;
mod listen;
mod outcome;
mod report;
mod rtp;
mod sip;

#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};

use crate::telemetry::{DissectError, dissect};

/// A longer capture is cut with another tool first (editcap, tcpdump -C).
const FILE_OCTETS_MAX: u64 = 1 << 30;

#[derive(Debug, Subcommand)]
pub enum CaptureCommand {
    Show(ShowArgs),
}

/// Show the calls in a capture: ladder, streams, keys heard
///
/// Reads pcap and pcapng, as the flight recorder (GET /v1/verifications/{id}/capture.pcap), tcpdump, tshark and Wireshark write
/// them: Ethernet, VLAN, raw IP, Linux "any"; IPv4 and IPv6; SIP over UDP and TCP; RTP as the SDP announces it, or by its
/// looks. Keys are heard by the detectors of a live call, telephone-event and tones in G.711. Encrypted RTP is only counted.
///
/// Exit code 0: the file was read to its end, whatever it holds; 1: it could not be read, or is damaged (what comes before the
/// damage is shown all the same).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ringproof capture show call.pcap\n  tcpdump -i any -U -w - udp | ringproof capture show -     (until tcpdump ends)\n  ringproof capture show --json call.pcap | jq '.calls[].keys'"
)]
pub struct ShowArgs {
    /// Capture file; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One JSON object: calls with messages, streams and keys; times in milliseconds from each call's first message
    #[arg(long)]
    json: bool,
}

/// How `ringproof capture show` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowExit {
    /// 0
    Read,
    /// 1
    Unreadable,
}

impl From<ShowExit> for ExitCode {
    fn from(exit: ShowExit) -> Self {
        match exit {
            ShowExit::Read => Self::SUCCESS,
            ShowExit::Unreadable => Self::from(1),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error(transparent)]
    Dissect(#[from] DissectError),
    #[error("expected a file of at most {FILE_OCTETS_MAX} octets, got more")]
    TooLong,
    #[error("cannot read it: {0}")]
    Input(io::Error),
    #[error("cannot write the result: {0}")]
    Output(io::Error),
}

/// The result goes to `out`, errors to `err`.
pub fn run(command: &CaptureCommand, out: &mut impl Write, err: &mut impl Write) -> ShowExit {
    let CaptureCommand::Show(args) = command;
    let name = match args.file.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => args.file.display().to_string(),
    };
    match read(&args.file).and_then(|file| show(&file, &name, args.json, out)) {
        Ok(None) => ShowExit::Read,
        Ok(Some(damage)) => {
            let _ = writeln!(err, "error: {name}: {damage}");
            ShowExit::Unreadable
        }
        // The reader has seen enough.
        Err(ShowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ShowExit::Read,
        Err(error) => {
            let _ = writeln!(err, "error: {name}: {error}");
            ShowExit::Unreadable
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ShowError> {
    let mut octets = Vec::new();
    let taken = if path.as_os_str() == "-" {
        io::stdin()
            .lock()
            .take(FILE_OCTETS_MAX + 1)
            .read_to_end(&mut octets)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets))
    };
    match taken {
        Ok(count) if count as u64 > FILE_OCTETS_MAX => Err(ShowError::TooLong),
        Ok(_) => Ok(octets),
        Err(error) => Err(ShowError::Input(error)),
    }
}

/// Why the file ended before its end, where it did.
fn show(file: &[u8], name: &str, json: bool, out: &mut impl Write) -> Result<Option<String>, ShowError> {
    let dissection = dissect(file)?;
    let report = calls::report(Instant::now(), &dissection);
    if json {
        serde_json::to_writer(&mut *out, &report).map_err(|error| ShowError::Output(error.into()))?;
        writeln!(out).map_err(ShowError::Output)?;
    } else {
        ladder::print(name, &report, out).map_err(ShowError::Output)?;
    }
    Ok(report.damage)
}
