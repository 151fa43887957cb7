use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sap_comm_core::{ApiError, Context, ErrorCode};
use serde_json::json;

/// Put into a response's extensions, it leaves a response as it is, such as one that was proxied: an error in its own words, and what
/// answers a condition (`If-Match`, `If-None-Match`) as whoever was asked decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verbatim;

const PROBLEM: &str = "application/problem+json";

/// The most of a plain text error that becomes the message of an envelope.
const MAX_TEXT: usize = 1024;

/// Turns every error response into the envelope, or into problem details when `Accept` prefers them.
pub(super) async fn unify(request: Request, next: Next) -> Response {
    let problem = accepts_problem(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if !(response.status().is_client_error() || response.status().is_server_error())
        || response.extensions().get::<Verbatim>().is_some()
    {
        return response;
    }
    match response.extensions().get::<ApiError>() {
        Some(_) if !problem => response,
        Some(error) => {
            let error = error.clone();
            as_problem(response, &error)
        }
        None if is_plain(response.headers()) => {
            let response = envelope(response, &method, &path).await;
            match response.extensions().get::<ApiError>().filter(|_| problem).cloned() {
                Some(error) => as_problem(response, &error),
                None => response,
            }
        }
        None => response,
    }
}

/// A response without a body, or with the plain text of a framework's refusal.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}

/// Says in the envelope what a framework said without one.
async fn envelope(response: Response, method: &Method, path: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let error = match parts.status {
        StatusCode::NOT_FOUND => ApiError::new(ErrorCode::NOT_FOUND, format!("There is nothing at {path}")),
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(ErrorCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here"))
        }
        status => ApiError::from_status(status),
    };
    let text = to_bytes(body, MAX_TEXT).await.ok().and_then(|bytes| String::from_utf8(bytes.into()).ok());
    let error = match text.filter(|text| !text.is_empty()) {
        // A server's own words may hold internals.
        Some(text) if parts.status.is_server_error() => error.caused_by(text),
        Some(text) => error.detail("reason", text),
        None => error,
    };
    let rendered = error.into_response();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    for (name, value) in rendered.headers() {
        parts.headers.entry(name).or_insert_with(|| value.clone());
    }
    parts.extensions.extend(rendered.extensions().clone());
    Response::from_parts(parts, rendered.into_body())
}

/// RFC 9457.
pub(crate) fn as_problem(response: Response, error: &ApiError) -> Response {
    let context = Context::current();
    let body = json!({
        "type": "about:blank",
        "title": error.status().canonical_reason(),
        "status": error.status().as_u16(),
        "detail": error.message(),
        "code": error.code(),
        "details": error.details(),
        "requestId": context.request_id(),
    });
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    Response::from_parts(parts, Body::from(body.to_string()))
}

/// Whether problem details are asked for by name, and not less than plain JSON.
pub(crate) fn accepts_problem(headers: &HeaderMap) -> bool {
    let mut best = [None::<f32>; 2];
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |text| text.parse().ok());
        let slot = match media {
            media if media.eq_ignore_ascii_case(PROBLEM) => 0,
            media if media.eq_ignore_ascii_case("application/json") => 1,
            _ => continue,
        };
        let quality = quality.unwrap_or(0.0);
        best[slot] = Some(best[slot].map_or(quality, |best| best.max(quality)));
    }
    let [problem, json] = best;
    problem.is_some_and(|problem| problem > 0.0 && problem >= json.unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_details_are_given_to_those_who_ask() {
        let accepts = |text: &'static str| {
            accepts_problem(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))]))
        };
        for text in [
            "application/problem+json",
            "application/json, application/problem+json",
            "text/html, APPLICATION/problem+json;q=0.1",
        ] {
            assert!(accepts(text), "{text}");
        }
        for text in [
            "",
            "*/*",
            "application/json",
            "application/json, application/problem+json;q=0.5",
            "application/problem+json;q=0",
        ] {
            assert!(!accepts(text), "{text}");
        }
    }
}
