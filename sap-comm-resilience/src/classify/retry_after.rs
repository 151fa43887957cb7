use std::time::Duration;

use jiff::{civil::DateTime, tz::TimeZone};
use sap_comm_core::Timestamp;

/// The three date forms of RFC 9110, section 5.6.7.
const DATE_FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// Reads a `Retry-After` header: seconds, or a date counted from `now`.
///
/// A date in the past is zero; a number beyond `u64` is the longest duration. Cap what you wait.
///
/// ```
/// use sap_comm_resilience::parse_retry_after;
/// # let now = sap_comm_core::Timestamp::now();
/// assert_eq!(parse_retry_after("120", now), Some(std::time::Duration::from_secs(120)));
/// assert_eq!(parse_retry_after("soon", now), None);
/// ```
#[must_use]
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    http_date(text).map(|date| date.saturating_since(now))
}

pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let date = DATE_FORMS.iter().find_map(|form| DateTime::strptime(form, text.trim()).ok())?;
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_date_form_is_read() {
        let expected = Timestamp::from_millis(784_111_777_000);
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(http_date(text), Some(expected), "{text}");
        }
    }

    /// Trap 14.
    #[test]
    fn the_past_is_zero_and_a_huge_number_is_the_longest() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("18446744073709551615", now), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(parse_retry_after("99999999999999999999999", now), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(parse_retry_after("-1", now), None);
        assert_eq!(parse_retry_after("", now), None);
    }
}
