use std::{io::ErrorKind, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::PATIENCE;

/// A connection that says exactly what a test wants.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A response, as it was on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Sends a request on a connection of its own.
pub(crate) async fn ask(addr: SocketAddr, request: &str) -> Answer {
    let mut connection = Connection::open(addr).await;
    connection.send(request.as_bytes()).await;
    connection.answer().await
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        TcpStream::connect(addr).await.unwrap().into()
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Says that nothing more is sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Waits until there is something to read, and leaves it there.
    pub(crate) async fn readable(&self) {
        timeout(PATIENCE, self.stream.readable()).await.expect("nothing arrives").unwrap();
    }

    /// Whether more bytes can be sent.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next response, which ends by its length or with the connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head_end = loop {
            match find(&self.read, b"\r\n\r\n") {
                Some(at) => break at,
                None => assert!(self.more().await, "closed without an answer: {:?}", self.text()),
            }
        };
        let head = String::from_utf8(self.read[..head_end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        self.read.drain(..head_end + 4);
        let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
        // These have no body, whatever their headers say.
        let length = if matches!(status, 204 | 304) { Some(0) } else { length };
        match length {
            Some(length) => while self.read.len() < length && self.more().await {},
            None => while self.more().await {},
        }
        let rest = self.read.split_off(length.unwrap_or(self.read.len()).min(self.read.len()));
        let body = std::mem::replace(&mut self.read, rest);
        Answer { status, headers, body: String::from_utf8(body).unwrap() }
    }

    /// Waits until the server closes; what it still said.
    pub(crate) async fn closed(&mut self) -> String {
        while self.more().await {}
        self.text()
    }

    /// Takes what comes until the server ends the connection; whether it does so without a goodbye.
    pub(crate) async fn is_reset(&mut self) -> bool {
        let all = timeout(PATIENCE, self.stream.read_to_end(&mut self.read)).await.expect("it goes on");
        all.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Takes what has come, 16 KiB at most; whether there was anything before the end.
    pub(crate) async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("nothing arrives");
        // A reset ends a connection as well as a close.
        let read = read.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..read]);
        read > 0
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The error of the envelope, after checking that it is one.
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let error = self.json()["error"].clone();
        for field in ["code", "message", "details", "timestamp", "requestId"] {
            assert!(!error[field].is_null(), "{field} is missing: {self:?}");
        }
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{self:?}");
        error
    }

    pub(crate) fn code(&self) -> String {
        self.error()["code"].as_str().unwrap().to_owned()
    }
}
