use http::{HeaderMap, HeaderName, header};

use super::remove_if;
use crate::gateway::outbound::PRINCIPAL;

/// What belongs to one connection (RFC 9110, 7.6.1), and `Expect`, which the gateway answers itself.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "transfer-encoding"
            | "upgrade"
            | "te"
            | "trailer"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "expect"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authentication-info"
            | "http2-settings"
    )
}

/// What a `Connection` header cannot take out: services decide by it.
const END_TO_END: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    HeaderName::from_static(sap_comm_core::header::API_KEY),
    PRINCIPAL,
];

/// Takes out what belongs to one connection: the headers known for it and those that `Connection` names.
pub(in crate::gateway) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    remove_if(headers, is_hop_by_hop);
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let tokens = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok());
    names.filter(|name| !END_TO_END.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_is_end_to_end_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private,, authorization, x-api-key, X-Principal"),
            ("connection", "\"odd, x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("authorization", "Bearer x"),
            ("x-api-key", "sap_a_b"),
            ("x-principal", "?"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "authorization", "x-api-key", "x-principal"]);
    }
}
