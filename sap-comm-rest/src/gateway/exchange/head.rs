use std::{mem::MaybeUninit, time::Duration};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use httparse::Status;
use hyper::ext::ReasonPhrase;
use memchr::memchr_iter;

use super::{ExchangeError, remaining::Remaining};
use crate::{
    chunks::Chunks,
    gateway::headers::{BodyLines, lines_of},
};

/// The head of an answer, and what it says of the rest.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) response: Response<()>,
    /// Of the head, in bytes.
    pub(super) length: usize,
    pub(super) body: Remaining,
    /// Whether the connection may serve another request.
    pub(super) keeps_alive: bool,
    /// How long it may wait for one, where the endpoint says so.
    pub(super) kept_for: Option<Duration>,
}

/// What a request may take to the endpoint, which closes at its own time.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// The longest head of an answer, with its headers.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// Whether the end of a head is among what came in.
pub(super) fn may_end(received: &[u8]) -> bool {
    let behind = |at: usize| received.get(at + 1..).unwrap_or_default();
    memchr_iter(b'\n', received).any(|at| behind(at).starts_with(b"\n") || behind(at).starts_with(b"\r\n"))
}

/// Takes the head of an answer to `method` out of what came in, with room for so many headers more; `None` until there is a
/// whole one. Further ones follow an interim answer.
pub(super) fn take(received: &mut BytesMut, method: &Method, room: usize) -> Result<Option<AnswerHead>, ExchangeError> {
    let garbage = |reason| Err(ExchangeError::Garbage(reason));
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, received, &mut lines) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if received.len() < MAX_HEAD => return Ok(None),
        Ok(_) => return garbage("the head of the answer is over 64 KiB"),
        Err(httparse::Error::TooManyHeaders) => return garbage("the answer has over 100 headers"),
        Err(_) => return garbage("the answer is not HTTP/1"),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(status), Some(minor)) = (status, parsed.version) else { return garbage("the answer has no status") };
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Some(reason) = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason))
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.reserve(parsed.headers.len() + room);
    for line in &*parsed.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line.value)) else {
            return garbage("the answer has a header that is none");
        };
        headers.append(name, value);
    }
    received.advance(length);
    let names = [&header::TRANSFER_ENCODING, &header::CONTENT_LENGTH, &header::CONNECTION, &KEEP_ALIVE];
    let [codings, lengths, connections, keep_alive] = lines_of(headers, names);
    let body = remaining(method, status, minor, BodyLines { codings, lengths })?;
    let asked = if connections.count == 0 { (false, false) } else { connection(headers) };
    let keeps_alive = match asked {
        (true, _) => false,
        // The end of the connection is the body's.
        _ if matches!(body, Remaining::UntilClose) => false,
        (_, asked) => minor == 1 || asked,
    };
    let kept_for = keep_alive.first.and_then(|value| timeout(value.as_bytes()));
    Ok(Some(AnswerHead { response, length, body, keeps_alive, kept_for }))
}

/// RFC 9112, section 6.3. What could be read in two ways is refused.
fn remaining(
    method: &Method,
    status: StatusCode,
    minor: u8,
    BodyLines { codings, lengths }: BodyLines<'_>,
) -> Result<Remaining, ExchangeError> {
    let garbage = |reason| Err(ExchangeError::Garbage(reason));
    let (coding, length) = (codings.first, lengths.first);
    if coding.is_some() && length.is_some() {
        return garbage("the answer has both Content-Length and Transfer-Encoding");
    }
    if codings.count > 1 || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return garbage("the answer has a transfer coding other than chunked");
    }
    if coding.is_some() && minor == 0 {
        return garbage("the answer has a transfer coding in HTTP/1.0");
    }
    if lengths.count > 1 {
        return garbage("the answer has more than one Content-Length");
    }
    let length = match length.map(|length| digits(length.as_bytes())) {
        Some(None) => return garbage("the Content-Length of the answer is no number"),
        length => length.flatten(),
    };
    let is_bare = *method == Method::HEAD
        || status.is_informational()
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    Ok(match (is_bare, coding, length) {
        (true, ..) => Remaining::Over,
        (false, Some(_), _) => Remaining::Chunked(Chunks::of_answer()),
        (false, None, Some(0)) => Remaining::Over,
        (false, None, Some(length)) => Remaining::Known(length),
        (false, None, None) => Remaining::UntilClose,
    })
}

fn digits(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// Whether `Connection` says `close`, and whether it says `keep-alive`.
fn connection(headers: &HeaderMap) -> (bool, bool) {
    let lines = headers.get_all(header::CONNECTION).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    tokens.fold((false, false), |(close, keep), token| {
        (close || token.eq_ignore_ascii_case(b"close"), keep || token.eq_ignore_ascii_case(b"keep-alive"))
    })
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The time that `Keep-Alive` tells, less that of a request (RFC 2068, section 19.7.1.1).
fn timeout(keep_alive: &[u8]) -> Option<Duration> {
    let seconds = keep_alive.split(|byte| *byte == b',').find_map(|parameter| {
        let (name, value) = parameter.trim_ascii().split_at_checked(b"timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| digits(value))?
    });
    Some(Duration::from_secs(seconds?).saturating_sub(ON_ITS_WAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &Method, wire: &str) -> Result<Option<(AnswerHead, BytesMut)>, String> {
        let mut received = BytesMut::from(wire);
        let head = take(&mut received, method, 0).map_err(|error| error.to_string())?;
        Ok(head.map(|head| (head, received)))
    }

    #[test]
    fn a_head_says_what_follows() {
        for (head, method, body, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Method::GET, "Known(5)", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Method::HEAD, "Over", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n", Method::GET, "Over", false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", Method::GET, "Over", true),
            ("HTTP/1.1 204 No Content\r\n", Method::GET, "Over", true),
            ("HTTP/1.1 103 Early Hints\r\n", Method::GET, "Over", true),
            ("HTTP/1.1 200 \r\nx: a\r\nConnection: x, Close\r\n", Method::GET, "UntilClose", false),
            ("HTTP/1.1 200 \r\nx: a\r\n", Method::GET, "UntilClose", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", Method::GET, "Known(5)", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n", Method::GET, "Known(5)", true),
        ] {
            let wire = format!("{head}\r\nrest");
            let (answer, rest) = read(&method, &wire).unwrap().unwrap();
            assert_eq!((format!("{:?}", answer.body).as_str(), answer.keeps_alive), (body, keeps_alive), "{head:?}");
            assert_eq!(rest, "rest");
            for length in 0..head.len() {
                assert!(read(&method, &head[..length]).unwrap().is_none(), "{head:?} {length}");
            }
        }
        let chunked = read(&Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n").unwrap().unwrap().0;
        assert!(matches!(chunked.body, Remaining::Chunked(_)));
    }

    #[test]
    fn an_endpoint_may_say_how_long_it_waits() {
        for (said, seconds) in [
            ("timeout=5", Some(4)),
            ("max=100, Timeout=72", Some(71)),
            ("timeout=1", Some(0)),
            ("timeout=0,max=5", Some(0)),
            ("timeout=18446744073709551615", Some(u64::MAX - 1)),
            ("timeout=18446744073709551616", None),
            ("timeout=-1", None),
            ("timeout=", None),
            ("max=5", None),
            ("", None),
        ] {
            let wire = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nkeep-alive: {said}\r\n\r\n");
            let (answer, _) = read(&Method::GET, &wire).unwrap().unwrap();
            assert_eq!(answer.kept_for, seconds.map(Duration::from_secs), "{said:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_answer() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n",
            "HTTP/1.1 200 OK\r\nx : a\r\n",
            "HTTP/1.1 200 OK\r\nx: a\0b\r\n",
            "HTTP/1.1 200 OK\r\n: a\r\n",
            "HTTP/1.1 99 OK\r\n",
            "HTTP/2.0 200 OK\r\n",
            "ICY 200 OK\r\n",
        ] {
            assert!(read(&Method::GET, &format!("{head}\r\n")).is_err(), "{head:?}");
        }
        let many = "x: a\r\n".repeat(MAX_HEADERS + 1);
        assert!(read(&Method::GET, &format!("HTTP/1.1 200 OK\r\n{many}\r\n")).unwrap_err().contains("100 headers"));
        let long = "a".repeat(MAX_HEAD);
        assert!(read(&Method::GET, &format!("HTTP/1.1 200 OK\r\nx: {long}")).unwrap_err().contains("64 KiB"));
    }
}
