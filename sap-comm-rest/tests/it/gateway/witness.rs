//! An upstream that remembers what it was asked, and a client that says exactly these bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::{
    corpus::PROBE,
    support::{Running, raw_upstream},
};

/// After so long nobody is expected to say anything more.
const SILENCE: Duration = Duration::from_millis(1_500);

/// A request as the upstream read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) target: String,
    pub(super) body: String,
    /// The headers that say where it ends, whom it is for or what becomes of the connection, in lower case and in order.
    pub(super) framing: Vec<(String, String)>,
    /// What a second reader could take for something else.
    pub(super) unclear: Option<String>,
}

/// The names of [`Seen::framing`].
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An upstream that answers every request, and remembers those that it got whole, and those that it could not read.
pub(super) struct Witness {
    pub(super) running: Running,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What came of one connection's bytes.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The statuses of the answers.
    pub(super) statuses: Vec<u16>,
    /// What reached the upstream, the probe included.
    pub(super) seen: Vec<Seen>,
    /// Refusals that are no envelope with a request id.
    pub(super) without_envelope: Vec<String>,
}

impl Witness {
    pub(super) async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let notes = Arc::clone(&seen);
        let running = raw_upstream(move |stream, _| serve(stream, Arc::clone(&notes))).await;
        Self { running, seen }
    }

    /// Says `bytes` and a probe to `proxy`, which stands before this upstream.
    pub(super) async fn play(&self, proxy: SocketAddr, bytes: &[u8]) -> Outcome {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        // It may refuse before it has read everything.
        let _ = stream.write_all(&[bytes, PROBE].concat()).await;
        let mut answers = Vec::new();
        let mut buffer = [0; 4_096];
        // Who waits for more than there is, is silent for long.
        while let Ok(Ok(read @ 1..)) = timeout(SILENCE, stream.read(&mut buffer)).await {
            answers.extend_from_slice(&buffer[..read]);
        }
        let answers = answers_of(&answers);
        let refusals = answers.iter().filter(|answer| answer.status >= 400);
        let without_envelope =
            refusals.filter(|answer| !answer.is_envelope()).map(|answer| format!("{answer:?}")).collect();
        let statuses = answers.iter().map(|answer| answer.status).collect();
        Outcome { statuses, seen: std::mem::take(&mut self.seen.lock()), without_envelope }
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn is_envelope(&self) -> bool {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let id = body["error"]["requestId"].as_str().or(body["requestId"].as_str()).unwrap_or_default();
        self.head.contains("content-type: application/json") && body["error"]["code"].is_string() && !id.is_empty()
    }
}

/// The answers with whole heads in turn. What is none ends them.
fn answers_of(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let Some(status) = head.split(' ').nth(1).and_then(|status| status.parse().ok()) else { break };
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0_usize);
        let rest = &bytes[end + 4..];
        let (body, rest) = rest.split_at(length.min(rest.len()));
        answers.push(Answer { status, head, body: String::from_utf8_lossy(body).into_owned() });
        bytes = rest;
    }
    answers
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    while let Some((request, has_end)) = read(&mut stream).await {
        seen.lock().push(request);
        // What is behind a request without an end may be anything.
        if !has_end || stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

/// The next request, and whether it is known where it ends; `None` when the connection ends before it is whole.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<(Seen, bool)> {
    let head = line_by_line(stream).await?;
    let (first, lines) = head.split_first()?;
    let mut seen = Seen::headed(first, lines);
    let has_end = seen.read_body(stream).await?;
    Some((seen, has_end))
}

impl Seen {
    fn headed(first: &str, lines: &[String]) -> Self {
        let mut words = first.split(' ');
        let target = words.nth(1).unwrap_or_default().to_owned();
        let mut seen = Self { target, body: String::new(), framing: Vec::new(), unclear: None };
        if (words.next(), words.next()) != (Some("HTTP/1.1"), None) {
            seen.note(format!("a request line {first:?}"));
        }
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let token = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"()[]{}".contains(&byte));
            if name.is_empty() || !token || line.contains(['\r', '\n', '\0']) {
                seen.note(format!("a header {line:?}"));
            }
            let name = name.to_ascii_lowercase();
            if FRAMING.contains(&name.as_str()) {
                seen.framing.push((name, value.trim().to_ascii_lowercase()));
            }
        }
        seen
    }

    fn note(&mut self, unclear: String) {
        self.unclear.get_or_insert(unclear);
    }

    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        self.framing.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether it is known where the body ends; `None` when the connection ends within it.
    async fn read_body(&mut self, stream: &mut BufReader<TcpStream>) -> Option<bool> {
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        let mut body = Vec::new();
        let unclear = match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => None,
            ([length], []) => {
                let Some(number) = number(length, 10) else { return self.has_no_end(format!("a length {length:?}")) };
                body.resize(number, 0);
                stream.read_exact(&mut body).await.ok()?;
                (number.to_string() != *length).then(|| format!("a length {length:?}"))
            }
            ([], ["chunked"]) => loop {
                let size = line(stream).await?;
                let Some(length) = number(&size, 16) else { return self.has_no_end(format!("a chunk size {size:?}")) };
                if length == 0 {
                    // Trailers, and the empty line behind them.
                    let trailers = line_by_line(stream).await?;
                    break (!trailers.is_empty()).then(|| format!("trailers {trailers:?}"));
                }
                let mut chunk = vec![0; length];
                stream.read_exact(&mut chunk).await.ok()?;
                body.extend(chunk);
                let end = line(stream).await?;
                if !end.is_empty() {
                    return self.has_no_end(format!("a chunk with {end:?} behind it"));
                }
            },
            _ => {
                let both = format!("lengths {lengths:?} and codings {codings:?}");
                return self.has_no_end(both);
            }
        };
        self.body = String::from_utf8_lossy(&body).into_owned();
        unclear.into_iter().for_each(|unclear| self.note(unclear));
        Some(true)
    }

    fn has_no_end(&mut self, unclear: String) -> Option<bool> {
        self.note(unclear);
        Some(false)
    }
}

/// Of digits alone.
fn number(text: &str, radix: u32) -> Option<usize> {
    // `from_str_radix` takes a sign.
    let digits = text.chars().all(|digit| digit.is_digit(radix));
    if digits { usize::from_str_radix(text, radix).ok() } else { None }
}

async fn line_by_line(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        match line(stream).await?.as_str() {
            "" => return Some(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    bytes.truncate(bytes.len() - 2);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
