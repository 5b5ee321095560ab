//! `ringproof trunk list|test`: the trunks as they are configured, and what is wrong with one, in words with the mend.
//!
//! The words are made in [`explain`](super::explain); asking is `app`'s and the dialer's.
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::call::{self, CallArgs, CallError};
use super::explain::{self, CallFacts, Finding, Verdict};
use super::explain_registration::of_registration;
use super::progress::outcome_lines;
use super::{ConfigFile, TraceSip};
use crate::config::{self, Config, Dtmf, Trunk};
use crate::dialer::{Heard, Probe};

/// Three repetitions of an OPTIONS, and a slow carrier.
const PATIENCE: Duration = Duration::from_secs(6);

#[derive(Debug, Subcommand)]
pub(super) enum TrunkCommand {
    /// The trunks in the order in which calls try them
    List {
        #[command(flatten)]
        file: ConfigFile,
        #[arg(long)]
        json: bool,
    },
    /// Look one up, ask it with OPTIONS, log in, place a test call; say in words what is wrong
    #[command(
        after_help = "Exit codes: 0 it works, 2 it is alive and refuses us, 3 nobody answers, 4 it is out of order or the test call failed on it, 1 nothing was tested"
    )]
    Test {
        /// Name of the trunk
        name: String,
        /// Place a test call to this number over it
        number: Option<String>,
        /// Region of a number without country code (ISO 3166, such as US)
        #[arg(long)]
        region: Option<String>,
        #[command(flatten)]
        file: ConfigFile,
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        trace: TraceSip,
    },
}

#[derive(Debug, thiserror::Error)]
enum TrunkError {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    App(#[from] crate::app::AppError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the configuration has no trunk {name:?}; it has {known}")]
    Unknown { name: String, known: String },
}

pub(super) fn run(command: TrunkCommand) -> ExitCode {
    let done = match command {
        TrunkCommand::List { file, json } => list(&file, json),
        TrunkCommand::Test {
            name,
            number,
            region,
            file,
            json,
            trace,
        } => {
            // What happens is told in words; the log would only break them up.
            if let Err(error) = crate::telemetry::install_logging("error", false) {
                return super::fail(&error);
            }
            super::block_on(test(&name, number, region, file, json, trace))
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => super::fail(&error),
    }
}

fn list(file: &ConfigFile, json: bool) -> Result<u8, TrunkError> {
    let config = config::load(&file.config)?;
    if json {
        let rows: Vec<Value> = config.trunks.iter().map(row_json).collect();
        println!("{}", Value::Array(rows));
    } else {
        table(&config).iter().for_each(|line| println!("{line}"));
    }
    Ok(0)
}

fn row_json(trunk: &Trunk) -> Value {
    let mut caller_id = trunk.caller_id.clone();
    caller_id.insert("default".to_owned(), trunk.caller_id_default.clone());
    let codecs: Vec<String> = trunk.codecs.iter().map(ToString::to_string).collect();
    json!({
        "name": trunk.name,
        "targets": trunk.targets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "auth": trunk.auth.as_ref().map(|auth| json!({"username": auth.username, "realm": auth.realm})),
        "register": trunk.register.as_ref().map(|r| json!({"aor": r.aor, "registrar": r.registrar.to_string()})),
        "cps": trunk.cps,
        "max_calls": trunk.calls_max,
        "caller_id": caller_id,
        "codecs": codecs,
    })
}

/// Columns as wide as their longest cell; further targets stand below the first.
fn table(config: &Config) -> Vec<String> {
    const HEAD: [&str; 8] = [
        "NAME",
        "TARGETS",
        "AUTH",
        "CPS",
        "CALLS",
        "CALLER ID",
        "CODECS",
        "KEYS",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for trunk in &config.trunks {
        rows.extend(rows_of(trunk));
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn rows_of(trunk: &Trunk) -> Vec<[String; 8]> {
    let others = match trunk.caller_id.len() {
        0 => String::new(),
        more => format!(" (+{more} by country)"),
    };
    let codecs: Vec<String> = trunk.codecs.iter().map(ToString::to_string).collect();
    let auth = trunk.auth.as_ref();
    let keys = match trunk.dtmf {
        Dtmf::Auto => "auto",
        Dtmf::Rfc4733 => "rfc4733",
        Dtmf::Inband => "inband",
    };
    let mut targets = trunk.targets.iter().map(ToString::to_string);
    let first = [
        trunk.name.clone(),
        targets.next().unwrap_or_default(),
        auth.map_or_else(|| "by address".to_owned(), |auth| auth.username.clone()),
        trunk.cps.to_string(),
        trunk.calls_max.to_string(),
        format!("{}{others}", trunk.caller_id_default),
        codecs.join(","),
        keys.to_owned(),
    ];
    let below = targets.map(|target| {
        let mut row = [const { String::new() }; 8];
        row[1] = target;
        row
    });
    std::iter::once(first).chain(below).collect()
}

async fn test(
    name: &str,
    number: Option<String>,
    region: Option<String>,
    file: ConfigFile,
    json: bool,
    trace: TraceSip,
) -> Result<u8, TrunkError> {
    let mut config = config::load(&file.config)?;
    let Some(learns) = config.trunks.iter().find(|t| t.name == name).map(|t| t.learn) else {
        let known: Vec<&str> = config.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        return Err(TrunkError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        });
    };
    let moved = call::free_sip_ports(&mut config);
    let tested = crate::app::test_trunk(&config, name, PATIENCE).await?;
    let registration = tested.registration.as_ref().map(of_registration);
    let found: Vec<(Probe, Finding)> = tested
        .probes
        .into_iter()
        .map(|probe| {
            let finding = explain::of_probe(&probe.heard);
            (probe, finding)
        })
        .collect();
    if !json {
        println!("Trunk {name}");
        if moved {
            println!("  note: a server holds the SIP port; this test comes from another one");
        }
        found
            .iter()
            .for_each(|(probe, finding)| print_probe(probe, finding));
        if let Some(finding) = &registration {
            print_finding("REGISTER", finding, "  ");
        }
    }
    // Any target that works carries the calls; else what is nearest to working says what to mend.
    let alive = found.iter().map(|(_, finding)| finding.verdict).min();
    let alive = alive.unwrap_or(Verdict::Unreached);
    // A trunk that registers carries nothing without.
    let alive = registration
        .as_ref()
        .map_or(alive, |found| found.verdict.max(alive));
    let tested = Tested {
        name,
        found: &found,
        registration: registration.as_ref(),
    };
    let Some(number) = number else {
        if json {
            println!("{}", report(&tested, None, alive));
        }
        return Ok(alive.exit_code());
    };
    let args = CallArgs::over(number, region, name.to_owned(), file, trace);
    let verification = call::place(&args).await?;
    let finding = explain::of_call(&CallFacts::of(&verification, learns));
    let verdict = finding.verdict;
    if json {
        println!("{}", report(&tested, Some((&verification, &finding)), verdict));
    } else {
        print_call(&verification, &finding);
    }
    Ok(verdict.exit_code())
}

fn print_probe(probe: &Probe, finding: &Finding) {
    println!("  target {}", probe.target);
    if let Some(destination) = &probe.destination {
        println!(
            "    address    {}:{}",
            destination.transport.param(),
            destination.address
        );
    }
    if let Some(local) = probe.local {
        println!("    from       {local}");
    }
    if let Heard::Answered(answer) = &probe.heard {
        let server = answer
            .server
            .as_deref()
            .map_or(String::new(), |name| format!(", {name}"));
        println!("    answered   after {} ms{server}", answer.after.as_millis());
    }
    print_finding("OPTIONS", finding, "    ");
}

fn print_finding(what: &str, finding: &Finding, indent: &str) {
    println!("{indent}{what:<10} {}", finding.says);
    for mend in &finding.mends {
        println!("{indent}           - {mend}");
    }
}

fn print_call(verification: &Value, finding: &Finding) {
    for line in outcome_lines(verification) {
        println!("  {line}");
    }
    print_finding("test call", finding, "  ");
}

fn finding_json(finding: &Finding) -> Value {
    json!({"verdict": finding.verdict.word(), "says": finding.says, "mends": finding.mends})
}

/// Everything that was found before the call.
struct Tested<'a> {
    name: &'a str,
    found: &'a [(Probe, Finding)],
    registration: Option<&'a Finding>,
}

fn report(tested: &Tested<'_>, call: Option<(&Value, &Finding)>, verdict: Verdict) -> Value {
    let target = |(probe, finding): &(Probe, Finding)| {
        let mut target = finding_json(finding);
        target["target"] = json!(probe.target.to_string());
        let destination = probe.destination.as_ref();
        target["transport"] = json!(destination.map(|to| to.transport.param()));
        target["address"] = json!(destination.map(|to| to.address));
        target["local"] = json!(probe.local);
        if let Heard::Answered(answer) = &probe.heard {
            target["sip_status"] = json!(answer.status);
            target["server"] = json!(answer.server);
            target["after_ms"] = json!(answer.after.as_secs_f64() * 1000.0);
        }
        target
    };
    let call = call.map(|(verification, finding)| {
        let mut call = finding_json(finding);
        call["verification"] = verification.clone();
        call
    });
    json!({
        "trunk": tested.name,
        "verdict": verdict.word(),
        "registration": tested.registration.map(finding_json),
        "targets": tested.found.iter().map(target).collect::<Vec<_>>(),
        "call": call,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_has_a_row_a_target_and_no_password() {
        let text = r#"
[[trunk]]
name = "carrier"
targets = ["sip:sip.carrier.example", "sip:[2001:db8::1]:5080;transport=udp"]
auth = { username = "u", password = "hunter2" }
caller_id = { default = "+18005550199", DE = "+4930123456" }
[[trunk]]
name = "pbx"
targets = ["sip:192.0.2.1"]
caller_id = { default = "1000" }
codecs = ["PCMA"]
cps = 0.5
[policy]
countries = ["US"]
[profile.default]
"#;
        let config = config::parse(text, "test.toml", Path::new("."), std::iter::empty()).unwrap();
        assert_eq!(
            table(&config).join("\n"),
            "\
NAME     TARGETS                               AUTH        CPS  CALLS  CALLER ID                     CODECS     KEYS
carrier  sip:sip.carrier.example               u           1    30     +18005550199 (+1 by country)  PCMU,PCMA  auto
         sip:[2001:db8::1]:5080;transport=udp
pbx      sip:192.0.2.1                         by address  0.5  30     1000                          PCMA       auto"
        );
        let json = Value::Array(config.trunks.iter().map(row_json).collect());
        assert_eq!(json[0]["auth"], json!({"username": "u", "realm": null}));
        assert_eq!(json[0]["caller_id"]["DE"], "+4930123456");
        assert!(!json.to_string().contains("hunter2"));
    }
}
