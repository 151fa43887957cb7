//! The names of the headers that carry a context, the same in HTTP, AMQP and Socket.IO's handshake.

/// The request id.
pub const REQUEST_ID: &str = "x-request-id";
/// The correlation id.
pub const CORRELATION_ID: &str = "x-correlation-id";
/// W3C trace context: version, trace id, span id, flags.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context: vendors' state.
pub const TRACESTATE: &str = "tracestate";
/// Milliseconds that the caller still waits, counted from when it sent the message.
pub const TIMEOUT_MS: &str = "x-timeout-ms";
/// Which attempt this is, from 1.
pub const ATTEMPT: &str = "x-attempt";
/// The verified principal, as base64url of its JSON. Believed only from an authenticated peer.
pub const PRINCIPAL: &str = "x-principal";
/// The value of [`PRINCIPAL`] by which a peer says that it asks for somebody who is not known, and not for itself.
pub const NOBODY: &str = "-";
/// The value of [`PRINCIPAL`] that names somebody whom nobody can read: a peer that may speak for users does not ask for itself then,
/// and another does, as whomever it names.
pub const SOMEBODY: &str = "?";
/// A service's API key.
pub const API_KEY: &str = "x-api-key";

/// Every header that only a trusted peer may set; an edge strips them.
pub const TRUSTED_ONLY: [&str; 3] = [PRINCIPAL, ATTEMPT, TIMEOUT_MS];

/// Whether `id` may serve as a request or correlation id: 1 to 128 visible ASCII characters.
#[must_use]
pub fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
