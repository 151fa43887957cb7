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

/// A request as the upstream read it: its target and its body.
pub(super) type Seen = (String, String);

/// An upstream that answers every request, and remembers those that it got whole.
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
    while let Some(request) = read(&mut stream).await {
        seen.lock().push(request);
        if stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

/// The next request; `None` when the connection ends before it is whole.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let head = line_by_line(stream).await?;
    let target = head.first()?.split(' ').nth(1)?.to_owned();
    let values = |name: &str| -> Vec<String> {
        let fields = head.iter().filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim().to_ascii_lowercase()).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let mut body = Vec::new();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => {}
        ([length], []) => {
            body.resize(length.parse().ok()?, 0);
            stream.read_exact(&mut body).await.ok()?;
        }
        ([], [coding]) if coding == "chunked" => {
            while let size @ 1.. = usize::from_str_radix(&line(stream).await?, 16).ok()? {
                let mut chunk = vec![0; size];
                stream.read_exact(&mut chunk).await.ok()?;
                body.extend(chunk);
                line(stream).await?;
            }
            // Trailers, and the empty line behind them.
            line_by_line(stream).await?;
        }
        ambiguous => return Some((target, format!("passed on with {ambiguous:?}"))),
    }
    Some((target, String::from_utf8_lossy(&body).into_owned()))
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
