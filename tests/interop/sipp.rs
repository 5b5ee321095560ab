//! SIPp as the far end: one scenario, one call.
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{self, Process};

/// Where Debian's sip-tester keeps its own captures of keys.
const PEER_CAPTURES: &str = "/usr/share/sip-tester";
/// SIP ports of the far ends; the RTP ports lie 1000 above.
pub(crate) const PORTS: RangeInclusive<u16> = 7000..=7699;
/// SIPp takes media ports in fours.
const PORTS_PER_CASE: u16 = 10;

pub(crate) struct Sipp {
    process: Process,
    directory: PathBuf,
}

/// How a scenario is to be played.
pub(crate) struct Setup<'a> {
    pub(crate) scenario: &'a str,
    /// `udp` or `tcp`.
    pub(crate) transport: &'a str,
    /// Place in the table: gives the ports.
    pub(crate) index: u16,
    pub(crate) directory: &'a Path,
    /// Captures of sounds.
    pub(crate) sounds: &'a [PathBuf],
    /// Length of a `<pause/>`: from the answer until the sentence that names the key has been heard.
    pub(crate) press_after: Duration,
    /// Whom the scenario calls, `host:port`; `None` where it waits for a call.
    pub(crate) calls: Option<&'a str>,
    /// Its own address, for SIP and media.
    pub(crate) host: &'a str,
}

/// The SIP port of the far end at this place in the table.
pub(crate) const fn port_of(index: u16) -> u16 {
    *PORTS.start() + PORTS_PER_CASE * index
}

impl Sipp {
    pub(crate) fn start(setup: &Setup<'_>) -> Result<Self, String> {
        let Setup {
            scenario,
            transport,
            index,
            directory,
            sounds,
            press_after,
            calls,
            host,
        } = *setup;
        let port = port_of(index);
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/scenarios");
        // Captures are looked up beside the scenario: lay all of them into one directory.
        std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
        let copy = |from: PathBuf| {
            let to = directory.join(from.file_name().unwrap_or_default());
            std::fs::copy(&from, to)
                .map_err(|e| format!("{} (Debian package sip-tester): {e}", from.display()))
        };
        copy(scenarios.join(format!("{scenario}.xml")))?;
        for key in ["pound", "star", "0", "5"] {
            copy(Path::new(PEER_CAPTURES).join(format!("dtmf_2833_{key}.pcap")))?;
        }
        for sound in sounds {
            copy(sound.clone())?;
        }
        let file = format!("{scenario}.xml");
        let (port_text, media_port) = (port.to_string(), (port + 1000).to_string());
        let pause = press_after.as_millis().to_string();
        let screen = std::fs::File::create(directory.join("screen.log")).map_err(|e| e.to_string())?;
        let errors = screen.try_clone().map_err(|e| e.to_string())?;
        let process = Process::start(
            Command::new("sipp")
                .current_dir(directory)
                .args(["-sf", &file, "-i", host, "-p", &port_text])
                .args(["-t", if transport == "tcp" { "t1" } else { "u1" }])
                .args(["-mi", host, "-mp", &media_port, "-d", &pause])
                .args(["-m", "1", "-nostdin", "-timeout", "110s", "-timeout_error"])
                .args(["-trace_err", "-trace_msg", "-trace_logs"])
                .args(calls)
                .stdin(Stdio::null())
                .stdout(screen)
                .stderr(errors),
            "sip-tester",
        )?;
        Ok(Self {
            process,
            directory: directory.to_owned(),
        })
    }

    /// What the scenario logged.
    pub(crate) fn logged(&self) -> String {
        self.text_of("_logs.log")
    }

    fn text_of(&self, end: &str) -> String {
        let mut words = String::new();
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.to_string_lossy().ends_with(end) {
                let text = std::fs::read(&path).unwrap_or_default();
                words.push_str(&format!(
                    "--- {}\n{}\n",
                    path.display(),
                    String::from_utf8_lossy(&text)
                ));
            }
        }
        words
    }

    /// Waits for the end of the scenario; anything but success comes back with SIPp's own words.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        match self.process.ended(Duration::from_secs(115)).await {
            Ok(status) if status.success() => Ok(()),
            ended => Err(format!("sipp ended with {ended:?}\n{}", self.text_of(".log"))),
        }
    }
}

/// Captures of what a telephone hears, made by sox, as µ-law in RTP payload type 0.
pub(crate) async fn audio_captures(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let pound = [
        "synth", "0.2", "sine", "941", "synth", "0.2", "sine", "mix", "1477", "gain", "-12",
    ];
    let room = ["synth", "20", "brownnoise", "gain", "-46"];
    Ok(vec![
        audio_capture(&directory.join("pound-in-band.pcap"), &pound).await?,
        audio_capture(&directory.join("room.pcap"), &room).await?,
    ])
}

async fn audio_capture(path: &Path, sound: &[&str]) -> Result<PathBuf, String> {
    let mut sox = Command::new("sox");
    sox.args(["-n", "-r", "8000", "-c", "1", "-e", "mu-law", "-t", "raw", "-"]);
    sox.args(sound);
    let output = process::output(sox, "sox").await?;
    if !output.status.success() || output.stdout.len() < 1600 {
        return Err(format!("sox: {}", String::from_utf8_lossy(&output.stderr)));
    }
    std::fs::write(path, pcap(&output.stdout)).map_err(|e| e.to_string())?;
    Ok(path.to_owned())
}

/// µ-law octets as an Ethernet capture with one RTP packet each 20 ms.
fn pcap(audio: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        out.extend(word.to_le_bytes());
    }
    for (index, payload) in audio.chunks_exact(160).enumerate() {
        let index = index as u32;
        let mut rtp = vec![0x80, if index == 0 { 0x80 } else { 0 }];
        rtp.extend((4000 + index as u16).to_be_bytes());
        rtp.extend((90_000 + index * 160).to_be_bytes());
        rtp.extend(0x1234_5678_u32.to_be_bytes());
        rtp.extend(payload);
        let (udp_length, ip_length) = ((8 + rtp.len()) as u16, (28 + rtp.len()) as u16);
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0x00]);
        frame.extend(ip_length.to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        for port in [6000_u16, 6000, udp_length, 0] {
            frame.extend(port.to_be_bytes());
        }
        frame.extend(rtp);
        let microseconds = index * 20_000;
        for word in [
            microseconds / 1_000_000,
            microseconds % 1_000_000,
            frame.len() as u32,
            frame.len() as u32,
        ] {
            out.extend(word.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}
