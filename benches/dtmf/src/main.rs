//! Scores the in-band detector beside spandsp and the crate `dtmf`, on the seeded set of `tests/dtmf` and on hours of
//! speech and music that `talkoff.sh` made. `run` builds and starts it; `docs/dtmf.md` says how to read the result.
//!
//! The detector is compiled from the product's own files, so that this builds in seconds.
#![allow(dead_code, reason = "the product's files hold more than the detector needs")]

#[path = "../../../tests/dtmf/mod.rs"]
mod cases;
mod detectors;
mod media;
mod model;
mod peer;
mod report;
mod talkoff;

use std::path::{Path, PathBuf};

use cases::set::Half;
use detectors::{Crate, Detector, Ours, Spandsp};
use peer::Peer;
use talkoff::{AS_RECORDED, STRETCH, augmented};

struct Options {
    half: Half,
    peer: PathBuf,
    cache: Option<PathBuf>,
    only_ours: bool,
    /// A round of other speeds and gains.
    augment: Option<usize>,
    playing: bool,
    verbose: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        half: Half::Checking,
        peer: PathBuf::from("peer"),
        cache: None,
        only_ours: false,
        augment: None,
        playing: false,
        verbose: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("expected a value after {argument}"))
        };
        match argument.as_str() {
            "--half" => {
                options.half = match value()?.as_str() {
                    "tuning" => Half::Tuning,
                    "checking" => Half::Checking,
                    "fresh" => Half::Fresh,
                    other => return Err(format!("expected tuning, checking or fresh, found {other:?}")),
                }
            }
            "--peer" => options.peer = value()?.into(),
            "--talk-off" => options.cache = Some(value()?.into()),
            "--only-ours" => options.only_ours = true,
            "--augment" => options.augment = Some(value()?.parse().map_err(|_| "expected a round, 0-2")?),
            "--playing" => options.playing = true,
            "--verbose" => options.verbose = true,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(options)
}

fn main() -> Result<(), String> {
    let options = options()?;
    let prompts = prompts(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../prompts/en-US"
    )))?;
    let mut detectors: Vec<Box<dyn Detector>> = vec![Box::new(Ours::default())];
    if !options.only_ours {
        detectors.push(Box::new(Spandsp(Peer::start(&options.peer)?)));
        detectors.push(Box::new(Crate));
    }
    let mut codecs = Peer::start(&options.peer)?;
    let calls = report::calls(
        options.half,
        &prompts,
        &mut codecs,
        &mut detectors,
        options.verbose,
    );
    let variants = options.augment.map_or(AS_RECORDED.to_vec(), augmented);
    let prompt: Vec<i16> = if options.playing {
        prompts.concat().into_iter().cycle().take(STRETCH).collect()
    } else {
        Vec::new()
    };
    let heard = options
        .cache
        .map(|cache| {
            talkoff::listen(
                &cache,
                options.half,
                &mut detectors,
                &variants,
                &prompt,
                options.verbose,
            )
        })
        .transpose()?;
    report::print(&detectors, &calls, heard.as_ref());
    Ok(())
}

/// What a call plays, in the order of the set.
fn prompts(directory: &Path) -> Result<Vec<Vec<i16>>, String> {
    cases::call::PROMPTS
        .iter()
        .map(|name| {
            let path = directory.join(name);
            let octets = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            cases::line::samples_of_wav(&octets)
                .ok_or(format!("{}: expected 16-bit mono samples", path.display()))
        })
        .collect()
}
