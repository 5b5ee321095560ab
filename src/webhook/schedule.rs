//! When a webhook is tried again, as pure functions.
//!
//! Tries at 0, 1 s, 5 s, 15 s, 1 min, 5 min, 30 min, 2 h, 5 h, 10 h and 24 h after the one before, each delay
//! lengthened by up to a tenth so that many rows that failed together do not return together.
use std::time::Duration;

use crate::model::UnixMillis;

/// Delay before each try, the first included.
const DELAYS_S: [u64; 11] = [0, 1, 5, 15, 60, 300, 1800, 7200, 18_000, 36_000, 86_400];
/// A `Retry-After` beyond this is cut: the row must not sleep for ever.
const RETRY_AFTER_S_MAX: u64 = 86_400;

/// What the receiver's answer means for the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered,
    /// Failed; the receiver may have asked for a pause.
    Failed {
        retry_after: Option<Duration>,
    },
    /// 410: the receiver wants nothing more on this URL.
    Gone,
}

/// Judges a response by its status: 2xx delivers, 410 disables, all else (3xx too) fails.
pub(super) fn judge(status: u16, retry_after: Option<&str>, now: UnixMillis) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        410 => Verdict::Gone,
        _ => Verdict::Failed {
            retry_after: retry_after.and_then(|text| parse_retry_after(text, now)),
        },
    }
}

/// When the row is due again after `tries` failed tries; `None` when the last has been made.
/// `jitter` is uniform in 0..=65535.
pub(super) fn next_try(
    tries: u32,
    retry_after: Option<Duration>,
    now: UnixMillis,
    jitter: u16,
) -> Option<UnixMillis> {
    let delay_s = *DELAYS_S.get(usize::try_from(tries).ok()?)?;
    let base = Duration::from_secs(delay_s);
    let jittered = base + base.mul_f64(f64::from(jitter) / f64::from(u16::MAX) / 10.0);
    Some(now.plus(retry_after.map_or(jittered, |asked| asked.max(jittered))))
}

/// `Retry-After`: seconds or an IMF-fixdate (RFC 9110 §10.2.3, §5.6.7).
fn parse_retry_after(text: &str, now: UnixMillis) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(RETRY_AFTER_S_MAX)));
    }
    let until = parse_http_date(text)?.since(now);
    Some(until.min(Duration::from_secs(RETRY_AFTER_S_MAX)))
}

fn parse_http_date(text: &str) -> Option<UnixMillis> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|m| m == month)? + 1;
    UnixMillis::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

    #[test]
    fn the_schedule_is_the_one_of_the_contract_and_then_ends() {
        let delays: Vec<u64> = (0..11)
            .map(|tries| next_try(tries, None, NOW, 0).unwrap().since(NOW).as_secs())
            .collect();
        assert_eq!(delays, [0, 1, 5, 15, 60, 300, 1800, 7200, 18_000, 36_000, 86_400]);
        assert_eq!(next_try(11, None, NOW, 0), None);
        assert_eq!(next_try(u32::MAX, None, NOW, 0), None);
    }

    #[test]
    fn jitter_lengthens_by_a_tenth_at_most_and_never_shortens() {
        for jitter in [0, 1, 30_000, u16::MAX] {
            let delay = next_try(4, None, NOW, jitter).unwrap().since(NOW);
            assert!((60_000..=66_000).contains(&delay.as_millis()), "{delay:?}");
        }
    }

    #[test]
    fn retry_after_lengthens_a_delay_but_never_shortens_it() {
        let at = |asked| {
            next_try(2, Some(Duration::from_secs(asked)), NOW, 0)
                .unwrap()
                .since(NOW)
                .as_secs()
        };
        assert_eq!(at(120), 120);
        assert_eq!(at(1), 5);
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        let failed = |retry_after| Verdict::Failed { retry_after };
        for (status, header, verdict) in [
            (200, None, Verdict::Delivered),
            (204, Some("9"), Verdict::Delivered),
            (299, None, Verdict::Delivered),
            (301, None, failed(None)),
            (302, None, failed(None)),
            (308, None, failed(None)),
            (400, None, failed(None)),
            (404, None, failed(None)),
            (410, None, Verdict::Gone),
            (429, Some("7"), failed(Some(Duration::from_secs(7)))),
            (
                503,
                Some("Sun, 06 Nov 1994 08:50:37 GMT"),
                failed(Some(Duration::from_secs(60))),
            ),
            (
                503,
                Some("Sun, 06 Nov 1994 08:00:00 GMT"),
                failed(Some(Duration::ZERO)),
            ),
            (503, Some("soon"), failed(None)),
            (
                503,
                Some("99999999999"),
                failed(Some(Duration::from_secs(86_400))),
            ),
        ] {
            assert_eq!(judge(status, header, NOW), verdict, "{status} {header:?}");
        }
    }
}
