//! `openssl s_client` at the TLS listener: whom it believes, which versions it may speak, what it needs to be let in, and
//! that SIP goes over what it has made.
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::process::{Lines, Process};
use super::server::{Server, Settings};

const PACKAGE: &str = "openssl";
/// Of the listener's certificate.
const NAME: &str = "ringproof.example";
const PATIENCE: Duration = Duration::from_secs(20);
/// So that it is the server that refuses what is too old, and not s_client.
const OLD: [&str; 3] = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
/// What s_client says of an alert that came.
const SERVER_REFUSES: &str = "SSL alert number";
const OPTIONS: &str = "OPTIONS sip:ping@ringproof.example SIP/2.0\r\n\
    Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK-s-client;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sips:peer@127.0.0.1>;tag=s-client\r\n\
    To: <sip:ping@ringproof.example>\r\n\
    Call-ID: s-client\r\n\
    CSeq: 1 OPTIONS\r\n\
    Contact: <sips:peer@127.0.0.1:5061>\r\n\
    Content-Length: 0\r\n\r\n";

/// One line for each thing shown.
pub(crate) async fn run(directory: &Path) -> Result<Vec<String>, String> {
    std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    certificates(directory).map_err(|e| e.to_string())?;
    let mut lines = Vec::new();
    let open = listener(directory, "open", "").await?;
    for version in ["-tls1_2", "-tls1_3"] {
        talks(&open, directory, &[version, "-CAfile", "ca.pem"]).await?;
        lines.push(format!(
            "openssl s_client {version}: chain and name are good, OPTIONS gets 200, a ping its pong"
        ));
        let others = [version, "-CAfile", "other-ca.pem"];
        is_refused(&open, directory, &others, "verify error").await?;
        let wrong = [version, "-CAfile", "ca.pem", "-verify_hostname", "other.example"];
        is_refused(&open, directory, &wrong, "ostname mismatch").await?;
    }
    let old = [&OLD[..], &["-CAfile", "ca.pem"]].concat();
    is_refused(&open, directory, &old, SERVER_REFUSES).await?;
    lines.push("openssl s_client -tls1_1: refused".to_owned());
    open.stop().await?;

    let closed = listener(directory, "closed", ", client_ca_file = \"../ca.pem\"").await?;
    for (version, without) in [
        ("-tls1_2", SERVER_REFUSES),
        ("-tls1_3", "alert certificate required"),
    ] {
        let shows = |name: &'static str, key: &'static str| {
            [version, "-CAfile", "ca.pem", "-cert", name, "-key", key]
        };
        talks(&closed, directory, &shows("peer.pem", "peer.key")).await?;
        is_refused(&closed, directory, &[version, "-CAfile", "ca.pem"], without).await?;
        is_refused(
            &closed,
            directory,
            &shows("other.pem", "other.key"),
            SERVER_REFUSES,
        )
        .await?;
        lines.push(format!(
            "openssl s_client {version}: with a client certificate it is let in, with none or another authority's not"
        ));
    }
    closed.stop().await?;
    Ok(lines)
}

async fn listener(directory: &Path, name: &str, more: &str) -> Result<Server, String> {
    let settings = Settings {
        target: "127.0.0.1:9".to_owned(),
        sip: format!(
            "listen = [\"udp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n\
             tls = {{ cert_file = \"../sip.pem\", key_file = \"../sip.key\"{more} }}"
        ),
        ..Settings::default()
    };
    Server::start(&directory.join(name), &settings).await
}

/// `ca` has issued `sip` and `peer`, `other-ca` has issued `other`.
fn certificates(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for (authority, names) in [("ca", &["sip", "peer"][..]), ("other-ca", &["other"][..])] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, authority);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        std::fs::write(
            directory.join(format!("{authority}.pem")),
            params.self_signed(&key)?.pem(),
        )?;
        let issuer = Issuer::new(params, key);
        for name in names {
            let (params, key) = (CertificateParams::new([NAME.to_owned()])?, KeyPair::generate()?);
            let certificate = params.signed_by(&key, &issuer)?;
            std::fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
            std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
        }
    }
    Ok(())
}

struct Client {
    process: Process,
    stdin: ChildStdin,
    said: Lines,
    complained: Lines,
}

impl Client {
    fn start(server: &Server, directory: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut process = Process::start(
            Command::new("openssl")
                .current_dir(directory)
                // The machine's own policy is not what is tested.
                .env("OPENSSL_CONF", "/dev/null")
                .args(["s_client", "-connect", &server.sips, "-servername", NAME])
                .args(["-quiet", "-nocommands", "-verify_return_error"])
                .args(["-verify_hostname", NAME])
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
            PACKAGE,
        )?;
        let (said, complained) = (process.stdout(), process.stderr());
        let stdin = process.stdin().ok_or("openssl has no standard input")?;
        Ok(Self {
            process,
            stdin,
            said,
            complained,
        })
    }

    fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.stdin.write_all(text.as_bytes())?;
        self.stdin.flush()
    }

    async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.said.recv())
            .await
            .ok()
            .flatten()
    }

    async fn complaints(&mut self) -> String {
        let mut told = String::new();
        while let Some(line) = self.complained.recv().await {
            told += &format!("{line}\n");
        }
        told
    }
}

/// OPTIONS is answered, and CRLFCRLF by CRLF (RFC 5626, 3.5.1).
async fn talks(server: &Server, directory: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut client = Client::start(server, directory, arguments)?;
    client.send(OPTIONS).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    while let Some(line) = client.line().await {
        if line.is_empty() {
            break;
        }
        answer.push(line);
    }
    let is_ours = answer.iter().any(|line| line == "Call-ID: s-client");
    if !is_ours || answer.first().is_none_or(|line| line != "SIP/2.0 200 OK") {
        client.process.signal("KILL")?;
        let complaints = client.complaints().await;
        return Err(format!(
            "{arguments:?}: expected 200 to OPTIONS, found {answer:#?}\n{complaints}{}",
            server.log()
        ));
    }
    client.send("\r\n\r\n").map_err(|e| e.to_string())?;
    match client.line().await.as_deref() {
        Some("") => Ok(()),
        other => Err(format!("{arguments:?}: expected a pong, found {other:?}")),
    }
}

/// It ends by itself, with these words, and SIP has not been spoken.
async fn is_refused(
    server: &Server,
    directory: &Path,
    arguments: &[&str],
    words: &str,
) -> Result<(), String> {
    let mut client = Client::start(server, directory, arguments)?;
    // It may have ended already.
    let _ = client.send(OPTIONS);
    let ended = client.process.ended(PATIENCE).await?;
    let (said, complaints) = (client.line().await, client.complaints().await);
    if ended.success() || said.is_some() || !complaints.contains(words) {
        return Err(format!(
            "{arguments:?}: expected {words:?}, found {ended}, {said:?}\n{complaints}{}",
            server.log()
        ));
    }
    Ok(())
}
