use http::{HeaderMap, Response, StatusCode, header};
use sap_comm_core::Timestamp;

use super::{Classify, Outcome, own_outcome, parse_retry_after};

/// Classifies HTTP responses by status.
///
/// | status | outcome |
/// | --- | --- |
/// | 429 | throttled, with `Retry-After` if there is one |
/// | 503 with `Retry-After` | throttled |
/// | other 4xx | ignored: the caller's own mistake |
/// | other 5xx | failure |
/// | the rest | success |
///
/// An error is a failure, unless a strategy of ours rejected the call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpStatus;

impl HttpStatus {
    /// What a response with this status and these headers means.
    #[must_use]
    pub fn outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Outcome::Throttled(retry_after(headers));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE
            && let Some(delay) = retry_after(headers)
        {
            return Outcome::Throttled(Some(delay));
        }
        match status.as_u16() {
            400..=499 => Outcome::Ignored,
            500..=599 => Outcome::Failure,
            _ => Outcome::Success,
        }
    }
}

impl<B, E: 'static> Classify<Response<B>, E> for HttpStatus {
    fn classify(&self, result: &Result<Response<B>, E>) -> Outcome {
        match result {
            Ok(response) => Self::outcome(response.status(), response.headers()),
            Err(error) => own_outcome(error).unwrap_or(Outcome::Failure),
        }
    }

    // As for `Standard`: none of the caller's code runs outside a net of its own.
    fn judge(&self, result: &Result<Response<B>, E>) -> Outcome {
        self.classify(result)
    }
}

/// The response's own `Date` is the reference for an absolute date, so that clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    parse_retry_after(text, date.and_then(super::retry_after::http_date).unwrap_or_else(Timestamp::now))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(status: u16, headers: &[(&'static str, &str)]) -> Outcome {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        HttpStatus.classify(&Ok::<_, std::io::Error>(response.body(()).unwrap()))
    }

    #[test]
    fn a_status_is_classified() {
        assert_eq!(outcome(200, &[]), Outcome::Success);
        assert_eq!(outcome(304, &[]), Outcome::Success);
        assert_eq!(outcome(404, &[]), Outcome::Ignored);
        assert_eq!(outcome(500, &[]), Outcome::Failure);
        assert_eq!(outcome(503, &[]), Outcome::Failure);
        assert_eq!(outcome(429, &[]), Outcome::Throttled(None));
        assert_eq!(outcome(503, &[("retry-after", "7")]), Outcome::Throttled(Some(Duration::from_secs(7))));
    }

    #[test]
    fn a_date_counts_from_the_response() {
        let headers = [("date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT")];
        assert_eq!(outcome(429, &headers), Outcome::Throttled(Some(Duration::from_secs(30))));
    }
}
