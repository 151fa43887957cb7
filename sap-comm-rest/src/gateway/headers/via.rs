use http::{HeaderMap, HeaderValue, Version, header};
use sap_comm_core::id;

use crate::gateway::exchange::HeaderLines;

/// What a gateway calls itself in `Via` (RFC 9110, 7.6.3), by which it knows a request of its own that comes back.
#[derive(Debug)]
pub(in crate::gateway) struct Via {
    /// Unlike that of every other gateway.
    pseudonym: String,
    http_10: String,
    http_11: String,
    http_2: String,
}

impl Via {
    pub(in crate::gateway) fn new() -> Self {
        let pseudonym = id::prefixed("gw");
        let from = |version: &str| format!("{version} {pseudonym}");
        Self { http_10: from("1.0"), http_11: from("1.1"), http_2: from("2.0"), pseudonym }
    }

    /// Whether a request went through here before: it would do so for ever.
    pub(in crate::gateway) fn is_loop(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(header::VIA).iter().map(HeaderValue::as_bytes);
        let is_separator = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
        lines.any(|line| line.split(is_separator).any(|word| word == self.pseudonym.as_bytes()))
    }

    /// Tells a service of it, behind whom the client tells of.
    pub(in crate::gateway) fn tell(&self, version: Version, headers: &mut HeaderMap, lines: &mut HeaderLines) {
        let own = match version {
            Version::HTTP_2 => &self.http_2,
            Version::HTTP_10 => &self.http_10,
            _ => &self.http_11,
        };
        if !headers.contains_key(header::VIA) {
            return lines.push(header::VIA.as_str(), own.as_bytes());
        }
        let before = headers.get_all(header::VIA).iter().map(HeaderValue::as_bytes);
        lines.push_list(header::VIA.as_str(), before.chain([own.as_bytes()]));
        headers.remove(header::VIA);
    }
}
