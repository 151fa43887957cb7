use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::PATIENCE;

/// Kinds of frames (RFC 9113, 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// The header block of `GET / HTTP/2` to the host `a`.
pub(crate) const GET: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'a'];

/// The header block of `POST /api HTTP/2` to the host `a`.
pub(crate) const POST_API: &[u8] = &[0x83, 0x04, 4, b'/', b'a', b'p', b'i', 0x86, 0x41, 1, b'a'];

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The half of an HTTP/2 connection that says exactly what a test wants.
pub(crate) struct Sender(OwnedWriteHalf);

/// The half that reads frames.
pub(crate) struct Receiver(BufReader<OwnedReadHalf>);

/// The setting of how much a stream's peer takes before it says more, bytes.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// Opens a connection with these settings, as pairs of an identifier and a value.
pub(crate) async fn open(addr: SocketAddr, settings: &[(u16, u32)]) -> (Sender, Receiver) {
    let (read, write) = TcpStream::connect(addr).await.unwrap().into_split();
    let mut sender = Sender(write);
    let mut payload = Vec::new();
    for (identifier, value) in settings {
        payload.extend(identifier.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    assert!(sender.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await);
    assert!(sender.frame(kind::SETTINGS, 0, 0, &payload).await);
    (sender, Receiver(BufReader::new(read)))
}

/// A frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

impl Sender {
    /// Whether the server still takes a frame.
    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.say(&frame(kind, flags, stream, payload)).await
    }

    /// Whether the server still takes these bytes.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.0.write_all(bytes)).await.expect("nothing is taken").is_ok()
    }
}

impl Receiver {
    /// The next frame; none when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
            Some(Frame { kind: head[3], stream, payload })
        };
        timeout(PATIENCE, read).await.expect("nothing arrives")
    }

    /// Reads until the connection ends; the error code of the last farewell, if there was one.
    pub(crate) async fn farewell(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == kind::GOAWAY {
                code = frame.payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
        }
        code
    }
}
