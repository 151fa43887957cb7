use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use super::connect_error;

/// Engine.IO's packet that closes a session.
const CLOSE: &str = "1";

/// Separates packets in one response of polling.
const SEPARATOR: u8 = 0x1e;

/// Rewrites refusals in a response of polling, which the server has whole in memory.
pub(super) async fn rewrite(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(%error, "the response of polling could not be read");
            return Response::from_parts(parts, Body::empty());
        }
    };
    let Some(rewritten) = rewrite_packets(&bytes) else { return Response::from_parts(parts, Body::from(bytes)) };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
    Response::from_parts(parts, Body::from(rewritten))
}

/// The last response of a session.
pub(super) fn close() -> Response {
    CLOSE.into_response()
}

/// `None` when nothing is to be rewritten.
fn rewrite_packets(bytes: &[u8]) -> Option<Vec<u8>> {
    let packets: Vec<_> =
        bytes.split(|byte| *byte == SEPARATOR).map(|packet| (packet, connect_error::rewrite(packet))).collect();
    packets.iter().any(|(_, rewritten)| rewritten.is_some()).then(|| {
        let packets: Vec<_> =
            packets.iter().map(|(packet, rewritten)| rewritten.as_deref().unwrap_or(packet)).collect();
        packets.join(&SEPARATOR)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_refusal_among_packets_changes() {
        let inner = json!({"message": "X", "data": 1}).to_string();
        let refusal = format!("44{}", json!({ "message": inner }));
        let sent = format!("2\u{1e}{refusal}\u{1e}42[\"a\"]");
        assert_eq!(rewrite_packets(sent.as_bytes()).unwrap(), b"2\x1e44{\"message\":\"X\",\"data\":1}\x1e42[\"a\"]");
        assert_eq!(rewrite_packets(b"2\x1e42[\"a\"]"), None);
    }
}
