//! baresip as a softphone that answers: it records what it hears, and presses `#` when the key has been named. In the clear
//! over UDP, in G.711 and in G.722 (spandsp's), and with SRTP over TLS.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::cases::AFTER_NAMED;
use super::process::{self, Process};
use super::server::{self, Server, Settings};
use super::sound;

/// baresip refuses addresses of `lo`.
const ADDRESS: &str = "10.77.0.1";
pub(crate) const SIP_PORT: u16 = 5062;
/// Where baresip listens over TLS: always one above.
const TLS_PORT: u16 = SIP_PORT + 1;
/// Accounts of the softphone: one whose key is pressed on its keypad, one whose microphone hears the tones of `#`.
const EVENTS: &str = "1001";
const TONES: &str = "1002";
/// Accounts that encrypt, under RTP/SAVP and under RTP/AVP.
const SAVP: &str = "1003";
const AVP: &str = "1004";
/// Speaks nothing but G.722; its microphone hears the tones of `#` at 16 kHz.
const WIDE: &str = "1005";
const CONTROL: &str = "127.0.0.1:4444";
const PACKAGE: &str = "baresip-core";
/// Of a recording: 8 kHz, 16 bits.
const OCTETS_PER_MS: u128 = 16;
/// How much later than in real time the audio may be recorded.
const HEARD_LATE_MAX: Duration = Duration::from_secs(3);

/// One line for each thing shown.
pub(crate) async fn run(directory: &Path) -> Result<Vec<String>, String> {
    std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    interface().await?;
    let mut phone = Phone::start(directory).await?;
    let settings = Settings {
        target: format!("{ADDRESS}:{SIP_PORT}"),
        sip: format!("listen = [\"udp:{ADDRESS}:0\"]"),
        ..Settings::default()
    };
    let press_at = server::named_after("en-US").await? + AFTER_NAMED;
    let mut server = Server::start(directory, &settings).await?;
    let mut lines = Vec::new();
    for (number, transport) in [(EVENTS, "rfc4733"), (TONES, "inband")] {
        let known = recordings(directory)?.len();
        let created = server.verify(number, &json!({})).await?;
        let id = created["id"].as_str().unwrap_or_default().to_owned();
        phone.event("CALL_ESTABLISHED").await?;
        if number == EVENTS {
            heard_for(directory, known, press_at).await?;
            phone.command("sndcode", "#").await?;
        }
        let webhook = server.webhook().await?;
        phone.event("CALL_CLOSED").await?;
        let verification = server.settled(&id).await?;
        if webhook["type"] != "verification.approved" {
            return Err(format!("{webhook:#}\n{}", server.log()));
        }
        lines.push(confirmed(&verification, transport).map_err(|why| format!("{why}\n{}", server.log()))?);
        if number == EVENTS {
            lines.push(heard(directory).await?);
        }
    }
    server.stop().await?;
    lines.push(from_the_terminal(&mut phone, directory, &settings, press_at).await?);
    lines.extend(wide(&mut phone, directory, settings).await?);
    for call in ENCRYPTED {
        lines.extend(encrypted(&mut phone, directory, call, press_at).await?);
    }
    Ok(lines)
}

/// In G.722: our clips must be what baresip decodes, and its tones what we decode.
async fn wide(phone: &mut Phone, directory: &Path, settings: Settings) -> Result<Vec<String>, String> {
    let settings = Settings {
        trunk: "codecs = [\"PCMU\", \"G722\"]",
        ..settings
    };
    let mut server = Server::start(directory, &settings).await?;
    let created = server.verify(WIDE, &json!({})).await?;
    let id = created["id"].as_str().unwrap_or_default().to_owned();
    let established = phone.event("CALL_ESTABLISHED").await;
    established.map_err(|why| format!("{why}\n{}", server.log()))?;
    server.webhook().await?;
    phone.event("CALL_CLOSED").await?;
    let verification = server.settled(&id).await?;
    let told = confirmed(&verification, "inband").map_err(|why| format!("{why}\n{}", server.log()))?;
    server.stop().await?;
    let codec = &verification["attempts"][0]["codec"];
    if codec != "G722" {
        return Err(format!("expected G722, found {codec}\n{verification:#}"));
    }
    Ok(vec![format!("{told} (in G.722)"), heard(directory).await?])
}

/// A call with keys in the offer.
#[derive(Clone, Copy)]
struct Encrypted {
    account: &'static str,
    /// Lines for `[[trunk]]`.
    trunk: &'static str,
    /// The suite that the attempt must name.
    suite: Option<&'static str>,
}

const SUITE: Option<&str> = Some("AES_CM_128_HMAC_SHA1_80");
const ENCRYPTED: [Encrypted; 3] = [
    Encrypted {
        account: SAVP,
        trunk: "srtp = \"require\"\ntls = { ca_file = \"phone.pem\" }\ntls_name = \"phone.example\"",
        suite: SUITE,
    },
    Encrypted {
        account: AVP,
        trunk: "srtp = \"prefer\"\nsrtp_profile = \"avp\"\n\
                tls = { ca_file = \"phone.pem\" }\ntls_name = \"phone.example\"",
        suite: SUITE,
    },
    // It knows no SRTP: RTP/SAVP is refused, and RTP/AVP rings.
    Encrypted {
        account: EVENTS,
        trunk: "srtp = \"prefer\"\ntls = { ca_file = \"phone.pem\" }\ntls_name = \"phone.example\"",
        suite: None,
    },
];

/// Apart from the others: tshark reads the SDP of no TLS, so it cannot tell what these packets are.
pub(super) const SEALED_RTP_PORTS: &str = "30000-30999";

/// Over TLS: baresip must hear our prompt, and we its key.
async fn encrypted(
    phone: &mut Phone,
    directory: &Path,
    call: Encrypted,
    press_at: Duration,
) -> Result<Vec<String>, String> {
    let settings = Settings {
        target: format!("{ADDRESS}:{TLS_PORT};transport=tls"),
        sip: format!("listen = [\"udp:{ADDRESS}:0\"]"),
        trunk: call.trunk,
        rtp_ports: SEALED_RTP_PORTS,
        ..Settings::default()
    };
    let mut server = Server::start(directory, &settings).await?;
    let known = recordings(directory)?.len();
    let created = server.verify(call.account, &json!({})).await?;
    let id = created["id"].as_str().unwrap_or_default().to_owned();
    let established = phone.event("CALL_ESTABLISHED").await;
    established.map_err(|why| format!("{why}\n{}", server.log()))?;
    heard_for(directory, known, press_at)
        .await
        .map_err(|why| format!("{why}\n{}", server.log()))?;
    // The keypad is that of the account in front.
    let account = format!("sip:{}@{ADDRESS}", call.account);
    phone.command("uafind", &account).await?;
    phone.command("sndcode", "#").await?;
    server.webhook().await?;
    phone.event("CALL_CLOSED").await?;
    let verification = server.settled(&id).await?;
    let told = confirmed(&verification, "rfc4733").map_err(|why| format!("{why}\n{}", server.log()))?;
    server.stop().await?;
    let suite = verification["attempts"][0]["srtp"].as_str();
    if suite != call.suite {
        return Err(format!(
            "expected SRTP suite {:?}, found {suite:?}\n{verification:#}",
            call.suite
        ));
    }
    let how = suite.unwrap_or("in the clear, after RTP/SAVP was refused");
    Ok(vec![format!("{told} (over TLS, {how})"), heard(directory).await?])
}

/// `ringproof call` rings the softphone.
async fn from_the_terminal(
    phone: &mut Phone,
    directory: &Path,
    settings: &Settings,
    press_at: Duration,
) -> Result<String, String> {
    let known = recordings(directory)?.len();
    let presses = async {
        phone.event("CALL_ESTABLISHED").await?;
        heard_for(directory, known, press_at).await?;
        phone.command("sndcode", "#").await?;
        phone.event("CALL_CLOSED").await
    };
    let (pressed, called) = tokio::join!(presses, server::call(directory, settings, EVENTS));
    let (code, verification, said) = called?;
    pressed.map_err(|why| format!("{why}\n{said}"))?;
    let told = confirmed(&verification, "rfc4733").map_err(|why| format!("{why}\n{said}"))?;
    if code != Some(0) {
        return Err(format!("expected exit code 0, found {code:?}\n{said}"));
    }
    Ok(format!("{told} (ringproof call)"))
}

fn confirmed(verification: &Value, transport: &str) -> Result<String, String> {
    let attempt = &verification["attempts"][0];
    let found = [
        &verification["status"],
        &verification["reason"],
        &attempt["key"],
        &attempt["key_transport"],
    ];
    let expected = ["approved", "key_confirmed", "#", transport];
    if found != expected {
        return Err(format!(
            "expected {expected:?}, found {found:?}\n{verification:#}"
        ));
    }
    let delay = &attempt["key_delay_ms"];
    Ok(format!(
        "baresip: approved/key_confirmed, # by {transport}, {delay} ms after it was named"
    ))
}

/// A pair of interfaces of this namespace, so that there is an address that is not of `lo`.
async fn interface() -> Result<(), String> {
    for arguments in [
        "link add ring0 type veth peer name ring1",
        "addr add 10.77.0.1/24 dev ring0",
        "link set ring0 up",
        "link set ring1 up",
    ] {
        let mut ip = Command::new("ip");
        ip.args(arguments.split(' '));
        let output = process::output(ip, "iproute2").await?;
        if !output.status.success() {
            return Err(format!(
                "ip {arguments}: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    Ok(())
}

/// Compares the recording of what came in with our own clips.
async fn heard(directory: &Path) -> Result<String, String> {
    let recording = recording(directory)?;
    // A call of 16 kHz is recorded as that.
    let narrow = directory.join("heard.wav");
    let mut sox = Command::new("sox");
    sox.arg(&recording).args(["-r", "8000"]).arg(&narrow);
    made(sox).await?;
    let told =
        sound::prompts_in(sound::read(&narrow)?).map_err(|why| format!("{why} ({})", recording.display()))?;
    Ok(format!("baresip heard our prompts: {told}"))
}

fn recording(directory: &Path) -> Result<PathBuf, String> {
    recordings(directory)?.pop().ok_or_else(|| {
        let log = std::fs::read_to_string(directory.join("baresip.log")).unwrap_or_default();
        format!("baresip recorded nothing\n{log}")
    })
}

/// What baresip heard in each call, the last one at the end.
fn recordings(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
        .collect();
    found.sort();
    Ok(found)
}

/// Waits until the recording that follows the `known` ones is this long: what baresip has recorded, it has heard. By
/// looking, for its control port tells nothing of media.
async fn heard_for(directory: &Path, known: usize, length: Duration) -> Result<(), String> {
    let enough = length.as_millis() * OCTETS_PER_MS;
    let mut found = 0;
    let waits = async {
        loop {
            if let Some(path) = recordings(directory)?.get(known) {
                found = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
                if u128::from(found) >= enough {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let result = tokio::time::timeout(length + HEARD_LATE_MAX, waits).await;
    result.unwrap_or_else(|_| {
        Err(format!(
            "expected a recording of {enough} octets from baresip, found {found}"
        ))
    })
}

struct Phone {
    _process: Process,
    control: TcpStream,
    unread: Vec<u8>,
    log: PathBuf,
}

impl Phone {
    async fn start(directory: &Path) -> Result<Self, String> {
        configure(directory).await?;
        let log = directory.join("baresip.log");
        let file = std::fs::File::create(&log).map_err(|e| e.to_string())?;
        let errors = file.try_clone().map_err(|e| e.to_string())?;
        let mut process = Process::start(
            Command::new("baresip")
                .arg("-f")
                .arg(directory)
                .stdin(Stdio::null())
                .stdout(file)
                .stderr(errors),
            PACKAGE,
        )?;
        let mut control = None;
        for _ in 0..200 {
            if let Ok(stream) = TcpStream::connect(CONTROL).await {
                control = Some(stream);
                break;
            }
            if process.has_ended() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let control = control.ok_or_else(|| {
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            format!("baresip (Debian package {PACKAGE}) opened no control port\n{told}")
        })?;
        Ok(Self {
            _process: process,
            control,
            unread: Vec::new(),
            log,
        })
    }

    async fn command(&mut self, command: &str, params: &str) -> Result<(), String> {
        let text = json!({"command": command, "params": params, "token": "interop"}).to_string();
        let netstring = format!("{}:{text},", text.len());
        self.control
            .write_all(netstring.as_bytes())
            .await
            .map_err(|e| e.to_string())
    }

    /// Waits for an event of this type; others pass.
    async fn event(&mut self, kind: &str) -> Result<(), String> {
        let mut passed = Vec::new();
        let waits = async {
            loop {
                let message = self.message().await?;
                if message["event"] == true && message["type"] == kind {
                    return Ok(());
                }
                passed.push(message.to_string());
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(40), waits).await;
        result
            .unwrap_or_else(|_| Err("it did not come".to_owned()))
            .map_err(|why: String| {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                format!("baresip's {kind}: {why}\n{}\n{log}", passed.join("\n"))
            })
    }

    async fn message(&mut self) -> Result<Value, String> {
        loop {
            if let Some(text) = take_netstring(&mut self.unread)? {
                return serde_json::from_slice(&text).map_err(|e| e.to_string());
            }
            let mut buffer = [0; 4096];
            match self.control.read(&mut buffer).await {
                Ok(0) => return Err("the control connection was closed".to_owned()),
                Ok(count) => self.unread.extend(&buffer[..count]),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Takes `length:text,` from the front of `unread`; `None` while it is incomplete.
fn take_netstring(unread: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let Some(colon) = unread.iter().position(|octet| *octet == b':') else {
        return Ok(None);
    };
    let length: usize = std::str::from_utf8(&unread[..colon])
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or("expected a netstring")?;
    let end = colon + 1 + length;
    if unread.len() <= end {
        return Ok(None);
    }
    let text = unread[colon + 1..end].to_vec();
    unread.drain(..=end);
    Ok(Some(text))
}

async fn configure(directory: &Path) -> Result<(), String> {
    let microphone = directory.join("microphone.wav");
    let mut sox = Command::new("sox");
    sox.args(["-n", "-r", "8000", "-c", "1", "-b", "16"])
        .arg(&microphone);
    sox.args(["synth", "60", "brownnoise", "gain", "-46"]);
    made(sox).await?;
    let tones = directory.join("tones.wav");
    let silence_s = (server::named_after("en-US").await? + AFTER_NAMED).as_secs_f64();
    let mut sox = Command::new("sox");
    sox.args(["-n", "-r", "8000", "-c", "1", "-b", "16"]).arg(&tones);
    sox.args([
        "synth", "0.2", "sine", "941", "synth", "0.2", "sine", "mix", "1477", "gain", "-12",
    ]);
    // Silence after it too: the file is played again from its beginning.
    sox.args(["pad", &format!("{silence_s:.3}"), "30"]);
    made(sox).await?;
    let tones_wide = directory.join("tones-wide.wav");
    let mut sox = Command::new("sox");
    sox.arg(&tones).args(["-r", "16000"]).arg(&tones_wide);
    made(sox).await?;
    let config = format!(
        "poll_method epoll\n\
         sip_listen {ADDRESS}:{SIP_PORT}\n\
         audio_source aufile,{microphone}\n\
         audio_alert aufile,/dev/null\n\
         audio_channels 1-1\n\
         audio_srate 8000-16000\n\
         rtp_ports 12000-12100\n\
         snd_path {directory}\n\
         ctrl_tcp_listen {CONTROL}\n\
         module_path /usr/lib/baresip/modules\n\
         module g711.so\n\
         module g722.so\n\
         module aufile.so\n\
         module sndfile.so\n\
         module srtp.so\n\
         sip_certificate {directory}/phone-with-key.pem\n\
         module_app account.so\n\
         module_app menu.so\n\
         module_app ctrl_tcp.so\n",
        microphone = microphone.display(),
        directory = directory.display(),
    );
    let write =
        |name: &str, text: &str| std::fs::write(directory.join(name), text).map_err(|e| e.to_string());
    write("config", &config)?;
    write(
        "accounts",
        &format!(
            "<sip:{EVENTS}@{ADDRESS}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1,PCMA/8000/1\n\
             <sip:{TONES}@{ADDRESS}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1,PCMA/8000/1;\
             audio_source=aufile,{}\n\
             <sip:{SAVP}@{ADDRESS};transport=tls>;regint=0;answermode=auto;mediaenc=srtp-mand;\
             audio_codecs=PCMU/8000/1,PCMA/8000/1\n\
             <sip:{AVP}@{ADDRESS};transport=tls>;regint=0;answermode=auto;mediaenc=srtp;\
             audio_codecs=PCMU/8000/1,PCMA/8000/1\n\
             <sip:{WIDE}@{ADDRESS}>;regint=0;answermode=auto;audio_codecs=G722/16000/1;audio_source=aufile,{}\n",
            tones.display(),
            tones_wide.display()
        ),
    )?;
    write("contacts", "")?;
    // For `phone.example`, and its own authority.
    let made = rcgen::generate_simple_self_signed(["phone.example".to_owned()]).map_err(|e| e.to_string())?;
    let certificate = made.cert.pem();
    write("phone.pem", &certificate)?;
    write(
        "phone-with-key.pem",
        &format!("{certificate}{}", made.signing_key.serialize_pem()),
    )
}

async fn made(sox: Command) -> Result<(), String> {
    let output = process::output(sox, "sox").await?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("sox: {}", String::from_utf8_lossy(&output.stderr)))
}
