mod rfc3339;

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time with millisecond precision, written as `2025-05-19T18:30:00.000Z`.
///
/// This is what JavaScript's `toISOString()` writes. Any RFC 3339 offset and precision is read; finer digits are cut.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 timestamp, or lies outside the years -9999 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid timestamp {text:?}: {reason}")]
pub struct TimestampError {
    text: String,
    reason: String,
}

impl Timestamp {
    /// The current time, read from the wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now() -> Self {
        // A wall clock before the epoch is one that was never set.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// From milliseconds since the Unix epoch; saturates at the limits of the calendar.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(MIN, MAX))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The text, where it has the usual form.
    pub(crate) fn usual(self) -> Option<[u8; rfc3339::LENGTH]> {
        rfc3339::write(self.0)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn as_secs(self) -> i64 {
        self.as_millis().div_euclid(1_000)
    }

    /// The time `duration` later; saturates.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self::from_millis(self.as_millis().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let millis = self.as_millis().saturating_sub(earlier.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// The first and the last millisecond that `jiff` makes a timestamp of.
const MIN: i64 = -377_705_023_201_000;
const MAX: i64 = 253_402_207_200_000;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match rfc3339::write(self.0).as_ref().map(|text| std::str::from_utf8(text)) {
            Some(Ok(text)) => f.write_str(text),
            _ => write!(f, "{:.3}", jiff::Timestamp::from_millisecond(self.0).unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(millis) = rfc3339::read(text) {
            return Ok(Self::from_millis(millis));
        }
        match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Ok(Self::from_millis(timestamp.as_millisecond())),
            Err(error) => {
                let text = text.chars().take(64).collect();
                Err(TimestampError { text, reason: error.to_string() })
            }
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match rfc3339::write(self.0).as_ref().map(|text| std::str::from_utf8(text)) {
            Some(Ok(text)) => serializer.serialize_str(text),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 timestamp")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_javascript_does() {
        let text = "2025-05-19T18:30:00.000Z";
        let timestamp: Timestamp = text.parse().unwrap();
        assert_eq!(timestamp.to_string(), text);
        assert_eq!(timestamp.as_millis(), 1_747_679_400_000);
    }

    #[test]
    fn offsets_are_turned_to_utc_and_digits_cut() {
        let timestamp: Timestamp = "2025-05-19T20:30:00.123999+02:00".parse().unwrap();
        assert_eq!(timestamp.to_string(), "2025-05-19T18:30:00.123Z");
    }

    #[test]
    fn a_wrong_timestamp_is_named() {
        let error = "yesterday".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().contains("\"yesterday\""), "{error}");
    }

    #[test]
    fn extremes_saturate() {
        let known = |millis| jiff::Timestamp::from_millisecond(millis).is_ok();
        assert_eq!([MIN - 1, MIN, MAX, MAX + 1].map(known), [false, true, true, false]);
        for limit in [i64::MIN, i64::MAX].map(Timestamp::from_millis) {
            assert_eq!(limit.to_string().parse(), Ok(limit));
        }
        let far = Timestamp::from_millis(i64::MAX);
        assert_eq!(far.saturating_add(Duration::MAX), far);
        assert_eq!(Timestamp::from_millis(0).saturating_since(far), Duration::ZERO);
    }
}
