use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use sap_comm_core::{ApiError, Context, ErrorCode, header as names};

use super::{
    ServerConfig,
    framing::{Doubt, Verdict},
    refusals::Refusals,
};

/// A request that no service should see.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `None` where there is nothing wrong with it.
    error: Option<ApiError>,
    close: bool,
    allow: Option<HeaderValue>,
}

/// What a listener takes for its services: every method but those that make a proxy or an echo of it.
pub(crate) const SERVED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Refuses what is over a limit or can be understood in two ways.
pub(super) fn admit<B>(request: &Request<B>, config: &ServerConfig, framing: &Verdict) -> Result<(), Refusal> {
    let doubt = if request.version() < Version::HTTP_2 { framing.next() } else { None };
    if doubt == Some(Doubt::Ambiguous) {
        return Err(ambiguous("The request can be read in two ways"));
    }
    let (uri, close) = (request.uri(), doubt.is_some());
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length > config.max_uri {
        let error = ApiError::new(ErrorCode::URI_TOO_LONG, "The URI is too long").detail("limit", config.max_uri);
        return Err(Refusal { error: Some(error), close, allow: None });
    }
    if doubt == Some(Doubt::TooLong)
        || (request.version() == Version::HTTP_2 && is_over(request.headers(), length, config))
    {
        let error = ApiError::new(ErrorCode::HEADERS_TOO_LARGE, "The headers are too many or too long");
        return Err(Refusal { error: Some(error), close, allow: None });
    }
    // On HTTP/1 hyper trims them.
    if request.version() == Version::HTTP_2 {
        // RFC 9113, section 8.2.1: HTTP/1 would read another value.
        if let Some((name, _)) = request.headers().iter().find(|(_, value)| is_padded(value.as_bytes())) {
            let message = format!("The header {name} begins or ends with white space");
            return Err(ambiguous(&message));
        }
    }
    if [Method::CONNECT, Method::TRACE].contains(request.method()) {
        let error = ApiError::new(ErrorCode::METHOD_NOT_ALLOWED, format!("{} is not served", request.method()));
        return Err(Refusal { error: Some(error), close: true, allow: Some(SERVED_METHODS) });
    }
    check_host(request, request.headers())?;
    if uri.path() == "*" && request.method() == Method::OPTIONS {
        // It asks the server, and no service (RFC 9110, section 9.3.7).
        return Err(Refusal { error: None, close: false, allow: Some(SERVED_METHODS) });
    }
    Ok(())
}

/// What a field counts on top of its name and its value (RFC 9113, section 6.5.2).
const FIELD: usize = 32;

/// Whether there are too many headers, or too much of them with a target of this length.
fn is_over(headers: &HeaderMap, target: usize, config: &ServerConfig) -> bool {
    let size = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD).sum::<usize>();
    headers.len() > config.max_headers || size + target > config.max_header_bytes
}

fn is_padded(value: &[u8]) -> bool {
    [value.first(), value.last()].iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
}

/// RFC 9112, section 3.2: exactly one host, and the same as the URI's.
fn check_host<B>(request: &Request<B>, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ambiguous("The request has several Host headers"));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = host.map(HeaderValue::as_bytes);
    if !host.or(authority).is_none_or(has_port) {
        return Err(ambiguous("The port of the host is no number"));
    }
    match (host, authority) {
        (None, None) if request.version() == Version::HTTP_11 => Err(ambiguous("The request has no Host header")),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            Err(ambiguous("The Host header and the URI name different hosts"))
        }
        _ => Ok(()),
    }
}

/// Whether a host has a port that is a number, or none.
fn has_port(host: &[u8]) -> bool {
    // An address of IPv6 has colons of its own.
    let name = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let mut parts = host.get(name..).unwrap_or_default().splitn(2, |byte| *byte == b':');
    parts.nth(1).is_none_or(|port| port.iter().all(u8::is_ascii_digit))
}

/// The connection is closed, since the peer and we may not agree on where the next request begins.
fn ambiguous(message: &str) -> Refusal {
    let error = Some(ApiError::new(ErrorCode::BAD_REQUEST, message));
    Refusal { error, close: true, allow: None }
}

impl Refusal {
    /// The envelope, under the request's own id when it has one.
    pub(super) fn into_response<B>(self, request: &Request<B>, refusals: &Refusals) -> Response {
        let context = Context::from_headers(request.headers());
        let mut response = match self.error {
            Some(error) => {
                refusals.log(&error, &context);
                context.clone().sync_scope(|| error.into_response())
            }
            None => StatusCode::NO_CONTENT.into_response(),
        };
        if let Ok(id) = HeaderValue::from_str(context.request_id()) {
            response.headers_mut().insert(names::REQUEST_ID, id);
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if self.close && request.version() < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
