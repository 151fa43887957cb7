use axum::{body::Body, response::IntoResponse};
use http::{HeaderName, HeaderValue, Response, Version, header};
use sap_comm_core::Context;

use super::{Refusal, ResponseBody, outbound::REQUEST_ID, record::Record};
use crate::server::{add_deprecation, as_problem, set_security_headers};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A refusal as a response: the envelope, or problem details for those who ask.
pub(super) fn answer(refusal: Refusal, context: &Context, problem: bool, version: Version) -> Response<Body> {
    let Refusal { error, headers, close } = refusal;
    let mut response = context.clone().sync_scope(|| {
        let response = error.clone().into_response();
        if problem { as_problem(response, &error) } else { response }
    });
    let own = response.headers_mut();
    set_security_headers(own);
    if let Some(headers) = headers {
        own.extend(*headers);
    }
    if close && version < Version::HTTP_2 {
        own.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// How many headers [`finish`] puts on the response, as far as that is known.
pub(super) fn added(record: &Record<'_>) -> usize {
    let allowance = if record.allowance.is_some() { 3 } else { 0 };
    1 + allowance + record.deprecation().map_or(0, <[_]>::len)
}

/// Puts on a response what the gateway knows of its request.
pub(super) fn finish(response: &mut Response<ResponseBody>, record: &Record<'_>) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, record.request_id.clone());
    if let Some(lines) = record.deprecation()
        && !headers.contains_key(&DEPRECATION)
    {
        add_deprecation(headers, lines.iter().cloned());
    }
    if let Some(allowance) = record.allowance {
        headers.insert(RATE_LIMIT_LIMIT, number(allowance.limit.into()));
        headers.insert(RATE_LIMIT_REMAINING, number(allowance.remaining.into()));
        let seconds = allowance.reset.as_secs() + u64::from(allowance.reset.subsec_nanos() > 0);
        headers.insert(RATE_LIMIT_RESET, number(seconds));
    }
}

/// Takes half the memory of `HeaderValue::from`, or none.
fn number(number: u64) -> HeaderValue {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let digit = usize::try_from(number).ok().and_then(|number| DIGITS.get(number));
    if let Some(digit) = digit {
        return HeaderValue::from_static(digit);
    }
    HeaderValue::try_from(number.to_string()).unwrap_or_else(|_| number.into())
}
