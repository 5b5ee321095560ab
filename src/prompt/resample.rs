//! Another sampling rate, in one piece or block by block, by rubato's synchronous FFT resampler.
//!
//! Invariant: n samples at `from_hz` give ⌈n · to/from⌉ samples, aligned to less than one of them: the resampler's
//! delay is taken out.
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

/// Samples that go into the resampler at a time; rubato rounds it to what the ratio needs.
const BLOCK: usize = 1024;

/// A running conversion of one channel.
pub(super) struct Resampler {
    inner: Option<Fft<f32>>,
    from_hz: u32,
    to_hz: u32,
    pending: Vec<f32>,
    /// Output samples still to be dropped: the delay of the filter.
    delay_left: usize,
    taken: u64,
    given: u64,
}

/// Why a conversion cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("from {from_hz} Hz to {to_hz} Hz: {reason}")]
pub struct ResampleError {
    pub from_hz: u32,
    pub to_hz: u32,
    pub reason: String,
}

impl Resampler {
    /// A conversion from one rate to another; the same rate passes samples through.
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Result<Self, ResampleError> {
        let inner = if from_hz == to_hz {
            None
        } else {
            let fft = Fft::new(from_hz as usize, to_hz as usize, BLOCK, 1, FixedSync::Input);
            Some(fft.map_err(|error| failed(from_hz, to_hz, &error))?)
        };
        let delay_left = inner.as_ref().map_or(0, rubato::Resampler::output_delay);
        Ok(Self {
            inner,
            from_hz,
            to_hz,
            pending: Vec::with_capacity(BLOCK * 2),
            delay_left,
            taken: 0,
            given: 0,
        })
    }

    /// Takes samples in and appends to `out` what is ready.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        self.taken += samples.len() as u64;
        let Some(fft) = &self.inner else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        self.pending.extend_from_slice(samples);
        let needed = fft.input_frames_next();
        let mut start = 0;
        while self.pending.len() - start >= needed {
            let block = self.pending[start..start + needed].to_vec();
            start += needed;
            self.block(block, needed, out)?;
        }
        self.pending.drain(..start);
        Ok(())
    }

    /// Appends what was still inside; the conversion starts anew.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let expected = (self.taken * u64::from(self.to_hz)).div_ceil(u64::from(self.from_hz));
        // One block of rest, then silence until the delay has been pushed out. Bounded: each block gives output.
        for _ in 0..64 {
            let Some(needed) = self.inner.as_ref().map(rubato::Resampler::input_frames_next) else {
                break;
            };
            if self.given >= expected {
                break;
            }
            let mut block = std::mem::take(&mut self.pending);
            let present = block.len();
            block.resize(needed, 0.0);
            self.block(block, present, out)?;
        }
        if self.inner.is_some() {
            let surplus = usize::try_from(self.given.saturating_sub(expected)).unwrap_or(0);
            out.truncate(out.len().saturating_sub(surplus));
        }
        *self = Self::new(self.from_hz, self.to_hz)?;
        Ok(())
    }

    fn block(&mut self, block: Vec<f32>, present: usize, out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let Some(fft) = &mut self.inner else { return Ok(()) };
        let frames = block.len();
        let input = InterleavedOwned::new_from(block, 1, frames)
            .map_err(|error| failed(self.from_hz, self.to_hz, &error))?;
        let indexing = (present < frames).then(|| Indexing::new().partial_len(present));
        let ready = fft
            .process(&input, indexing.as_ref())
            .map_err(|error| failed(self.from_hz, self.to_hz, &error))?
            .take_data();
        let dropped = self.delay_left.min(ready.len());
        self.delay_left -= dropped;
        self.given += (ready.len() - dropped) as u64;
        out.extend_from_slice(&ready[dropped..]);
        Ok(())
    }
}

/// A whole sound at another rate.
pub(super) fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, ResampleError> {
    let mut out = Vec::new();
    let mut resampler = Resampler::new(from_hz, to_hz)?;
    resampler.push(samples, &mut out)?;
    resampler.finish(&mut out)?;
    Ok(out)
}

fn failed(from_hz: u32, to_hz: u32, error: &impl std::fmt::Display) -> ResampleError {
    ResampleError {
        from_hz,
        to_hz,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate_hz: u32, frequency_hz: f32, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| 0.5 * (std::f32::consts::TAU * frequency_hz * n as f32 / rate_hz as f32).sin())
            .collect()
    }

    #[test]
    fn length_and_phase_are_kept_at_every_common_rate() {
        for from_hz in [
            8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
        ] {
            let input = tone(from_hz, 1000.0, from_hz as usize);
            let output = resample(&input, from_hz, 16_000).unwrap();
            assert_eq!(output.len(), 16_000, "{from_hz}");
            let expected = tone(16_000, 1000.0, 16_000);
            let worst = (2000..14_000)
                .map(|n| (output[n] - expected[n]).abs())
                .fold(0.0_f32, f32::max);
            // A delay of whole samples is taken out exactly; at odd rates a fraction of a sample is left.
            let tolerance = if [11_025, 22_050, 44_100, 96_000].contains(&from_hz) {
                0.19
            } else {
                0.002
            };
            assert!(worst < tolerance, "{from_hz}: {worst}");
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same_as_one_piece() {
        let input = tone(16_000, 700.0, 12_345);
        let whole = resample(&input, 16_000, 8000).unwrap();
        let mut resampler = Resampler::new(16_000, 8000).unwrap();
        let mut pieces = Vec::new();
        for block in input.chunks(77) {
            resampler.push(block, &mut pieces).unwrap();
        }
        resampler.finish(&mut pieces).unwrap();
        assert_eq!(whole, pieces);
        assert_eq!(whole.len(), 6173);
    }

    #[test]
    fn what_lies_above_half_the_new_rate_is_gone() {
        let output = resample(&tone(16_000, 5000.0, 16_000), 16_000, 8000).unwrap();
        let peak = output[500..7500].iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!(peak < 0.001, "{peak}");
    }
}
