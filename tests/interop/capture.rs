//! tshark listens to the whole run and reads it again at the end: not one message may carry a malformed mark.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::baresip;
use super::kamailio;
use super::process::{self, Process};
use super::rtpengine;
use super::server::PROGRAM;
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
        // What is sealed by keys that tshark cannot see looks like anything, now and then like a broken RTCP.
        let sealed_media = format!("udp.port in {{{}}}", baresip::SEALED_RTP_PORTS.replace('-', ".."));
        let bad = self
            .list(&format!(
                "(_ws.malformed or _ws.expert.severity == error) and not {sealed_media}"
            ))
            .await?;
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
        let compared = self.compared().await?;
        if run == Run::Whole && compared < 20 {
            return Err(format!(
                "expected 20 RTP streams at least to compare, found {compared}"
            ));
        }
        Ok(format!(
            "{sip} SIP messages, {over_tcp} of them over TCP, {sealed} segments of TLS, {rtp} RTP and {rtcp} RTCP packets of ours, {keys} key packets: none malformed; \
             {compared} RTP streams have the same packets, loss and jitter by `ringproof capture show`"
        ))
    }

    /// Each stream of audio that tshark finds, by our own reader: how many were the same.
    async fn compared(&self) -> Result<usize, String> {
        let mut program = Command::new(PROGRAM);
        program.args(["capture", "show", "--json"]).arg(&self.file);
        let output = process::output(program, "ringproof capture show").await?;
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
            format!(
                "capture show: {error}\n{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        let of_calls = report["calls"].as_array().into_iter().flatten();
        let ours: Vec<&Value> = of_calls
            .chain([&report])
            .flat_map(|holder| holder["streams"].as_array().into_iter().flatten())
            .collect();
        let mut tshark = self.tshark();
        tshark.args(["-q", "-z", "rtp,streams"]);
        let output = process::output(tshark, "tshark").await?;
        let (mut same, mut differ) = (0, Vec::new());
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        for row in table.lines().filter(|line| line.contains(" 0x")) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let (_, ssrc) = row.split_once(" 0x").unwrap_or_default();
            let ssrc = ssrc.split(' ').next().unwrap_or_default().to_lowercase();
            let found = ours.iter().find(|stream| {
                let port = |end: &str| stream[end].as_str().and_then(|end| end.rsplit(':').next());
                stream["ssrc"] == ssrc.as_str()
                    && port("from") == words.get(3).copied()
                    && port("to") == words.get(5).copied()
            });
            match found {
                // It counts each end packet of a key, and their repeated number as a loss below zero.
                Some(stream) if stream["event_packets"] != 0 => {}
                Some(stream) if is_same(stream, &words) => same += 1,
                found => differ.push(format!(
                    "{row}\n{}",
                    found.map_or_else(String::new, ToString::to_string)
                )),
            }
        }
        match differ.is_empty() {
            true => Ok(same),
            false => Err(format!("other figures than tshark's:\n{}", differ.join("\n"))),
        }
    }

    async fn list(&self, filter: &str) -> Result<Vec<String>, String> {
        let mut tshark = self.tshark();
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

    /// Told what the ports are.
    fn tshark(&self) -> Command {
        let mut tshark = Command::new("tshark");
        // Twice over the file: RTP may come before the SDP that announces it.
        tshark.arg("-2").arg("-r").arg(&self.file);
        for ports in [sipp::PORTS, kamailio::PORTS] {
            for transport in ["udp", "tcp"] {
                let range = format!("{transport}.port=={}-{},sip", ports.start(), ports.end());
                tshark.args(["-d", &range]);
            }
        }
        for port in kamailio::tls_ports().into_iter().chain(rtpengine::tls_ports()) {
            tshark.args(["-d", &format!("tcp.port=={port},tls")]);
        }
        tshark.args(["-d", &format!("udp.port=={},sip", baresip::SIP_PORT)]);
        tshark
    }
}

/// Packets and loss to the last one, the largest jitter to 0.02 ms, the mean to 2 %: tshark leaves some first packets out of it.
fn is_same(stream: &Value, words: &[&str]) -> bool {
    // Packets, lost, (percent), three of delta, three of jitter; the payload before may be several words.
    let Some(percent) = words.iter().position(|word| word.starts_with('(')) else {
        return false;
    };
    let told = |place: usize| {
        let word = words.get((percent + place).wrapping_sub(2));
        word.and_then(|word| word.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let ours = |name: &str| stream[name].as_f64().unwrap_or(-1.0);
    let near = |name: &str, told: f64, apart: f64| (ours(name) - told).abs() <= apart;
    near("packets", told(0), 0.0)
        && near("lost", told(1), 0.0)
        && near("jitter_mean_ms", told(7), 0.02 + told(7) * 0.02)
        && near("jitter_max_ms", told(8), 0.02)
}
