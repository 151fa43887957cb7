use http::{HeaderMap, HeaderValue};
use sap_comm_core::header;

use super::remove_if;
use crate::gateway::outbound::PRINCIPAL;

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
/// to one variable could not tell them apart. That the client asks for another stays: its key may stay, too.
pub(in crate::gateway) fn strip_forged(headers: &mut HeaderMap) {
    let mut delegates = false;
    remove_if(headers, |name| {
        delegates |= name == header::PRINCIPAL;
        name != header::PRINCIPAL && (is_forged(name) || CONTEXT.contains(&name))
    });
    if delegates {
        strip_delegated(headers);
    }
}

/// Takes out whom a client would speak for: who may inside may not from outside. That it speaks for somebody stays, or a gateway in
/// front would be taken for that one; and so does that it speaks for nobody.
pub(in crate::gateway) fn strip_delegated(headers: &mut HeaderMap) {
    let mut said = headers.get_all(&PRINCIPAL).iter().peekable();
    if said.peek().is_some() {
        let nobody = said.any(|value| *value == *header::NOBODY);
        headers.insert(PRINCIPAL, HeaderValue::from_static(if nobody { header::NOBODY } else { header::SOMEBODY }));
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

    #[test]
    fn of_whom_a_client_asks_for_only_that_it_does_stays() {
        for (said, left) in [
            (&[][..], None),
            (&["e30"], Some("?")),
            (&["-"], Some("-")),
            (&["-", "e30"], Some("-")),
            (&["e30", "-"], Some("-")),
            (&["-", "-"], Some("-")),
            (&["e30", "e30"], Some("?")),
            (&["- "], Some("?")),
            (&["-, e30"], Some("?")),
            (&[""], Some("?")),
        ] {
            for strip in [strip_forged, strip_delegated] {
                let mut headers: HeaderMap =
                    said.iter().map(|said| (PRINCIPAL, HeaderValue::from_static(said))).collect();
                strip(&mut headers);
                strip(&mut headers);
                assert!(headers.get_all(PRINCIPAL).iter().eq(left), "{said:?}: {headers:?}");
            }
        }
    }
}
