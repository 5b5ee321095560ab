//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): two sub-bands of 4 kHz, each as adaptive differences, six and two bits.
//!
//! ```text
//! 16 kHz ─► QMF ─┬─ low,  8 kHz ─► 6 bits ─┐
//!                └─ high, 8 kHz ─► 2 bits ─┴─► one octet for two samples: as many octets a second as G.711
//! ```
//! The low band alone is the telephone's band at 8 kHz, so [`NarrowDecoder`] and [`NarrowEncoder`] leave the high one
//! out: that is all a detector of keys needs, and all that audio at 8 kHz has. The names of the standard's blocks stand
//! beside what does their work.
//!
//! Invariants:
//! - Every octet decodes, from every state; all arithmetic stays in 32 bits.
//! - Nothing is allocated; a state has at most 300 bytes.
//! - What came before fades: a decoder that enters a sentence in its middle, or from another one's, is off by some 15 dB
//!   less than the speech after 100 ms, by 40 dB less after 200 ms; after 100 ms of silence, by 20 dB less from the first
//!   sample on. So clips that were encoded apart, each as after silence, can be sent one after another.

/// The octet of silence: no difference in either band, so that whatever sounded before fades within 20 ms (what is left, a
/// rounding error that stands still, is below -58 dBFS).
pub const SILENCE: u8 = 0xff;
/// What a high band without sound is encoded as.
const HIGH_SILENT: u8 = 0xc0;
/// So many octets (5 ms) are encoded as [`SILENCE`] where a recording has none but zeros.
const PAUSE: usize = 40;

/// Impulse response of both filters, one half of it: it is symmetric (Table 4).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const QMF_TAPS: usize = 2 * QMF.len();

/// Decision levels of the low band (Table 14, Q6), from the second one on.
const LOW_LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Differences of the low band by their upper four bits: what prediction goes by, in every mode (QM4).
const LOW_COARSE: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
];
/// Differences of the low band by all six bits: what is heard (QM6).
const LOW_FINE: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
    -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
    -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856,
    7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
    -432, -136,
];
/// By the same four bits, how the logarithm of the step goes on (WL by RL42).
const LOW_GROWTH: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];
/// The only decision level of the high band.
const HIGH_LEVEL: i32 = 564;
/// QM2 and WH of the high band.
const HIGH_COARSE: [i32; 4] = [-7408, -1616, 7408, 1616];
const HIGH_GROWTH: [i32; 4] = [798, -214, 798, -214];

/// 2^(11 + n/32) (Table 15, ILB).
const POWERS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// What differs between the bands in how the step adapts.
#[derive(Debug, Clone, Copy)]
struct Scale {
    log_max: i32,
    shift: i32,
    step_min: i32,
}

const LOW: Scale = Scale {
    log_max: 18_432,
    shift: 8,
    step_min: 32,
};
const HIGH: Scale = Scale {
    log_max: 22_528,
    shift: 10,
    step_min: 8,
};

/// Sixteen bits, as the standard's additions.
fn saturated(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// The product of two numbers of sixteen bits, the second a fraction.
const fn part(value: i32, of_32768: i32) -> i32 {
    value.wrapping_mul(of_32768) >> 15
}

const fn is_same_sign(a: i32, b: i32) -> bool {
    (a < 0) == (b < 0)
}

/// One sub-band's quantiser step and predictor; encoder and decoder keep the same.
#[derive(Debug, Clone)]
struct Band {
    scale: Scale,
    /// Logarithm of the step (NB), and the step (DET).
    log: i32,
    step: i32,
    /// The next sample as predicted (S), and the part of it that the zeros make (SZ).
    predicted: i32,
    by_zeros: i32,
    /// Coefficients of the poles (A1, A2) and of the zeros (B1 … B6).
    poles: [i32; 2],
    zeros: [i32; 6],
    /// The last differences (D1 … D6), newest first.
    differences: [i32; 6],
    /// The last sample as rebuilt (R), and the last two without the poles' part (P).
    rebuilt: i32,
    partial: [i32; 2],
}

impl Band {
    const fn new(scale: Scale) -> Self {
        Self {
            scale,
            log: 0,
            step: scale.step_min,
            predicted: 0,
            by_zeros: 0,
            poles: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
            rebuilt: 0,
            partial: [0; 2],
        }
    }

    /// As all come to be in silence: without differences, the poles of both sides go to their limits.
    const fn after_silence(scale: Scale) -> Self {
        Self {
            poles: [27_648, -12_288],
            ..Self::new(scale)
        }
    }

    /// A difference of the tables, in steps.
    const fn difference(&self, in_steps: i32) -> i32 {
        part(self.step, in_steps)
    }

    /// Takes the difference that was sent, and what it says of the step.
    fn follow(&mut self, difference: i32, growth: i32) {
        self.adapt_step(growth);
        let rebuilt = saturated(self.predicted + difference);
        let partial = saturated(self.by_zeros + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.predict(rebuilt);
        self.partial = [partial, self.partial[0]];
        self.rebuilt = rebuilt;
    }

    /// LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn adapt_step(&mut self, growth: i32) {
        self.log = (((self.log * 127) >> 7) + growth).clamp(0, self.scale.log_max);
        let power = POWERS[((self.log >> 6) & 31) as usize];
        let down = self.scale.shift - (self.log >> 11);
        let step = if down < 0 { power << -down } else { power >> down };
        self.step = step << 2;
    }

    /// UPPOL2 and UPPOL1.
    fn adapt_poles(&mut self, partial: i32) {
        let [first, second] = self.poles;
        let [last, before] = self.partial;
        let towards = saturated(first * 4);
        let turned = if is_same_sign(partial, last) {
            saturated(-towards)
        } else {
            towards
        };
        let step = if is_same_sign(partial, before) { 128 } else { -128 };
        let second = ((turned >> 7) + step + part(second, 32_512)).clamp(-12_288, 12_288);
        let step = if is_same_sign(partial, last) { 192 } else { -192 };
        let limit = 15_360 - second;
        let first = saturated(step + part(first, 32_640)).clamp(-limit, limit);
        self.poles = [first, second];
    }

    /// UPZERO and the zeros' half of DELAYA. Nothing wraps: all of it has sixteen bits.
    fn adapt_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (zero, earlier) in self.zeros.iter_mut().zip(self.differences) {
            // All ones where the signs differ: then the step is turned.
            let turned = (earlier ^ difference) >> 31;
            let step = (step ^ turned).wrapping_sub(turned);
            *zero = saturated(step.wrapping_add(zero.wrapping_mul(32_640) >> 15));
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
    }

    /// FILTEP, FILTEZ and PREDIC.
    fn predict(&mut self, rebuilt: i32) {
        let [first, second] = self.poles;
        let by_poles =
            saturated(part(saturated(2 * rebuilt), first) + part(saturated(2 * self.rebuilt), second));
        let mut products = self.differences;
        for (product, zero) in products.iter_mut().zip(self.zeros) {
            *product = part(saturated(*product * 2), zero);
        }
        self.by_zeros = products
            .iter()
            .rev()
            .fold(0, |sum, product| saturated(sum + product));
        self.predicted = saturated(by_poles + self.by_zeros);
    }

    /// Of the low band: six bits for a sample of fifteen.
    fn encode_low(&mut self, sample: i32) -> u8 {
        let missing = saturated(sample - self.predicted);
        let size = if missing < 0 { !missing } else { missing };
        let passed = LOW_LEVELS
            .iter()
            .take_while(|level| size >= (**level * self.step) >> 12);
        let level = passed.count() as u8;
        let code = match (missing < 0, level) {
            (true, 0 | 1) => 63 - level,
            (true, _) => 33 - level,
            (false, _) => 61 - level,
        };
        self.follow_low(code);
        code
    }

    fn follow_low(&mut self, code: u8) {
        let coarse = usize::from(code >> 2) & 15;
        self.follow(self.difference(LOW_COARSE[coarse]), LOW_GROWTH[coarse]);
    }

    /// Of the low band: a sample of fifteen bits.
    fn decode_low(&mut self, code: u8) -> i32 {
        let fine = LOW_FINE[usize::from(code) & 63];
        let sample = (self.predicted + self.difference(fine)).clamp(-16_384, 16_383);
        self.follow_low(code);
        sample
    }

    /// Of the high band: two bits for a sample of fifteen.
    fn encode_high(&mut self, sample: i32) -> u8 {
        let missing = saturated(sample - self.predicted);
        let size = if missing < 0 { !missing } else { missing };
        let is_small = size < (HIGH_LEVEL * self.step) >> 12;
        let code = u8::from(is_small) | if missing < 0 { 0 } else { 2 };
        self.follow_high(code);
        code
    }

    fn follow_high(&mut self, code: u8) {
        let code = usize::from(code) & 3;
        self.follow(self.difference(HIGH_COARSE[code]), HIGH_GROWTH[code]);
    }

    fn decode_high(&mut self, code: u8) -> i32 {
        let coarse = HIGH_COARSE[usize::from(code) & 3];
        let sample = (self.predicted + self.difference(coarse)).clamp(-16_384, 16_383);
        self.follow_high(code);
        sample
    }
}

/// The last samples of a filter, and the sums of its even and its odd taps.
#[derive(Debug, Clone, Default)]
struct Filter {
    samples: [i32; QMF_TAPS],
}

impl Filter {
    fn next(&mut self, pair: [i32; 2]) -> [i32; 2] {
        self.samples.copy_within(2.., 0);
        if let Some(newest) = self.samples.last_chunk_mut::<2>() {
            *newest = pair;
        }
        let pairs = self.samples.as_chunks::<2>().0.iter();
        let taps = QMF.iter().zip(QMF.iter().rev());
        pairs
            .zip(taps)
            .fold([0, 0], |[even, odd], ([a, b], (there, back))| {
                [even + a * there, odd + b * back]
            })
    }
}

/// A whole recording at 16 kHz. Its pauses are [`SILENCE`]: the standard's quantiser, which has no level for nothing,
/// makes a hiss of them.
pub fn encode_wide(mut encoder: Encoder, pcm: &[i16], octets: &mut [u8]) -> usize {
    let (pieces, mut count, mut was_silent) = (pcm.chunks(2 * PAUSE).zip(octets.chunks_mut(PAUSE)), 0, true);
    for (piece, octets) in pieces {
        let is_silent = piece.iter().all(|sample| *sample == 0);
        // The filter still holds the end of what came before.
        if is_silent && was_silent {
            let length = octets.len().min(piece.len() / 2);
            count += encoder.pause(octets.get_mut(..length).unwrap_or_default());
        } else {
            count += encoder.encode(piece, octets);
        }
        was_silent = is_silent;
    }
    count
}

/// The same of a recording at 8 kHz.
pub fn encode_narrow(mut encoder: NarrowEncoder, pcm: &[i16], octets: &mut [u8]) -> usize {
    for (piece, octets) in pcm.chunks(PAUSE).zip(octets.chunks_mut(PAUSE)) {
        if piece.iter().all(|sample| *sample == 0) {
            let length = octets.len().min(piece.len());
            encoder.pause(octets.get_mut(..length).unwrap_or_default());
        } else {
            encoder.encode(piece, octets);
        }
    }
    pcm.len().min(octets.len())
}

/// 16 kHz to octets.
#[derive(Debug, Clone)]
pub struct Encoder {
    low: Band,
    high: Band,
    filter: Filter,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            low: Band::new(LOW),
            high: Band::new(HIGH),
            filter: Filter::default(),
        }
    }
}

impl Encoder {
    /// What is encoded follows [`SILENCE`].
    #[must_use]
    pub fn after_silence() -> Self {
        Self {
            low: Band::after_silence(LOW),
            high: Band::after_silence(HIGH),
            filter: Filter::default(),
        }
    }

    /// Encodes as many pairs of samples as `pcm` holds and `octets` has room for, and returns that number.
    pub fn encode(&mut self, pcm: &[i16], octets: &mut [u8]) -> usize {
        let pairs = pcm.as_chunks::<2>().0;
        for (octet, [first, second]) in octets.iter_mut().zip(pairs) {
            let [odd, even] = self.filter.next([i32::from(*first), i32::from(*second)]);
            let low = self.low.encode_low((even + odd) >> 14);
            let high = self.high.encode_high((even - odd) >> 14);
            *octet = (high << 6) | low;
        }
        pairs.len().min(octets.len())
    }

    fn pause(&mut self, octets: &mut [u8]) -> usize {
        for octet in octets.iter_mut() {
            *octet = SILENCE;
            self.low.follow_low(SILENCE);
            self.high.follow_high(SILENCE);
        }
        octets.len()
    }
}

/// Octets to 16 kHz.
#[derive(Debug, Clone)]
pub struct Decoder {
    low: Band,
    high: Band,
    filter: Filter,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            low: Band::new(LOW),
            high: Band::new(HIGH),
            filter: Filter::default(),
        }
    }
}

impl Decoder {
    /// Decodes as many octets as `pcm` has room for, two samples each, and returns the number of samples.
    pub fn decode(&mut self, octets: &[u8], pcm: &mut [i16]) -> usize {
        let (pairs, _) = pcm.as_chunks_mut::<2>();
        let count = 2 * pairs.len().min(octets.len());
        for (pair, octet) in pairs.iter_mut().zip(octets) {
            let low = self.low.decode_low(*octet);
            let high = self.high.decode_high(*octet >> 6);
            let [second, first] = self.filter.next([low + high, low - high]);
            *pair = [first, second].map(|sum| saturated(sum >> 11) as i16);
        }
        count
    }
}

/// 8 kHz to octets: the low band as it is, silence above it.
#[derive(Debug, Clone)]
pub struct NarrowEncoder {
    low: Band,
}

impl Default for NarrowEncoder {
    fn default() -> Self {
        Self { low: Band::new(LOW) }
    }
}

impl NarrowEncoder {
    /// What is encoded follows [`SILENCE`].
    #[must_use]
    pub const fn after_silence() -> Self {
        Self {
            low: Band::after_silence(LOW),
        }
    }

    /// Encodes as many samples as both slices hold and returns that number.
    pub fn encode(&mut self, pcm: &[i16], octets: &mut [u8]) -> usize {
        for (octet, sample) in octets.iter_mut().zip(pcm) {
            *octet = HIGH_SILENT | self.low.encode_low(i32::from(*sample) >> 1);
        }
        pcm.len().min(octets.len())
    }

    fn pause(&mut self, octets: &mut [u8]) {
        for octet in octets {
            *octet = SILENCE;
            self.low.follow_low(SILENCE);
        }
    }
}

/// Octets to 8 kHz: the low band, what is above 4 kHz left out.
#[derive(Debug, Clone)]
pub struct NarrowDecoder {
    low: Band,
}

impl Default for NarrowDecoder {
    fn default() -> Self {
        Self { low: Band::new(LOW) }
    }
}

impl NarrowDecoder {
    /// Decodes as many octets as both slices hold and returns that number.
    pub fn decode(&mut self, octets: &[u8], pcm: &mut [i16]) -> usize {
        for (sample, octet) in pcm.iter_mut().zip(octets) {
            *sample = saturated(self.low.decode_low(*octet) * 2) as i16;
        }
        octets.len().min(pcm.len())
    }
}
