//! The set: what is drawn, how often, and how much it counts. It was fixed before the detector was tuned against it.
//!
//! Seeds are `FIRST_SEED + call`: even ones are the tuning half, odd ones the checking half. A category's share of hits
//! counts with its weight.

/// What a call of a category is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Length,
    Pause,
    Fast,
    Frequency,
    Twist,
    Level,
    Corners,
    White,
    Pink,
    Impulse,
    PromptEcho,
    Music,
    DialTone,
    Hum,
    Clipping,
    LineEcho,
    Loss,
    Concealed,
    JitterGap,
    Break,
    Long,
    Gsm,
    G726,
    Opus,
    Speex,
    Amr,
}

pub struct Category {
    pub kind: Kind,
    pub name: &'static str,
    pub weight: f64,
    /// Keys pressed in one call.
    pub keys: usize,
}

const fn category(kind: Kind, name: &'static str, weight: f64, keys: usize) -> Category {
    Category {
        kind,
        name,
        weight,
        keys,
    }
}

/// Required: each key must be heard once.
pub const CATEGORIES: [Category; 26] = [
    category(Kind::Length, "tone of 40-60 ms", 6.0, 4),
    category(Kind::Pause, "pause of 40-50 ms", 5.0, 4),
    category(Kind::Fast, "fast dialling, 40-50 ms of each", 5.0, 8),
    category(Kind::Frequency, "1.0-1.5 % and 2 Hz off", 5.0, 4),
    category(Kind::Twist, "twist of -8 to -6 and 3 to 4 dB", 5.0, 4),
    category(Kind::Level, "-25 to -19 and -6 to 0 dBm0", 5.0, 4),
    category(Kind::Corners, "all limits at once", 6.0, 4),
    category(Kind::White, "white noise, S/N 15-21 dB", 6.0, 4),
    category(Kind::Pink, "pink noise, S/N 15-21 dB", 4.0, 4),
    category(Kind::Impulse, "impulse noise", 5.0, 4),
    category(Kind::PromptEcho, "echo of our prompt, -10 to -30 dB", 8.0, 4),
    category(Kind::Music, "music, S/N 10-25 dB", 5.0, 4),
    category(Kind::DialTone, "dial tone", 4.0, 4),
    category(Kind::Hum, "mains hum", 4.0, 4),
    category(Kind::Clipping, "clipping by 2-12 dB", 4.0, 4),
    category(Kind::LineEcho, "echo of the line, 3-40 ms, -8 to -24 dB", 4.0, 4),
    category(Kind::Loss, "lost packets", 5.0, 4),
    category(Kind::Concealed, "lost packets, concealed", 4.0, 4),
    category(Kind::JitterGap, "gaps and slips of a jitter buffer", 4.0, 4),
    category(Kind::Break, "interruption up to 10 ms", 3.0, 4),
    category(Kind::Long, "long press", 3.0, 2),
    category(Kind::Gsm, "GSM full rate", 4.0, 4),
    category(Kind::G726, "G.726 at 32 kbit/s", 2.0, 4),
    category(Kind::Opus, "Opus, 16 kbit/s narrow band", 2.0, 4),
    category(Kind::Speex, "Speex, 15 kbit/s", 3.0, 4),
    category(Kind::Amr, "AMR at 12.2 kbit/s", 4.0, 4),
];

/// Sounds that must give no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Short,
    OffFrequency,
    Faint,
    OneTone,
    CallProgress,
}

pub const REFUSED: [(Refused, &str); 5] = [
    (Refused::Short, "tone of 23 ms or less"),
    (Refused::OffFrequency, "3.5 % off or more"),
    (Refused::Faint, "-55 dBm0 or less"),
    (Refused::OneTone, "one tone alone"),
    (Refused::CallProgress, "call progress, fax and answering tones"),
];

pub const FIRST_SEED: u64 = 20_261_128_000;
/// Calls of each category, both halves together.
pub const CALLS: u64 = 128;
/// Calls of each refused kind, both halves together.
pub const REFUSED_CALLS: u64 = 64;

/// Half of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Tuning,
    Checking,
    /// As large as one of them, of seeds that nothing was ever chosen by.
    Fresh,
}

/// From the first seed of both halves to that of the fresh draw.
const FRESH: u64 = 1_000_000;

impl Half {
    /// The seeds of the half, in order, without end.
    pub fn seeds(self) -> impl Iterator<Item = u64> {
        (FIRST_SEED + self.first()..).step_by(2)
    }

    fn first(self) -> u64 {
        match self {
            Self::Tuning => 0,
            Self::Checking => 1,
            Self::Fresh => FRESH,
        }
    }

    /// Those of a number of calls, both halves together.
    pub fn of(self, calls: u64) -> impl Iterator<Item = u64> {
        self.seeds().take(calls.div_ceil(2) as usize)
    }
}
