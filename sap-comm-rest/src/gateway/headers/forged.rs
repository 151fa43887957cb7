use http::{HeaderMap, HeaderValue};
use sap_comm_core::header;

use super::remove_if;

/// Headers by which a client could pose as somebody else, or ask for another method or path than it was checked for.
const FORGED: [&str; 16] = [
    "x-user",
    "x-role",
    "x-roles",
    "x-scopes",
    "remote-user",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "forwarded",
    "proxy",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-host",
];

const FORGED_PREFIXES: [&str; 7] =
    ["x-user-", "x-auth-request-", "x-authenticated-", "x-remote-", "x-forwarded-", "x-original-", "x-rewrite-"];

/// What the gateway has read, and says anew.
const CONTEXT: [&str; 4] = [header::REQUEST_ID, header::CORRELATION_ID, header::TRACEPARENT, header::TRACESTATE];

/// Takes out what only the gateway may say. Names with an underscore go altogether: a service that maps both spellings
/// to one variable could not tell them apart.
pub(in crate::gateway) fn strip_forged(headers: &mut HeaderMap) {
    remove_if(headers, |name| is_forged(name) || CONTEXT.contains(&name));
}

/// Takes out whom a client would speak for: who may inside may not from outside. That it speaks for nobody stays.
pub(in crate::gateway) fn strip_delegated(headers: &mut HeaderMap) {
    let nobody = |value: &HeaderValue| value.as_bytes() == header::NOBODY.as_bytes();
    if headers.get(header::PRINCIPAL).is_some_and(|value| !nobody(value)) {
        headers.remove(header::PRINCIPAL);
    }
}

fn is_forged(name: &str) -> bool {
    match name.as_bytes().first() {
        // Of the names that begin otherwise none is forged.
        Some(b'x' | b'r' | b't' | b'c' | b'f' | b'p') => {
            FORGED.contains(&name)
                || header::TRUSTED_ONLY.contains(&name)
                || (name.starts_with("x-") && FORGED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
                || name.contains('_')
        }
        _ => name.contains('_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_poses_as_somebody_else() {
        for name in header::TRUSTED_ONLY.into_iter().chain([
            "x-user-id",
            "x-user",
            "x_user_id",
            "x_principal",
            "x-forwarded-for",
            "x-forwarded-user",
            "forwarded",
            "x-original-url",
            "x-http-method-override",
        ]) {
            assert!(is_forged(name), "{name}");
        }
        for name in ["authorization", "x-request-id", "traceparent", "user-agent", "x-username", "x-api-key"] {
            assert!(!is_forged(name), "{name}");
        }
    }
}
