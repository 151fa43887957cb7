//! Hyper answers what it cannot parse with a head of its own. Here that head becomes the envelope, which what does not
//! arrive in time is answered with, too.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, UNIX_EPOCH},
};

use http::StatusCode;
use sap_comm_core::{ApiError, Context as RequestContext, ErrorCode, Timestamp, header};
use tokio::io::AsyncWrite;

use super::{ServerConfig, framing::Framing, refusals::Refusals};
use crate::tls::Transport;

/// The envelope in place of a head of hyper's.
#[derive(Debug)]
pub(super) struct Rejected {
    bytes: Vec<u8>,
    written: usize,
    /// How many bytes of hyper's it stands for.
    stands_for: usize,
}

/// Where hyper's own head begins in what it is about to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bare<'a> {
    pub(super) start: usize,
    status: StatusCode,
    date: Option<&'a str>,
}

/// Hyper's longest is some 130 bytes.
const LONGEST: usize = 192;

/// Finds a head that says nothing but its status, at the end of what is written.
pub(super) fn find(written: &[u8]) -> Option<Bare<'_>> {
    let from = written.len().saturating_sub(LONGEST);
    let tail = written.get(from..)?.strip_suffix(b"\r\n\r\n")?;
    const VERSION: &[u8] = b"HTTP/1.1 ";
    let start = tail.windows(VERSION.len()).rposition(|window| window == VERSION)?;
    let mut lines = std::str::from_utf8(tail.get(start + VERSION.len()..)?).ok()?.split("\r\n");
    let status = lines.next()?.get(..3)?.parse().ok()?;
    let mut bare = Bare { start: from + start, status, date: None };
    for line in lines {
        match line.split_once(": ")? {
            ("connection", "close") | ("content-length", "0") => {}
            ("date", date) => bare.date = Some(date),
            _ => return None,
        }
    }
    Some(bare)
}

/// What the request line has besides the target, nearly always.
const METHOD_AND_VERSION: usize = "OPTIONS  HTTP/1.1".len();

impl Bare<'_> {
    /// Hyper says of a head that does not fit that its headers are too long, also where the request line is. One that fills
    /// all there is for the head is too long whatever may be in it. And it says so of a body that is too long for a number.
    pub(super) fn look_at(&mut self, framing: &Framing, config: &ServerConfig) {
        let longest = config.max_uri.saturating_add(METHOD_AND_VERSION).min(config.max_header_bytes.saturating_sub(1));
        self.status = match self.status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if framing.request_line() > longest => StatusCode::URI_TOO_LONG,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if framing.is_ambiguous() => StatusCode::BAD_REQUEST,
            other => other,
        };
    }
}

impl Rejected {
    /// The envelope for a request that hyper refused; `None` for what it never says by itself.
    pub(super) fn new(bare: &Bare<'_>, stands_for: usize, for_head: bool, refusals: &Refusals) -> Option<Self> {
        let error = match bare.status {
            StatusCode::BAD_REQUEST => ApiError::new(ErrorCode::BAD_REQUEST, "The request is not well-formed HTTP"),
            StatusCode::URI_TOO_LONG => ApiError::new(ErrorCode::URI_TOO_LONG, "The URI is too long"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ApiError::new(ErrorCode::HEADERS_TOO_LARGE, "The headers are too many or too long")
            }
            _ => return None,
        };
        Some(Self { bytes: envelope(bare.status, &error, bare.date, for_head, refusals)?, written: 0, stands_for })
    }

    /// Writes it; then says how many bytes of hyper's are done with.
    pub(super) fn poll_write(&mut self, stream: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(self.stands_for))
    }
}

/// The envelope for a request that did not arrive in time, of which hyper says nothing.
pub(super) fn late(for_head: bool, refusals: &Refusals) -> Option<Vec<u8>> {
    let error = ApiError::new(ErrorCode::REQUEST_TIMEOUT, "The request did not arrive in time");
    let now = u64::try_from(Timestamp::now().as_secs()).unwrap_or(0);
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
    envelope(StatusCode::REQUEST_TIMEOUT, &error, Some(&date), for_head, refusals)
}

/// A whole response that ends the connection, under an id of our own: of what cannot be read nothing is believed. For
/// HEAD without its content.
pub(super) fn envelope(
    status: StatusCode,
    error: &ApiError,
    date: Option<&str>,
    for_head: bool,
    refusals: &Refusals,
) -> Option<Vec<u8>> {
    let context = RequestContext::root();
    refusals.log(error, &context);
    let body = serde_json::to_vec(&error.envelope(&context)).ok()?;
    let date = date.map(|date| format!("date: {date}\r\n")).unwrap_or_default();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         {}: {}\r\n{date}\r\n",
        body.len(),
        header::REQUEST_ID,
        context.request_id(),
    )
    .into_bytes();
    if !for_head {
        bytes.extend(body);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_hypers_is_told_from_others() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let found = find(bare.as_bytes()).unwrap();
        assert_eq!(found, Bare { start: 0, status: StatusCode::BAD_REQUEST, date: Some("now") });
        let behind = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{bare}");
        assert_eq!(find(behind.as_bytes()).unwrap().start, behind.len() - bare.len());
        for other in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: a\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
        ] {
            assert_eq!(find(other.as_bytes()), None, "{other:?}");
        }
        let ok = find(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(Rejected::new(&ok, 1, false, &Refusals::default()).is_none());
    }
}
