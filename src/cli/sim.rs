//! `ringproof sim`: the carrier and its callees as a SIP server of its own.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;

use crate::model::Codec;
use crate::net::sip_tls::{Identity, TlsServerConfig};
use crate::prompt::{Catalogue, CatalogueOptions, PromptError, Wanted};
use crate::sim::{Callee, RegistrarRules, SimConfig, SimError, Simulator};
use crate::sip::transport::SipTransport;

/// The carrier and its callees in the box, as a SIP server with an HTTP API
#[derive(Debug, Args)]
#[command(
    after_help = "Point a trunk at it: targets = [\"sip:127.0.0.1:5070\"]. GET /sim/numbers lists the callees."
)]
pub(super) struct SimArgs {
    /// SIP over UDP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5070")]
    sip: SocketAddr,
    /// SIP over TCP as well
    #[arg(long, value_name = "ADDR")]
    sip_tcp: Option<SocketAddr>,
    /// SIP over TLS as well; wants --tls-cert and --tls-key
    #[arg(long, value_name = "ADDR", requires = "tls_cert")]
    sip_tls: Option<SocketAddr>,
    /// Certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// HTTP API: /sim/calls, /sim/wait, /sim/numbers
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8025")]
    http: SocketAddr,
    /// First and last RTP port
    #[arg(long, value_name = "FIRST-LAST", default_value = "41000-42999", value_parser = ports)]
    rtp_ports: (u16, u16),
    /// Codecs of all callees: PCMU, PCMA, G722. The caller's order decides
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "PCMU,PCMA")]
    codecs: Vec<Codec>,
    /// Callees of your own, laid over the built-in ones (TOML: [callee."+15005550001"] …)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log to standard error at this level
    #[arg(long, default_value = "info")]
    log: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SimFile {
    #[serde(default)]
    callee: BTreeMap<String, Callee>,
    /// Default: whoever registers is bound, without a login.
    #[serde(default)]
    registrar: RegistrarRules,
}

#[derive(Debug, thiserror::Error)]
enum SimCliError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {message}")]
    File { path: String, message: String },
    #[error("--http: cannot listen on {address}: {source}")]
    Http {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Prompts(#[from] PromptError),
    #[error(transparent)]
    Sim(#[from] SimError),
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let range = text
        .split_once('-')
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match range {
        Some((first, last)) if first >= 1024 && last > first => Ok((first, last)),
        _ => Err("expected FIRST-LAST within 1024-65535 such as 41000-42999".to_owned()),
    }
}

fn streams(args: &SimArgs) -> Vec<(SipTransport, SocketAddr)> {
    let tcp = args.sip_tcp.map(|address| (SipTransport::Tcp, address));
    let tls = args.sip_tls.map(|address| (SipTransport::Tls, address));
    tcp.into_iter().chain(tls).collect()
}

fn tls(args: &SimArgs) -> Option<TlsServerConfig> {
    Some(TlsServerConfig {
        identity: Identity {
            cert_file: args.tls_cert.clone()?,
            key_file: args.tls_key.clone()?,
        },
        client_ca_file: None,
    })
}

pub(super) fn run(args: &SimArgs) -> ExitCode {
    if let Err(error) = crate::telemetry::install_logging(&args.log, false) {
        return super::fail(&error);
    }
    match super::block_on(serve(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

/// The file's callees, laid over the built-in ones, and its registrar.
fn read(path: &Path, callees: &mut BTreeMap<String, Callee>) -> Result<RegistrarRules, SimCliError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| SimCliError::Read {
        path: name.clone(),
        source,
    })?;
    let file: SimFile = toml::from_str(&text).map_err(|e| SimCliError::File {
        path: name.clone(),
        message: e.to_string().trim().replace('\n', " "),
    })?;
    for (number, callee) in file.callee {
        let (number, callee) = crate::sim::scripted(&number, callee).map_err(|e| SimCliError::File {
            path: name.clone(),
            message: format!("callee.{number:?}: {e}"),
        })?;
        callees.insert(number, callee);
    }
    Ok(file.registrar)
}

async fn serve(args: &SimArgs) -> Result<(), SimCliError> {
    let mut callees = crate::sim::defaults();
    let registrar = match &args.config {
        Some(path) => read(path, &mut callees)?,
        None => RegistrarRules::default(),
    };
    let (voices, _) = Catalogue::load(&CatalogueOptions {
        g722: args.codecs.contains(&Codec::G722),
        ..CatalogueOptions::default()
    })?;
    let voice = |tag| {
        voices.voice(Wanted {
            request: Some(tag),
            country: None,
            profile: None,
        })
    };
    let simulator = Simulator::start(SimConfig {
        sip: args.sip,
        streams: streams(args),
        tls: tls(args),
        rtp_ports: args.rtp_ports.0..=args.rtp_ports.1,
        callees,
        voices: vec![voice("en-US"), voice("en-GB")],
        codecs: args.codecs.clone(),
        calls_max: 2000,
        registrar,
    })?;
    let http = |source| SimCliError::Http {
        address: args.http,
        source,
    };
    let listener = tokio::net::TcpListener::bind(args.http).await.map_err(http)?;
    let address = listener.local_addr().map_err(http)?;
    let listens: String = [SipTransport::Tcp, SipTransport::Tls]
        .into_iter()
        .filter_map(|transport| {
            Some(format!(
                "{}:{} , ",
                transport.param(),
                simulator.listens(transport)?
            ))
        })
        .collect();
    println!(
        "simulator listens: SIP udp:{} , {listens}http://{address}/sim/calls",
        simulator.sip
    );
    let stop = async {
        // Without a signal handler the process ends by the signal itself.
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, crate::sim::router(&simulator))
        .with_graceful_shutdown(stop)
        .await
        .map_err(http)
}
