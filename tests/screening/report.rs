//! The confusion table.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringproof::media::command::Sign;

use super::live::{self, Ended};
use super::material::Material;
use super::scene::{Kind, scene};

/// Calls of a kind in an evaluation.
pub const fn weight(kind: Kind) -> u64 {
    match kind {
        Kind::Person | Kind::NoisyPerson => 60,
        Kind::VoicemailWithBeep => 60,
        Kind::Talker | Kind::Household => 40,
        Kind::Robot | Kind::VoicemailNoBeep => 30,
        Kind::VoicemailOddBeep | Kind::Forwarded | Kind::OnHold => 20,
        Kind::Quiet | Kind::Sit | Kind::Fax => 10,
    }
}

const COLUMNS: [&str; 7] = [
    "beep",
    "sit_tones",
    "fax_tones",
    "long_greeting",
    "screening_robot",
    "key",
    "nothing",
];

#[derive(Default)]
pub struct Tally {
    cells: BTreeMap<(Kind, &'static str), u64>,
    /// From the first sound of the beep to the verdict, milliseconds.
    beep_ms: Vec<u64>,
    /// What went wrong, for who wants to hear it.
    wrong: Vec<String>,
}

/// Runs calls of every kind on both cores.
pub fn evaluate(material: &Material, first_seed: u64, count: impl Fn(Kind) -> u64) -> Tally {
    let clips = live::clips(&material.prompt);
    let jobs: Vec<(Kind, u64)> = Kind::ALL
        .into_iter()
        .flat_map(|kind| (0..count(kind)).map(move |n| (kind, first_seed + n)))
        .collect();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some((kind, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scene = scene(*kind, *seed, material);
                    let ended = live::run(&scene, &clips);
                    let beep_ms = scene.beep.map(|(start, _)| start as u64 / 8);
                    tally.lock().unwrap().count(*kind, *seed, beep_ms, &ended);
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap();
    tally.beep_ms.sort_unstable();
    tally.wrong.sort();
    tally
}

impl Tally {
    fn count(&mut self, kind: Kind, seed: u64, beep_ms: Option<u64>, ended: &Ended) {
        let column = match ended.sign.as_flag() {
            _ if ended.pressed => "key",
            Some(flag) => flag,
            None => "nothing",
        };
        *self.cells.entry((kind, column)).or_default() += 1;
        if let (Some(beep_ms), Sign::Beep) = (beep_ms, ended.sign) {
            self.beep_ms.push(ended.at_ms.saturating_sub(beep_ms));
        }
        if column != expected(kind) && !(kind.is_person() && column == "key") {
            let tone = ended.found.and_then(|found| found.tone);
            self.wrong.push(format!(
                "{kind:?} {seed}: {column} at {} ms {tone:?}, beep {beep_ms:?}",
                ended.at_ms
            ));
        }
    }

    fn of(&self, kind: Kind, column: &'static str) -> u64 {
        self.cells.get(&(kind, column)).copied().unwrap_or_default()
    }

    fn total(&self, kind: Kind) -> u64 {
        COLUMNS.iter().map(|column| self.of(kind, column)).sum()
    }

    pub fn share(&self, kind: Kind, column: &'static str) -> f64 {
        self.of(kind, column) as f64 / self.total(kind).max(1) as f64
    }

    fn people(&self, columns: &[&'static str]) -> u64 {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_person());
        kinds
            .flat_map(|kind| columns.iter().map(move |column| self.of(kind, column)))
            .sum()
    }

    /// People whose call was ended as a machine's.
    pub fn people_ended(&self) -> u64 {
        self.people(&COLUMNS[..3])
    }

    /// People who pressed nothing and were called a machine.
    pub fn people_named(&self) -> u64 {
        self.people(&COLUMNS[3..5])
    }
}

const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::VoicemailWithBeep | Kind::VoicemailOddBeep => "beep",
        Kind::VoicemailNoBeep => "long_greeting",
        Kind::Robot => "screening_robot",
        Kind::Sit => "sit_tones",
        Kind::Fax => "fax_tones",
        _ => "nothing",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| who answers | calls | {} |", COLUMNS.join(" | "))?;
        writeln!(f, "| --- | --- |{}", " --- |".repeat(COLUMNS.len()))?;
        for kind in Kind::ALL {
            write!(f, "| {kind:?} | {} |", self.total(kind))?;
            for column in COLUMNS {
                match self.of(kind, column) {
                    0 => write!(f, " |")?,
                    count => write!(f, " {count} |")?,
                }
            }
            writeln!(f)?;
        }
        let people: u64 = Kind::ALL
            .into_iter()
            .filter(|k| k.is_person())
            .map(|k| self.total(k))
            .sum();
        writeln!(
            f,
            "people: {people}; ended as a machine: {}; named a machine without a key: {}",
            self.people_ended(),
            self.people_named()
        )?;
        if !self.beep_ms.is_empty() {
            let at = |share: usize| self.beep_ms[(self.beep_ms.len() - 1) * share / 100];
            writeln!(
                f,
                "beep to verdict: p50 {} ms, p95 {} ms, max {} ms",
                at(50),
                at(95),
                at(100)
            )?;
        }
        for line in &self.wrong {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
