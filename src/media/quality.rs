//! What the path did to the stream: loss, interarrival jitter (RFC 3550 §6.4.1, §A.3, §A.8) and an estimated mean
//! opinion score (ITU-T G.107).
//!
//! [`ReceiveQuality`] is fed each received packet's sequence verdict, arrival and timestamp; it feeds the report
//! block of RTCP and the attempt's quality report. It keeps counters only, no packet.
use std::time::Instant;

use super::rtp::{Arrival, SequenceTracker};
use crate::model::QualityReport;

/// Media clock of every codec here, Hz.
const CLOCK_HZ: f64 = 8000.0;

/// Received side of one stream.
#[derive(Debug, Clone, Default)]
pub struct ReceiveQuality {
    sequence: SequenceTracker,
    ssrc: Option<u32>,
    /// Packets, expected packets of earlier SSRCs and counts of this stream.
    received_before: u64,
    expected_before: u64,
    jitter_ticks: f64,
    last: Option<Transit>,
    /// Counts at the last report block, for the fraction lost since.
    reported_expected: u32,
    reported_received: u32,
}

#[derive(Debug, Clone, Copy)]
struct Transit {
    at: Instant,
    timestamp: u32,
}

/// Figures for an RTCP report block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceptionFigures {
    pub ssrc: u32,
    /// Of the packets expected since the last block, in 1/256.
    pub fraction_lost: u8,
    /// Clamped to 24 bits.
    pub lost: u32,
    pub highest_sequence: u32,
    pub jitter_ticks: u32,
}

impl ReceiveQuality {
    /// Takes one packet of the agreed audio or telephone-event payload. Only audio packets move the jitter: the
    /// timestamps of an event stand still while it lasts.
    pub fn on_packet(
        &mut self,
        now: Instant,
        ssrc: u32,
        sequence: u16,
        audio_timestamp: Option<u32>,
    ) -> Arrival {
        if self.ssrc != Some(ssrc) {
            self.begin_source(ssrc);
        }
        let (expected, received) = (self.sequence.expected(), self.sequence.received());
        let arrival = self.sequence.on_packet(sequence);
        if arrival == Arrival::Started {
            self.expected_before += u64::from(expected);
            self.received_before += u64::from(received);
            self.reported_expected = 0;
            self.reported_received = 0;
            self.last = None;
        }
        // In the order of arrival, whatever the sequence (RFC 3550 §6.4.1): what was overtaken counts too.
        let counts = matches!(
            arrival,
            Arrival::InOrder { .. } | Arrival::Late | Arrival::Started
        );
        if let Some(timestamp) = audio_timestamp.filter(|_| counts) {
            self.measure_jitter(Transit { at: now, timestamp });
        }
        arrival
    }

    fn begin_source(&mut self, ssrc: u32) {
        self.expected_before += u64::from(self.sequence.expected());
        self.received_before += u64::from(self.sequence.received());
        self.sequence.reset();
        self.ssrc = Some(ssrc);
        self.last = None;
        self.reported_expected = 0;
        self.reported_received = 0;
    }

    /// RFC 3550 §A.8: J += (|D| − J) / 16.
    fn measure_jitter(&mut self, transit: Transit) {
        if let Some(last) = self.last {
            let elapsed = transit.at.saturating_duration_since(last.at).as_secs_f64() * CLOCK_HZ;
            let media = f64::from(transit.timestamp.wrapping_sub(last.timestamp) as i32);
            let deviation = (elapsed - media).abs();
            // A talk spurt after silence may restart timestamps; a second of jitter is no jitter.
            if deviation < CLOCK_HZ {
                self.jitter_ticks += (deviation - self.jitter_ticks) / 16.0;
            }
        }
        self.last = Some(transit);
    }

    #[must_use]
    pub const fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    #[must_use]
    pub fn packets_received(&self) -> u64 {
        self.received_before + u64::from(self.sequence.received())
    }

    #[must_use]
    pub fn packets_lost(&self) -> u64 {
        let expected = self.expected_before + u64::from(self.sequence.expected());
        expected.saturating_sub(self.packets_received())
    }

    #[must_use]
    pub fn jitter_ms(&self) -> f32 {
        (self.jitter_ticks * 1000.0 / CLOCK_HZ) as f32
    }

    /// The report block's figures; `None` before the first packet. Begins a new interval.
    pub fn take_figures(&mut self) -> Option<ReceptionFigures> {
        let ssrc = self.ssrc?;
        let (expected, received) = (self.sequence.expected(), self.sequence.received());
        let expected_now = expected.wrapping_sub(self.reported_expected);
        let received_now = received.wrapping_sub(self.reported_received);
        (self.reported_expected, self.reported_received) = (expected, received);
        let lost_now = u64::from(expected_now.saturating_sub(received_now));
        let fraction = (lost_now * 256).checked_div(u64::from(expected_now)).unwrap_or(0);
        Some(ReceptionFigures {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: self.sequence.lost().min(0x7f_ffff),
            highest_sequence: self.sequence.highest(),
            jitter_ticks: self.jitter_ticks as u32,
        })
    }

    /// The attempt's report. `round_trip_ms` from RTCP when known.
    #[must_use]
    pub fn report(&self, packets_sent: u64, round_trip_ms: Option<f32>) -> QualityReport {
        let packets_received = self.packets_received();
        let packets_lost = self.packets_lost();
        if packets_received == 0 {
            return QualityReport {
                packets_sent,
                ..QualityReport::default()
            };
        }
        let loss_percent = packets_lost as f32 * 100.0 / (packets_lost + packets_received) as f32;
        let jitter_ms = self.jitter_ms();
        let delay_ms = round_trip_ms.unwrap_or(0.0) / 2.0 + 2.0 * jitter_ms + PACKET_DELAY_MS;
        QualityReport {
            packets_sent,
            packets_received,
            packets_lost,
            jitter_ms: Some(jitter_ms),
            mos: Some(mos(loss_percent, delay_ms)),
            ..QualityReport::default()
        }
    }
}

/// Jitter as a report block tells it, milliseconds.
#[must_use]
pub fn ticks_to_ms(ticks: u32) -> f32 {
    (f64::from(ticks) * 1000.0 / CLOCK_HZ) as f32
}

/// Packetisation plus a minimal play-out buffer, milliseconds; the far path adds half the round trip and twice the
/// jitter.
const PACKET_DELAY_MS: f32 = 40.0;
/// G.711 without concealment loses a quarter of its robustness at 4.3 % random loss (ITU-T G.113 App. I).
const G711_BPL: f32 = 4.3;
/// R of a clear connection with all other parameters at their defaults (G.107 §7.7).
const R_CLEAR: f32 = 93.2;

/// Mean opinion score by the E-model, simplified: `R = 93.2 − Id − Ie,eff` with
/// `Id = 0.024 d + 0.11 (d − 177.3)·[d > 177.3]` for a one-way delay of `d` ms, and
/// `Ie,eff = 95 · Ppl / (Ppl + Bpl)` for a loss of `Ppl` % (`Ie` = 0 for G.711, and G.722
/// is judged as if it were that: what its wider band adds is not on this scale); then
/// `MOS = 1 + 0.035 R + 7·10⁻⁶ R (R − 60)(100 − R)`, within 1.0–4.5.
#[must_use]
pub fn mos(loss_percent: f32, delay_ms: f32) -> f32 {
    mos_of(rating(loss_percent, delay_ms))
}

/// The E-model's R, simplified: `R = 93.2 − Id − Ie,eff` with `Id = 0.024 d + 0.11 (d − 177.3)·[d > 177.3]` for a one-way
/// delay of `d` ms (a fit of G.107 §7.4 for a connection without echo), and `Ie,eff = 95 · Ppl / (Ppl + Bpl)` for a random
/// loss of `Ppl` % (G.107 §7.5 with `Ie` = 0 and `BurstR` = 1).
fn rating(loss_percent: f32, delay_ms: f32) -> f32 {
    let loss = if loss_percent.is_finite() {
        loss_percent.clamp(0.0, 100.0)
    } else {
        100.0
    };
    let delay = if delay_ms.is_finite() {
        delay_ms.max(0.0)
    } else {
        0.0
    };
    let delay_impairment = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let equipment_impairment = 95.0 * loss / (loss + G711_BPL);
    R_CLEAR - delay_impairment - equipment_impairment
}

/// G.107 Annex B: `MOS = 1 + 0.035 R + 7·10⁻⁶ R (R − 60)(100 − R)`, within 1.0–4.5.
fn mos_of(rating: f32) -> f32 {
    let r = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + 7.0e-6 * r * (r - 60.0) * (100.0 - r)).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some origin; only differences count"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_steady_stream_has_no_jitter_and_a_good_score() {
        let start = origin();
        let mut quality = ReceiveQuality::default();
        for n in 0..500_u32 {
            let at = start + Duration::from_millis(u64::from(n) * 20);
            quality.on_packet(at, 7, n as u16, Some(n * 160));
        }
        let report = quality.report(450, None);
        assert_eq!(
            (report.packets_sent, report.packets_received, report.packets_lost),
            (450, 500, 0)
        );
        assert!(report.jitter_ms.unwrap() < 0.01);
        assert!((4.3..4.5).contains(&report.mos.unwrap()), "{report:?}");
    }

    #[test]
    fn jitter_converges_to_the_mean_deviation() {
        let start = origin();
        let mut quality = ReceiveQuality::default();
        for n in 0..2000_u32 {
            let late = if n % 2 == 0 { 0 } else { 6 };
            let at = start + Duration::from_millis(u64::from(n) * 20 + late);
            quality.on_packet(at, 7, n as u16, Some(n.wrapping_mul(160)));
        }
        assert!((quality.jitter_ms() - 6.0).abs() < 0.2, "{}", quality.jitter_ms());
    }

    /// RFC 3550 §A.8 by hand. Packets of 160 ticks arrive after 20, 26, 14 and 25 ms, which is 0, 48, −48 and 40 ticks off:
    /// J = 0, then 48/16 = 3, then 3 + 45/16 = 5.8125, then 5.8125 + 34.1875/16 = 7.94921875.
    #[test]
    fn jitter_is_that_of_the_rfc_to_the_last_bit() {
        let start = origin();
        let mut quality = ReceiveQuality::default();
        let arrivals = [0, 20, 46, 60, 85];
        let expected = [0.0, 0.0, 3.0, 5.8125, 7.949_218_75];
        for ((n, at), ticks) in (0..).zip(arrivals).zip(expected) {
            quality.on_packet(start + Duration::from_millis(at), 7, n as u16, Some(n * 160));
            assert_eq!(quality.jitter_ticks, ticks, "packet {n}");
        }
        assert_eq!(quality.take_figures().unwrap().jitter_ticks, 7);
    }

    /// In the order of arrival: packet 2 comes after 3, 20 ms late, so 320 ticks off its follower both times.
    #[test]
    fn a_packet_that_was_overtaken_moves_the_jitter_too() {
        let start = origin();
        let mut quality = ReceiveQuality::default();
        for (place, n) in (0..).zip([0_u32, 1, 3, 2, 4]) {
            let at = start + Duration::from_millis(place * 20);
            quality.on_packet(at, 7, n as u16, Some(n * 160));
        }
        // 0, 160/16 = 10, 10 + (320 − 10)/16, then + (160 − J)/16.
        let after_late = 10.0 + 310.0 / 16.0;
        assert_eq!(quality.jitter_ticks, after_late + (160.0 - after_late) / 16.0);
        assert_eq!(quality.packets_lost(), 0);
        quality.on_packet(start, 7, 4, Some(640));
        assert_eq!(quality.jitter_ticks, after_late + (160.0 - after_late) / 16.0);
    }

    #[test]
    fn loss_lowers_the_score_and_fills_the_block() {
        let start = origin();
        let mut quality = ReceiveQuality::default();
        for n in (0..1000_u32).filter(|n| n % 10 != 5) {
            let at = start + Duration::from_millis(u64::from(n) * 20);
            quality.on_packet(at, 9, n as u16, Some(n * 160));
        }
        let figures = quality.take_figures().unwrap();
        assert_eq!((figures.ssrc, figures.lost, figures.fraction_lost), (9, 100, 25));
        assert_eq!(
            quality.take_figures().unwrap().fraction_lost,
            0,
            "a new interval begins"
        );
        let report = quality.report(0, None);
        assert_eq!(report.packets_lost, 100);
        assert!(report.mos.unwrap() < 2.5, "{report:?}");
    }

    #[test]
    fn a_new_source_continues_the_totals() {
        let start = origin();
        let mut quality = ReceiveQuality::default();
        for n in 0..10_u16 {
            quality.on_packet(start, 1, n, None);
        }
        for n in [500, 501, 503] {
            quality.on_packet(start, 2, n, None);
        }
        assert_eq!((quality.packets_received(), quality.packets_lost()), (13, 1));
        assert_eq!(quality.ssrc(), Some(2));
    }

    #[test]
    fn nothing_received_has_no_score() {
        let report = ReceiveQuality::default().report(3, None);
        assert_eq!(
            (report.packets_sent, report.mos, report.jitter_ms),
            (3, None, None)
        );
    }

    /// Annex B of G.107, table B.1: R and the mean opinion score that it stands for; and R by hand for a loss without
    /// concealment: 95 · 1 / (1 + 4.3) = 17.925, 95 · 5 / 9.3 = 51.075.
    #[test]
    fn the_score_is_that_of_the_standard() {
        for (r, score) in [
            (93.2, 4.41),
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
            (0.0, 1.0),
            (100.0, 4.5),
        ] {
            // The table has rounded 4.024 up to 4.03.
            assert!((mos_of(r) - score).abs() < 0.01, "R {r}: {}", mos_of(r));
        }
        for (loss, delay, r) in [
            (0.0, 0.0, 93.2),
            (1.0, 0.0, 93.2 - 17.9245),
            (5.0, 0.0, 93.2 - 51.0753),
            (0.0, 100.0, 93.2 - 2.4),
            (0.0, 200.0, 93.2 - 4.8 - 2.497),
        ] {
            assert!(
                (rating(loss, delay) - r).abs() < 0.001,
                "{loss} % {delay} ms: {}",
                rating(loss, delay)
            );
        }
    }

    #[test]
    fn the_score_keeps_its_bounds_and_falls_with_loss_and_delay() {
        assert!((mos(0.0, 0.0) - 4.41).abs() < 0.02, "{}", mos(0.0, 0.0));
        assert!(mos(1.0, 50.0) > mos(2.0, 50.0));
        assert!(mos(0.0, 100.0) > mos(0.0, 300.0));
        for (loss, delay) in [
            (100.0, 1e9),
            (f32::NAN, f32::NAN),
            (-5.0, -5.0),
            (f32::INFINITY, 0.0),
        ] {
            assert!((1.0..=4.5).contains(&mos(loss, delay)), "{loss} {delay}");
        }
    }
}
