use axum::{body::Body, response::IntoResponse};
use http::{HeaderName, HeaderValue, Response, Version, header};
use sap_comm_core::Context;

use super::{Refusal, ResponseBody, record::Record};
use crate::server::{as_problem, set_security_headers};

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const REQUEST_ID: HeaderName = HeaderName::from_static(sap_comm_core::header::REQUEST_ID);

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

/// Puts on a response what the gateway knows of its request.
pub(super) fn finish(response: &mut Response<ResponseBody>, context: &Context, record: &Record) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(allowance) = record.allowance {
        headers.insert(RATE_LIMIT_LIMIT, allowance.limit.into());
        headers.insert(RATE_LIMIT_REMAINING, allowance.remaining.into());
        let seconds = allowance.reset.as_secs() + u64::from(allowance.reset.subsec_nanos() > 0);
        headers.insert(RATE_LIMIT_RESET, seconds.into());
    }
}
