//! Times as people write and read them.

use std::time::Duration;

use keystile_domain::Clock;
use keystile_runtime::SystemClock;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The time.
pub(super) fn now() -> OffsetDateTime {
    SystemClock.now()
}

/// The longest span: a hundred years, so that it can be added to any time of this age.
const LONGEST: u64 = 36_525 * 86_400;

/// Reads `90s`, `15m`, `24h`, `30d`, `2w`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let help = "expected a number and a unit: 90s, 15m, 24h, 30d, 2w";
    let unit = text.chars().last().ok_or(help)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(help.to_owned()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| help)?;
    match count.checked_mul(seconds) {
        Some(1..=LONGEST) => Ok(Duration::from_secs(count * seconds)),
        Some(0) => Err(help.to_owned()),
        _ => Err("expected at most a hundred years".to_owned()),
    }
}

/// Reads an instant of RFC 3339.
pub(super) fn instant(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "expected a time such as 2030-01-31T12:00:00Z".to_owned())
}

/// As the API writes it.
pub(super) fn rfc3339(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// How long before or after `now`: `3 min ago`, `in 2 days`.
pub(super) fn relative(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (at - now).whole_seconds();
    let size = seconds.unsigned_abs();
    let (count, unit) = match size {
        0..=9 => return "now".to_owned(),
        10..=59 => (size, "s"),
        60..=3_599 => (size / 60, "min"),
        3_600..=172_799 => (size / 3_600, "h"),
        _ => (size / 86_400, "days"),
    };
    if seconds < 0 { format!("{count} {unit} ago") } else { format!("in {count} {unit}") }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        assert_eq!(span("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(span("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(span("36525d"), Ok(Duration::from_secs(LONGEST)));
        let too_long = ["36526d", "9999999999w", "9999999999999999999w"];
        let others = ["", "d", "0d", "30", "30x", "-1d", "1.5h", "99999999999999999999w", "5é"];
        for text in too_long.into_iter().chain(others) {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_told_from_now() {
        let now = datetime!(2026-01-01 12:00 UTC);
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(now - Duration::from_secs(42), now), "42 s ago");
        assert_eq!(relative(now - Duration::from_hours(30), now), "30 h ago");
        assert_eq!(relative(now + Duration::from_hours(24 * 30), now), "in 30 days");
    }
}
