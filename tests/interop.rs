//! Peers that we did not write: SIPp plays the far end by scenario, baresip is a softphone that answers, tshark reads
//! the capture of it all.
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
#[path = "interop/process.rs"]
mod process;
#[path = "interop/server.rs"]
mod server;
#[path = "interop/sipp.rs"]
mod sipp;
#[path = "interop/sound.rs"]
mod sound;

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
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for (index, case) in (0..).zip(cases::all()) {
        if !only.is_empty() && !only.iter().any(|o| case.name.contains(o.as_str())) {
            continue;
        }
        let (permits, directory, common) =
            (Arc::clone(&permits), work.path().join(case.name), common.clone());
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let began = Instant::now();
            let name = case.name;
            let result =
                match tokio::time::timeout(CASE_MAX, cases::run(case, index, directory, common)).await {
                    Ok(result) => result,
                    Err(_) => Err(format!("not over after {} s", CASE_MAX.as_secs())),
                };
            (name, began.elapsed(), result)
        });
    }
    let (mut passed, mut failed) = (0, Vec::new());
    while let Some(joined) = running.join_next().await {
        let (name, took, result) = joined.unwrap_or_else(|e| ("a case", Duration::ZERO, Err(e.to_string())));
        match result {
            Ok(told) => {
                passed += 1;
                println!("ok    {name:<50} {:>5.1} s  {told}", took.as_secs_f32());
            }
            Err(why) => {
                println!("FAIL  {name:<50} {:>5.1} s", took.as_secs_f32());
                failed.push((name, why));
            }
        }
    }
    if only.is_empty() || only.iter().any(|o| "baresip".contains(o.as_str())) {
        match baresip::run(&work.path().join("baresip")).await {
            Ok(lines) => {
                passed += lines.len();
                lines.iter().for_each(|line| println!("ok    {line}"));
            }
            Err(why) => failed.push(("baresip", why)),
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
