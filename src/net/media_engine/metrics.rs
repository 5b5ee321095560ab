//! Counters of the media threads. Each thread is the only writer of its own set, so a count is a plain load
//! and store: no locked instruction per packet.
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::media::stream::Rejects;

/// Histogram buckets: four per octave of microseconds, up to about one second.
const BUCKETS: usize = 84;

/// A counter with one writer.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How late ticks were, in microseconds.
#[derive(Debug)]
pub(super) struct Histogram([Counter; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Histogram {
    pub(super) fn record(&self, value: Duration) {
        if let Some(bucket) = self.0.get(Self::bucket_of(value.as_micros())) {
            bucket.add(1);
        }
    }

    fn bucket_of(us: u128) -> usize {
        let us = u64::try_from(us).unwrap_or(u64::MAX).max(1);
        let octave = us.ilog2();
        // The two bits below the leading one: quarters of an octave.
        let quarter = if octave >= 2 { (us >> (octave - 2)) & 3 } else { 0 };
        (octave as usize * 4 + quarter as usize).min(BUCKETS - 1)
    }

    /// Upper edge of a bucket.
    fn edge_us(bucket: usize) -> u64 {
        let (octave, quarter) = (bucket / 4, bucket % 4);
        if octave < 2 {
            return 1 << (octave + 1);
        }
        ((5 + quarter) as u64) << (octave - 2)
    }

    fn add_to(&self, sums: &mut [u64; BUCKETS]) {
        for (sum, bucket) in sums.iter_mut().zip(&self.0) {
            *sum += bucket.value();
        }
    }
}

/// The value that `share` (0–1) of the samples do not exceed, as its bucket's upper edge; 0 without samples.
fn percentile_us(sums: &[u64; BUCKETS], share: f64) -> u64 {
    let total: u64 = sums.iter().sum();
    if total == 0 {
        return 0;
    }
    let wanted = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    for (bucket, count) in sums.iter().enumerate() {
        seen += count;
        if seen >= wanted {
            return Histogram::edge_us(bucket);
        }
    }
    Histogram::edge_us(BUCKETS - 1)
}

/// How late ticks were: counts by bucket, since the start or since an earlier snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickLateness([u64; BUCKETS]);

impl TickLateness {
    pub(super) fn of<'a>(threads: impl Iterator<Item = &'a ThreadMetrics>) -> Self {
        let mut sums = [0; BUCKETS];
        threads.for_each(|thread| thread.tick_lateness.add_to(&mut sums));
        Self(sums)
    }

    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(before);
        }
        Self(counts)
    }

    /// The lateness that `share` (0–1) of the ticks do not exceed; zero without ticks.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Duration {
        Duration::from_micros(percentile_us(&self.0, share))
    }
}

/// Received datagrams that were not believed, by reason.
#[derive(Debug, Default)]
pub(super) struct RejectCounters {
    malformed: Counter,
    direction: Counter,
    payload_type: Counter,
    source: Counter,
    order: Counter,
    srtp: Counter,
}

impl RejectCounters {
    pub(super) fn add(&self, rejects: &Rejects) {
        self.malformed.add(rejects.malformed);
        self.direction.add(rejects.direction);
        self.payload_type.add(rejects.payload_type);
        self.source.add(rejects.source);
        self.order.add(rejects.order);
        self.srtp.add(rejects.srtp);
    }

    fn add_to(&self, sums: &mut Rejects) {
        sums.malformed += self.malformed.value();
        sums.direction += self.direction.value();
        sums.payload_type += self.payload_type.value();
        sums.source += self.source.value();
        sums.order += self.order.value();
        sums.srtp += self.srtp.value();
    }
}

/// What one media thread counts.
#[derive(Debug, Default)]
pub(super) struct ThreadMetrics {
    pub(super) tick_lateness: Histogram,
    pub(super) ticks: Counter,
    pub(super) packets_sent: Counter,
    pub(super) packets_received: Counter,
    pub(super) rtcp_sent: Counter,
    pub(super) rtcp_received: Counter,
    pub(super) packets_skipped: Counter,
    pub(super) rejected: RejectCounters,
    pub(super) send_errors: Counter,
    pub(super) events_dropped: Counter,
    /// Legs whose media runs.
    pub(super) active: AtomicUsize,
    /// Legs opened and not yet closed; admission counts on it, so the opener adds and the thread subtracts.
    pub(super) open: AtomicUsize,
    /// The thread falls behind its clock: admit nobody.
    pub(super) late: AtomicBool,
    /// Share of the last window spent working, per mille.
    pub(super) busy_per_mille: AtomicUsize,
}

/// Counters of the callers' side; many writers.
#[derive(Debug, Default)]
pub(super) struct AdmissionMetrics {
    pub(super) refused_no_port: AtomicU64,
    pub(super) refused_no_file: AtomicU64,
    pub(super) refused_full: AtomicU64,
    pub(super) refused_late: AtomicU64,
    pub(super) commands_refused: AtomicU64,
}

/// A snapshot of the engine, summed over its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineMetrics {
    /// Legs opened and not yet closed.
    pub legs_open: usize,
    /// Legs whose media runs.
    pub legs_active: usize,
    pub ports_free: usize,
    pub ticks: u64,
    pub tick_lateness_p50_us: u64,
    pub tick_lateness_p99_us: u64,
    /// The busiest thread's working share of its last window, per mille.
    pub busy_per_mille: usize,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub rtcp_sent: u64,
    pub rtcp_received: u64,
    /// Packets never sent because their time had passed (a tick more than two packets late).
    pub packets_skipped: u64,
    /// Received datagrams that were not believed; under `srtp`, also those of RTCP.
    pub rejected: Rejects,
    /// Packets that the kernel did not take.
    pub send_errors: u64,
    /// Events that the call's queue had no room for.
    pub events_dropped: u64,
    /// Commands that the media thread's queue had no room for.
    pub commands_refused: u64,
    pub refused_no_port: u64,
    pub refused_no_file: u64,
    pub refused_full: u64,
    pub refused_late: u64,
}

impl EngineMetrics {
    pub(super) fn collect<'a>(
        threads: impl Iterator<Item = &'a ThreadMetrics>,
        admission: &AdmissionMetrics,
        ports_free: usize,
    ) -> Self {
        let mut lateness = [0; BUCKETS];
        let mut all = Self {
            ports_free,
            refused_no_port: admission.refused_no_port.load(Ordering::Relaxed),
            refused_no_file: admission.refused_no_file.load(Ordering::Relaxed),
            refused_full: admission.refused_full.load(Ordering::Relaxed),
            refused_late: admission.refused_late.load(Ordering::Relaxed),
            commands_refused: admission.commands_refused.load(Ordering::Relaxed),
            ..Self::default()
        };
        for thread in threads {
            thread.tick_lateness.add_to(&mut lateness);
            all.legs_open += thread.open.load(Ordering::Relaxed);
            all.legs_active += thread.active.load(Ordering::Relaxed);
            all.busy_per_mille = all
                .busy_per_mille
                .max(thread.busy_per_mille.load(Ordering::Relaxed));
            all.ticks += thread.ticks.value();
            all.packets_sent += thread.packets_sent.value();
            all.packets_received += thread.packets_received.value();
            all.rtcp_sent += thread.rtcp_sent.value();
            all.rtcp_received += thread.rtcp_received.value();
            all.packets_skipped += thread.packets_skipped.value();
            thread.rejected.add_to(&mut all.rejected);
            all.send_errors += thread.send_errors.value();
            all.events_dropped += thread.events_dropped.value();
        }
        all.tick_lateness_p50_us = percentile_us(&lateness, 0.50);
        all.tick_lateness_p99_us = percentile_us(&lateness, 0.99);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_rise_and_hold_their_values() {
        let mut last = 0;
        for us in 1..100_000_u64 {
            let bucket = Histogram::bucket_of(u128::from(us));
            assert!(bucket >= last, "{us}");
            assert!(us <= Histogram::edge_us(bucket), "{us}");
            last = bucket;
        }
        assert_eq!(Histogram::bucket_of(u128::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_come_from_the_counts() {
        let histogram = Histogram::default();
        for _ in 0..98 {
            histogram.record(Duration::from_micros(30));
        }
        histogram.record(Duration::from_micros(5000));
        histogram.record(Duration::from_micros(5000));
        let mut sums = [0; BUCKETS];
        histogram.add_to(&mut sums);
        let before = TickLateness(sums);
        histogram.record(Duration::from_micros(200));
        let mut after = TickLateness([0; BUCKETS]);
        histogram.add_to(&mut after.0);
        assert!((200..260).contains(&after.since(&before).percentile(0.5).as_micros()));
        assert_eq!(percentile_us(&sums, 0.5), 32);
        assert!((5000..6200).contains(&percentile_us(&sums, 0.99)));
        assert_eq!(percentile_us(&[0; BUCKETS], 0.99), 0);
    }
}
