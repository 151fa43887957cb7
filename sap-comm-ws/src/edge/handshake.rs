use axum::extract::Request;
use http::{HeaderMap, HeaderName, Method, Uri, Version, header};
use sap_comm_core::{ApiError, ErrorCode};

/// The version of WebSocket that is spoken.
pub(super) const VERSION: &str = "13";

/// Whether the request asks for the WebSocket transport, as the Socket.IO server reads it.
pub(crate) fn asks_for_websocket(request: &Request) -> bool {
    *request.method() == Method::GET && parameter(request.uri(), "transport") == Some("websocket")
}

/// The first value of a query parameter, up to another `=`.
pub(crate) fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.split('=').next())
}

/// Whether what asks for the WebSocket transport is a handshake (RFC 6455, section 4.2.1).
///
/// # Errors
/// `BAD_REQUEST` for what is none, `UPGRADE_REQUIRED` for one of another version.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    if !asks_for_websocket(request) {
        return Ok(());
    }
    let headers = request.headers();
    let upgrades = request.version() == Version::HTTP_11
        && names(headers, &header::CONNECTION, "upgrade")
        && names(headers, &header::UPGRADE, "websocket");
    if !upgrades {
        return Err(ApiError::new(
            ErrorCode::BAD_REQUEST,
            "The WebSocket transport begins with an upgrade of HTTP/1.1",
        ));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(ApiError::new(ErrorCode::UPGRADE_REQUIRED, format!("WebSocket version {VERSION} is required")));
    }
    if headers.get(header::SEC_WEBSOCKET_KEY).is_none_or(|key| !is_key(key.as_bytes())) {
        return Err(ApiError::new(ErrorCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    Ok(())
}

fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|own| own.trim().eq_ignore_ascii_case(token))
}

/// Whether these are 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").unwrap_or_default();
    digits.len() == 22 && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}
