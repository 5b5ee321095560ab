//! tshark listens to the whole run and reads it again at the end: not one message may carry a malformed mark.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::baresip;
use super::kamailio;
use super::process::{self, Process};
use super::sipp;

/// `rtp_ports` of the servers under test.
const OUR_RTP: &str = "udp.srcport in {20000..29999}";

/// How much of the table was run: a part proves no quantity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Whole,
    Part,
}

pub(crate) struct Capture {
    tshark: Process,
    file: PathBuf,
}

impl Capture {
    pub(crate) async fn start(directory: &Path) -> Result<Self, String> {
        let file = directory.join("run.pcap");
        // TCP where SIP goes over it; the rest of TCP is HTTP.
        let filter = [sipp::PORTS, kamailio::PORTS]
            .map(|ports| format!(" or tcp portrange {}-{}", ports.start(), ports.end()))
            .concat();
        let filter = format!("udp{filter}");
        let mut tshark = Process::start(
            Command::new("tshark")
                .args(["-i", "lo", "-f", &filter, "-q", "-w"])
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
            "tshark",
        )?;
        process::line_with(&mut tshark.stderr(), "Capturing on", Duration::from_secs(20)).await?;
        Ok(Self { tshark, file })
    }

    /// Ends the capture and judges every packet of it.
    pub(crate) async fn finish(mut self, run: Run) -> Result<String, String> {
        // SIGINT makes tshark write what it still holds.
        self.tshark.signal("INT")?;
        self.tshark.ended(Duration::from_secs(20)).await?;
        let sip = self.list("sip").await?.len();
        let over_tcp = self.list("sip and tcp").await?.len();
        // Sealed: that it is TLS is all that can be seen.
        let sealed = self.list("tls.app_data").await?.len();
        // Decoded as the SDP of the messages announces it: ports and payload types are tshark's own reading.
        let rtp = self.list(&format!("rtp and {OUR_RTP}")).await?.len();
        let rtcp = self.list(&format!("rtcp and {OUR_RTP}")).await?.len();
        let keys = self.list("rtpevent").await?.len();
        let undecoded = self
            .list(&format!("{OUR_RTP} and not rtp and not rtcp and not icmp"))
            .await?;
        let bad = self.list("_ws.malformed or _ws.expert.severity == error").await?;
        if run == Run::Whole
            && (sip < 100 || over_tcp < 10 || sealed < 5 || rtp < 1000 || rtcp < 10 || keys < 10)
        {
            return Err(format!(
                "the capture is too small to prove anything: {sip} SIP, {over_tcp} of them over TCP, {sealed} TLS, \
                 {rtp} RTP, {rtcp} RTCP, {keys} key packets"
            ));
        }
        if !bad.is_empty() {
            return Err(format!("malformed:\n{}", bad.join("\n")));
        }
        if !undecoded.is_empty() {
            return Err(format!("not announced by any SDP:\n{}", undecoded.join("\n")));
        }
        Ok(format!(
            "{sip} SIP messages, {over_tcp} of them over TCP, {sealed} segments of TLS, {rtp} RTP and {rtcp} RTCP packets of ours, {keys} key packets: none malformed"
        ))
    }

    async fn list(&self, filter: &str) -> Result<Vec<String>, String> {
        let mut tshark = Command::new("tshark");
        // Twice over the file: RTP may come before the SDP that announces it.
        tshark.arg("-2").arg("-r").arg(&self.file);
        for ports in [sipp::PORTS, kamailio::PORTS] {
            for transport in ["udp", "tcp"] {
                let range = format!("{transport}.port=={}-{},sip", ports.start(), ports.end());
                tshark.args(["-d", &range]);
            }
        }
        for port in kamailio::tls_ports() {
            tshark.args(["-d", &format!("tcp.port=={port},tls")]);
        }
        tshark.args(["-d", &format!("udp.port=={},sip", baresip::SIP_PORT)]);
        tshark.args(["-Y", filter, "-T", "fields"]);
        for field in [
            "frame.number",
            "udp.srcport",
            "udp.dstport",
            "_ws.col.Info",
            "_ws.expert.message",
        ] {
            tshark.args(["-e", field]);
        }
        let output = process::output(tshark, "tshark").await?;
        if !output.status.success() {
            return Err(format!(
                "tshark {filter}: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }
}
