use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode, header};

use super::{
    EntityTag, Preconditions,
    preconditions::{Current, Tags, Verdict, changed},
};
use crate::server::Verbatim;

/// Answers a conditional GET or HEAD by the `ETag` of what would be answered, be it the whole or a range of it: these
/// conditions come before `Range` (RFC 9110, section 13.2.2). `If-Range` is for whoever cuts the range.
///
/// Methods that change something are their handlers' own concern: after the change it is too late.
pub(crate) async fn evaluate(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let conditional = headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH);
    if !conditional || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let [if_match, if_none_match] = [&header::IF_MATCH, &header::IF_NONE_MATCH].map(|name| Tags::read(headers, name));
    let response = next.run(request).await;
    // Errors, and what shows no thing, are answered as ever. Between a client and the server nobody decides anew.
    if !matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT)
        || response.extensions().get::<Verbatim>().is_some()
    {
        return response;
    }
    let current = tag(response.headers());
    // No list in `If-None-Match` names what has no version, so what is no list does not either.
    let if_none_match = if current.is_some() { if_none_match } else { Ok(if_none_match.unwrap_or_default()) };
    let preconditions = match Preconditions::of(if_match, if_none_match) {
        Ok(preconditions) => preconditions,
        Err(refusal) => return refusal.into_response(),
    };
    match preconditions.verdict(current.as_ref().map_or(Current::Unnamed, Current::Version)) {
        Verdict::Go => response,
        Verdict::Known => not_modified(response),
        Verdict::Changed => changed(current.as_ref()).into_response(),
    }
}

fn tag(headers: &HeaderMap) -> Option<EntityTag> {
    headers.get(header::ETAG)?.to_str().ok()?.parse().ok()
}

/// RFC 9110, section 15.4.5: what is said about the body goes with it, the rest stays.
fn not_modified(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    let about_the_body = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_RANGE,
        header::TRANSFER_ENCODING,
    ];
    for name in about_the_body {
        parts.headers.remove(name);
    }
    // Of an empty body the length would be told, and of this answer's that is the whole one's (section 8.6).
    Response::from_parts(parts, Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
}
