//! Peers that we did not write: SIPp plays the far end by scenario, Kamailio is the proxy before it, baresip is a softphone
//! that answers, rtpengine the peer of our SRTP, openssl a client of the TLS listener, tshark reads the capture of it all.
//!
//! Run by `tests/run interop`, in network namespaces of its own (raw sockets without root, nothing leaves). A missing
//! peer is a failure. Arguments: parts of names to run only those, `--keep` to keep all logs. Each case starts its own `ringproof serve` and looks at the webhook that arrives.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test program: it prints its results, and nothing runs without its tools"
)]
#[path = "interop/baresip.rs"]
mod baresip;
#[path = "interop/capture.rs"]
mod capture;
#[path = "interop/cases.rs"]
mod cases;
#[path = "interop/digest.rs"]
mod digest;
#[path = "interop/kamailio.rs"]
mod kamailio;
#[path = "interop/openssl.rs"]
mod openssl;
#[path = "interop/process.rs"]
mod process;
#[path = "interop/registration.rs"]
mod registration;
#[path = "interop/rtpengine.rs"]
mod rtpengine;
#[path = "interop/server.rs"]
mod server;
#[path = "interop/sipp.rs"]
mod sipp;
#[path = "interop/sound.rs"]
mod sound;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls at the same time: enough to hide the prompts' length, few enough for two cores.
const AT_ONCE: usize = 8;
const CASE_MAX: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut work = tempfile::tempdir().expect("a temporary directory");
    if std::env::args().any(|a| a == "--keep") {
        work.disable_cleanup(true);
        println!("kept: {}", work.path().display());
    }
    let common = cases::Common::new(work.path())
        .await
        .expect("sox makes sounds, the program lists its prompts");
    let capture = capture::Capture::start(work.path())
        .await
        .expect("tshark captures on lo");
    let run = if only.is_empty() {
        capture::Run::Whole
    } else {
        capture::Run::Part
    };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| name.contains(o.as_str()));
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for entry in entries() {
        if wanted(entry.name()) {
            let (permits, directory, common) = (
                Arc::clone(&permits),
                work.path().join(entry.name()),
                common.clone(),
            );
            running.spawn(async move {
                let _permit = permits.acquire_owned().await;
                played(entry, directory, common).await
            });
        }
    }
    let (mut passed, mut failed, mut again) = (0, Vec::new(), Vec::new());
    while let Some(joined) = running.join_next().await {
        let played = joined.expect("no case panics");
        tell(&played);
        match played.result {
            Ok(_) => passed += 1,
            Err(why) => again.push((played.name, why)),
        }
    }
    // These calls run in real time, and eight at once may starve one another: what failed is played once more, alone.
    for (name, why) in again {
        println!("\n--- {name}, to be played again alone\n{why}\n");
        let entry = entries()
            .into_iter()
            .find(|entry| entry.name() == name)
            .expect("it was played before");
        let directory = work.path().join(format!("{name}-alone"));
        let played = played(entry, directory, common.clone()).await;
        tell(&played);
        match played.result {
            Ok(_) => passed += 1,
            Err(why) => failed.push((name, why)),
        }
    }
    for name in ["baresip", "openssl"].into_iter().filter(|name| wanted(name)) {
        let directory = work.path().join(name);
        let result = match name {
            "baresip" => baresip::run(&directory).await,
            _ => openssl::run(&directory).await,
        };
        match result {
            Ok(lines) => {
                passed += lines.len();
                lines.iter().for_each(|line| println!("ok    {line}"));
            }
            Err(why) => failed.push((name, why)),
        }
    }
    match capture.finish(run).await {
        Ok(told) => println!("ok    tshark: {told}"),
        Err(why) => failed.push(("tshark", why)),
    }
    for (name, why) in &failed {
        println!("\n--- {name}\n{why}");
    }
    println!("\n{passed} passed, {} failed", failed.len());
    if failed.is_empty() && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One line of a table, with its place there.
enum Entry {
    Direct(u16, cases::Case),
    BehindKamailio(u16, kamailio::Case),
    Registering(u16, registration::Case),
    ThroughRtpengine(u16, rtpengine::Case),
}

impl Entry {
    const fn name(&self) -> &'static str {
        match self {
            Self::Direct(_, case) => case.name,
            Self::BehindKamailio(_, case) => case.name,
            Self::Registering(_, case) => case.name,
            Self::ThroughRtpengine(_, case) => case.name,
        }
    }
}

fn entries() -> Vec<Entry> {
    let direct = (0..).zip(cases::all()).map(|(at, case)| Entry::Direct(at, case));
    let behind = (0..)
        .zip(kamailio::all())
        .map(|(at, case)| Entry::BehindKamailio(at, case));
    let first = u16::try_from(cases::all().len()).expect("a short table");
    let registering = (first..)
        .zip(registration::all())
        .map(|(at, case)| Entry::Registering(at, case));
    let through = (0..)
        .zip(rtpengine::all())
        .map(|(at, case)| Entry::ThroughRtpengine(at, case));
    direct.chain(behind).chain(registering).chain(through).collect()
}

/// One case, played.
struct Played {
    name: &'static str,
    took: Duration,
    /// What is worth telling, or why it failed.
    result: Result<String, String>,
}

async fn played(entry: Entry, directory: PathBuf, common: cases::Common) -> Played {
    let (began, name) = (Instant::now(), entry.name());
    let plays = async {
        match entry {
            Entry::Direct(at, case) => cases::run(case, at, directory, common).await,
            Entry::BehindKamailio(at, case) => kamailio::run(case, at, directory, common).await,
            Entry::Registering(at, case) => registration::run(case, at, directory, common).await,
            Entry::ThroughRtpengine(at, case) => rtpengine::run(case, at, directory).await,
        }
    };
    let result = tokio::time::timeout(CASE_MAX, plays).await;
    Played {
        name,
        took: began.elapsed(),
        result: result.unwrap_or_else(|_| Err(format!("not over after {} s", CASE_MAX.as_secs()))),
    }
}

fn tell(played: &Played) {
    let (name, seconds) = (played.name, played.took.as_secs_f32());
    match &played.result {
        Ok(told) => println!("ok    {name:<50} {seconds:>5.1} s  {told}"),
        Err(_) => println!("FAIL  {name:<50} {seconds:>5.1} s"),
    }
}
