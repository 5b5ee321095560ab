//! Scoring: each pressed key once, the right digit, in its time. A second report or a wrong digit is a false report, and
//! the key it fell on is missed.
use super::call::Pressed;

/// What a detector said, and where in the call it was when it said so.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    pub digit: char,
    pub at_ms: f64,
}

/// A report may come this long after the end of its key.
const LATE_MS: f64 = 80.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    pub keys: usize,
    pub hits: usize,
    pub falses: usize,
    /// Falses that were `#`.
    pub pounds: usize,
}

impl Score {
    pub fn share(&self) -> f64 {
        self.hits as f64 / self.keys.max(1) as f64
    }

    pub fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.hits += other.hits;
        self.falses += other.falses;
        self.pounds += other.pounds;
    }
}

/// Reports in order of time.
pub fn score(keys: &[Pressed], reports: &[Report]) -> Score {
    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        Missed,
        Hit,
        Spoilt,
    }
    let mut fates = vec![Fate::Missed; keys.len()];
    let mut score = Score {
        keys: keys.len(),
        ..Score::default()
    };
    let covers =
        |key: &Pressed, report: &Report| (key.start_ms..=key.end_ms + LATE_MS).contains(&report.at_ms);
    for report in reports {
        let open = |n: &usize| {
            fates[*n] == Fate::Missed && keys[*n].digit == report.digit && covers(&keys[*n], report)
        };
        if let Some(n) = (0..keys.len()).find(open) {
            fates[n] = Fate::Hit;
            continue;
        }
        score.falses += 1;
        score.pounds += usize::from(report.digit == '#');
        if let Some(n) = (0..keys.len()).rfind(|n| covers(&keys[*n], report)) {
            fates[n] = Fate::Spoilt;
        }
    }
    score.hits = fates.iter().filter(|f| **f == Fate::Hit).count();
    score
}
