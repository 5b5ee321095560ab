//! SIPp as the registrar of a trunk: what it is told by REGISTER, and the last one when the server stops.
use std::path::PathBuf;
use std::time::Duration;

use super::cases::{AUTH, Common};
use super::server::{Server, Settings};
use super::sipp::{self, Setup, Sipp};

pub(crate) struct Case {
    /// Scenario file too, named by what the registrar does.
    pub(crate) name: &'static str,
    /// Lines for `[[trunk]]`.
    trunk: &'static str,
    /// What the server logs before it is stopped.
    logs: &'static str,
}

const LOGIN: &str =
    "auth = { username = \"lab\", password = \"open sesame\" }\nregister = { expires_s = 60 }";

pub(crate) fn all() -> Vec<Case> {
    assert!(LOGIN.starts_with(AUTH));
    let case = |name, logs| Case {
        name,
        trunk: LOGIN,
        logs,
    };
    vec![
        case("challenges-the-register", "registered for 60 s"),
        case("wants-a-longer-binding", "registered for 600 s"),
        case("grants-a-short-binding", "registered again for 10 s"),
    ]
}

pub(crate) async fn run(
    case: Case,
    index: u16,
    directory: PathBuf,
    common: Common,
) -> Result<String, String> {
    let mut registrar = Sipp::start(&Setup {
        scenario: case.name,
        transport: "udp",
        index,
        directory: &directory.join("sipp"),
        sounds: &common.sounds,
        press_after: common.press_after,
        calls: None,
        host: "127.0.0.1",
    })?;
    let settings = Settings {
        target: format!("127.0.0.1:{}", sipp::port_of(index)),
        trunk: case.trunk,
        ..Settings::default()
    };
    let server = Server::start(&directory, &settings).await?;
    let logged = server.logs(case.logs, Duration::from_secs(30)).await;
    let log = server.log();
    server.stop().await?;
    logged.map_err(|why| format!("{why}\n{log}"))?;
    registrar
        .finish()
        .await
        .map_err(|words| format!("{words}\n{log}"))?;
    Ok(case.logs.to_owned())
}
