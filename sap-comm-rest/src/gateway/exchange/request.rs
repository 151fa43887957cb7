use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header, uri::PathAndQuery};
use sap_comm_core::header as names;

use crate::gateway::{body::UploadBody, outbound::PRINCIPAL};

/// The head of a request to an endpoint. What frames its body is written as the body is, whatever the headers say.
pub(in crate::gateway) struct OutgoingHead<'a> {
    pub(in crate::gateway) method: &'a Method,
    pub(in crate::gateway) target: &'a PathAndQuery,
    pub(in crate::gateway) headers: &'a HeaderMap,
    /// What no header says.
    pub(in crate::gateway) own: &'a HeaderLines,
    /// Whom the gateway asks for, in place of what the headers say.
    pub(in crate::gateway) principal: Option<&'a str>,
    /// What this attempt has, where the endpoint believes it.
    pub(in crate::gateway) allotted: Option<Allotted>,
    /// What goes into `Host`, in place of what the headers say.
    pub(in crate::gateway) host: Option<&'a HeaderValue>,
    /// How many headers more than it has the answer is to have room for.
    pub(in crate::gateway) room: usize,
}

/// Which attempt of a call it is, and how long the endpoint may take for it.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Allotted {
    pub(in crate::gateway) attempt: u32,
    pub(in crate::gateway) timeout: Duration,
}

/// Header lines as they are sent.
#[derive(Debug)]
pub(in crate::gateway) struct HeaderLines(Vec<u8>);

impl HeaderLines {
    /// With room for what most requests need.
    pub(in crate::gateway) fn new() -> Self {
        Self(Vec::with_capacity(512))
    }

    /// A value that is none is left out.
    pub(in crate::gateway) fn push(&mut self, name: &str, value: &[u8]) {
        // All of it is looked at, which takes less than to stop early.
        let control =
            value.iter().fold(false, |found, byte| found | (*byte < b' ' && *byte != b'\t') | (*byte == 0x7f));
        if !control {
            line(&mut self.0, name, value);
        }
    }

    /// Several values of a list in one line.
    pub(in crate::gateway) fn push_list<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a [u8]>) {
        self.0.extend_from_slice(name.as_bytes());
        for (index, value) in values.enumerate() {
            self.0.extend_from_slice(if index == 0 { b": " } else { b", " });
            self.0.extend_from_slice(value);
        }
        self.0.extend_from_slice(b"\r\n");
    }
}

impl OutgoingHead<'_> {
    pub(super) fn write(&self, body: Option<&UploadBody>, out: &mut Vec<u8>) {
        for part in [self.method.as_str(), " ", self.target.as_str(), " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(host) = self.host {
            line(out, header::HOST.as_str(), host.as_bytes());
        }
        out.extend_from_slice(&self.own.0);
        if let Some(principal) = self.principal {
            line(out, names::PRINCIPAL, principal.as_bytes());
        }
        if let Some(Allotted { attempt, timeout }) = self.allotted {
            line(out, names::TIMEOUT_MS, timeout.as_millis().to_string().as_bytes());
            if attempt > 1 {
                line(out, names::ATTEMPT, attempt.to_string().as_bytes());
            }
        }
        let mut said_empty = false;
        for (name, value) in self.headers {
            match *name {
                header::HOST if self.host.is_some() => {}
                _ if self.principal.is_some() && name == PRINCIPAL => {}
                header::TRANSFER_ENCODING => {}
                header::CONTENT_LENGTH => said_empty = true,
                _ => line(out, name.as_str(), value.as_bytes()),
            }
        }
        match body.map(UploadBody::length) {
            Some(Some(length)) => line(out, header::CONTENT_LENGTH.as_str(), length.to_string().as_bytes()),
            Some(None) => line(out, header::TRANSFER_ENCODING.as_str(), b"chunked"),
            None if said_empty || expects_body(self.method) => line(out, header::CONTENT_LENGTH.as_str(), b"0"),
            None => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Methods whose requests say so when they have no body (RFC 9110, section 8.6).
fn expects_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}
