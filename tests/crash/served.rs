//! `ringproof serve` as a process: where it says that it listens, what it holds of memory, its end.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringproof");

/// A command of the program with its configuration file.
pub(crate) fn program(config: &Path, command: &[&str]) -> Command {
    let mut program = Command::new(PROGRAM);
    program.args(command).arg("--config").arg(config);
    program
}

/// One life of the server. Dropping it kills it.
pub(crate) struct Served {
    pub(crate) child: Child,
    said: Value,
}

impl Served {
    /// `serve` is to print JSON. Returns once it listens.
    pub(crate) fn start(serve: &mut Command) -> Self {
        let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("the server did not start: {e}: {line:?}"));
        Self { child, said }
    }

    pub(crate) fn http(&self) -> &str {
        self.said["http"].as_str().unwrap()
    }

    /// Where it listens for SIP: `udp`, `tcp` or `tls`.
    pub(crate) fn sip(&self, transport: &str) -> SocketAddr {
        let listeners = self.said["sip"].as_array().unwrap();
        let address = listeners.iter().find_map(|listener| {
            let (by, address) = listener.as_str()?.split_once(':')?;
            (by == transport).then_some(address)
        });
        address.unwrap().parse().unwrap()
    }

    /// Resident memory, kB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Dead already, or left over by a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
