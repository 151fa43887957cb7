use std::time::{Duration, UNIX_EPOCH};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sap_comm_core::{Timestamp, config::ConfigError};
use serde::{Deserialize, Serialize};

/// That something is not to be used any more: since when, until when it is there, and what to use instead.
///
/// ```
/// use sap_comm_rest::server::Deprecation;
///
/// const OLD_LIST: Deprecation =
///     Deprecation::since(2026, 11, 1).sunset(2027, 5, 1).successor("/api/v2/contents");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecation {
    /// Seconds since the Unix epoch.
    since: i64,
    sunset: Option<i64>,
    successor: Option<&'static str>,
}

impl Deprecation {
    /// Deprecated since the beginning of this day, in UTC.
    #[must_use]
    pub const fn since(year: i64, month: u8, day: u8) -> Self {
        Self { since: midnight(year, month, day), sunset: None, successor: None }
    }

    /// Gone from the beginning of this day on, in UTC.
    #[must_use]
    pub const fn sunset(mut self, year: i64, month: u8, day: u8) -> Self {
        self.sunset = Some(midnight(year, month, day));
        self
    }

    /// To be replaced by what is at this path.
    #[must_use]
    pub const fn successor(mut self, path: &'static str) -> Self {
        self.successor = Some(path);
        self
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.since == NO_DAY || self.sunset == Some(NO_DAY) {
            return Some("its deprecation or its sunset is no day from 1970 to 9999");
        }
        if self.sunset.is_some_and(|sunset| sunset < self.since) {
            return Some(EARLY_SUNSET);
        }
        match self.successor {
            Some(path) if !is_linkable(path) => Some("its successor must be a path"),
            _ => None,
        }
    }

    /// Says so: `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and `Link` to the successor (RFC 5829).
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        add_deprecation(headers, lines(self.since, self.sunset, self.successor));
    }
}

/// Puts the lines on an answer: a link stands beside others, and what the answer says by itself of its end stays.
pub(crate) fn add_deprecation(headers: &mut HeaderMap, lines: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
    for (name, value) in lines {
        if name == header::LINK {
            headers.append(name, value);
        } else {
            headers.entry(name).or_insert(value);
        }
    }
}

/// A [`Deprecation`] as it stands in a configuration, its days as `2026-11-01`, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DeprecationConfig {
    /// The day since which it is deprecated.
    pub since: String,
    /// The day from which on it is gone. Default: nobody has said.
    #[serde(default)]
    pub sunset: Option<String>,
    /// The path of what replaces it. Default: nothing does.
    #[serde(default)]
    pub successor: Option<String>,
}

impl DeprecationConfig {
    /// The header lines that tell of it.
    pub(crate) fn compile(&self) -> Result<Vec<(HeaderName, HeaderValue)>, ConfigError> {
        let since = day("since", &self.since)?;
        let sunset = self.sunset.as_deref().map(|text| day("sunset", text)).transpose()?;
        if sunset.is_some_and(|sunset| sunset < since) {
            return Err(ConfigError::refused("sunset", self.sunset.as_deref().unwrap_or_default(), EARLY_SUNSET));
        }
        match &self.successor {
            Some(path) if !is_linkable(path) => {
                Err(ConfigError::refused("successor", format_args!("{path:?}"), "must be a path"))
            }
            successor => Ok(lines(since, sunset, successor.as_deref()).collect()),
        }
    }
}

impl From<Deprecation> for DeprecationConfig {
    fn from(deprecation: Deprecation) -> Self {
        let Deprecation { since, sunset, successor } = deprecation;
        let day = |seconds: i64| {
            let day = Timestamp::from_millis(seconds.saturating_mul(1_000)).to_string();
            day.split('T').next().unwrap_or_default().to_owned()
        };
        Self { since: day(since), sunset: sunset.map(day), successor: successor.map(str::to_owned) }
    }
}

const EARLY_SUNSET: &str = "its sunset comes before its deprecation";

fn is_linkable(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'>')
}

fn lines(
    since: i64,
    sunset: Option<i64>,
    successor: Option<&str>,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let values = [
        (HeaderName::from_static("deprecation"), Some(format!("@{since}"))),
        (HeaderName::from_static("sunset"), sunset.map(http_date)),
        (header::LINK, successor.map(|path| format!("<{path}>; rel=\"successor-version\""))),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value?).ok()?)))
}

/// The beginning of a day like `2026-11-01`.
fn day(field: &str, text: &str) -> Result<i64, ConfigError> {
    let midnight = (text.len() == 10).then(|| format!("{text}T00:00:00Z").parse::<Timestamp>().ok()).flatten();
    let known = midnight.map(Timestamp::as_secs).filter(|seconds| *seconds >= 0);
    known.ok_or_else(|| {
        ConfigError::refused(field, format_args!("{text:?}"), "must be a day like 2026-11-01, from 1970 on")
    })
}

/// A day that is not in the calendar; found when the contract is checked.
const NO_DAY: i64 = -1;

/// Tells the callers of every route of `router` that it is deprecated.
///
/// Of a [`Contract`](crate::operation::Contract), single operations are
/// [deprecated](crate::operation::Operation::deprecated) in their definition.
pub fn deprecated<S: Clone + Send + Sync + 'static>(router: Router<S>, deprecation: Deprecation) -> Router<S> {
    router.layer(from_fn(move |request: Request, next: Next| async move {
        let mut response = next.run(request).await;
        deprecation.tell(response.headers_mut());
        response
    }))
}

fn http_date(seconds: i64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()))
}

/// Howard Hinnant's algorithm for days from the civil calendar.
const fn midnight(year: i64, month: u8, day: u8) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days {
        return NO_DAY;
    }
    let (month, day) = (month as i64, day as i64);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) * 86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (year, month, day, seconds, text) in [
            (1970, 1, 1, 0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (2000, 2, 29, 951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (2023, 6, 30, 1_688_083_200, "Fri, 30 Jun 2023 00:00:00 GMT"),
            (2027, 5, 1, 1_809_129_600, "Sat, 01 May 2027 00:00:00 GMT"),
        ] {
            assert_eq!((midnight(year, month, day), http_date(seconds).as_str()), (seconds, text));
        }
    }

    #[test]
    fn the_headers_are_those_of_the_standards() {
        let mut headers = HeaderMap::new();
        Deprecation::since(2023, 6, 30).sunset(2027, 5, 1).successor("/api/v2/users").tell(&mut headers);
        assert_eq!(headers["deprecation"], "@1688083200");
        assert_eq!(headers["sunset"], "Sat, 01 May 2027 00:00:00 GMT");
        assert_eq!(headers["link"], "</api/v2/users>; rel=\"successor-version\"");
        assert!(Deprecation::since(2027, 1, 1).sunset(2026, 1, 1).fault().is_some());
        for (year, month, day) in
            [(2026, 13, 1), (2026, 1, 32), (2026, 2, 29), (2100, 2, 29), (2026, 4, 31), (2026, 1, 0)]
        {
            assert!(Deprecation::since(year, month, day).fault().is_some(), "{year} {month} {day}");
            assert!(Deprecation::since(1970, 1, 1).sunset(year, month, day).fault().is_some(), "{year} {month} {day}");
        }
        assert!(Deprecation::since(2000, 2, 29).sunset(2028, 2, 29).fault().is_none());
        assert!(Deprecation::since(2026, 1, 1).successor("x>").fault().is_some());
        assert!(Deprecation::since(2026, 1, 1).successor("/x").fault().is_none());
    }

    #[test]
    fn what_a_configuration_says_is_the_same() {
        let known = Deprecation::since(2023, 6, 30).sunset(2027, 5, 1).successor("/api/v2/users");
        let config = DeprecationConfig::from(known);
        assert_eq!((config.since.as_str(), config.sunset.as_deref()), ("2023-06-30", Some("2027-05-01")));
        let mut headers = HeaderMap::new();
        known.tell(&mut headers);
        assert_eq!(config.compile().unwrap().into_iter().collect::<HeaderMap>(), headers);
        let change = |change: &dyn Fn(&mut DeprecationConfig)| {
            let mut config = config.clone();
            change(&mut config);
            config.compile().unwrap_err().field().to_owned()
        };
        for text in ["", "2026", "2026-13-01", "2026-02-30", "1969-12-31", "01.11.2026"] {
            assert_eq!(change(&|config| config.since = text.to_owned()), "since", "{text:?}");
        }
        assert_eq!(change(&|config| config.sunset = Some("2023-06-29".to_owned())), "sunset");
        assert_eq!(change(&|config| config.successor = Some("x>".to_owned())), "successor");
    }
}
