//! Requests over raw sockets: as fast as answers come, at a rate, or one with a long body or answer.

mod closed;
mod memory;
mod open;
mod stream;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Tree;
use crate::{BenchError, Figures};

pub(crate) use memory::Held;

/// What is asked of whom, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Where the proxy listens.
    pub(crate) port: u16,
    /// Its first process, whose time and memory are read.
    pub(crate) pid: u32,
    pub(crate) path: String,
    pub(crate) connections: usize,
    /// Bearer tokens that the connections show, in turns; none when empty.
    pub(crate) tokens: Vec<String>,
    pub(crate) pace: Pace,
    /// Whether the proxy may refuse.
    #[serde(default)]
    pub(crate) refusals: bool,
    /// How long the body of each request is; without one it is a `GET`.
    #[serde(default)]
    pub(crate) body: usize,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Pace {
    /// On each connection the next one as soon as the last is answered.
    Closed { warm_up: Duration, measured: Duration },
    /// So many a second, whatever becomes of earlier ones; a request counts from when it was due.
    Open { rate: f64, warm_up: Duration, measured: Duration },
    /// One, whose answer has so many bytes.
    Download { bytes: u64 },
    /// One, whose body has so many bytes.
    Upload { bytes: u64 },
}

/// What a load has measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Measured {
    pub(crate) figures: Figures,
    /// The proxy's peak of resident memory, KiB.
    pub(crate) peak_kib: u64,
    /// What the proxy held meanwhile; only of streams.
    pub(crate) held: Option<Held>,
}

impl Load {
    pub(crate) fn run(&self) -> Result<Measured, BenchError> {
        let (figures, held) = match self.pace {
            Pace::Closed { warm_up, measured } => (closed::run(self, warm_up, measured)?, None),
            Pace::Open { rate, warm_up, measured } => (open::run(self, rate, warm_up, measured)?, None),
            Pace::Download { bytes } => streamed(stream::download(self, bytes)?),
            Pace::Upload { bytes } => streamed(stream::upload(self, bytes)?),
        };
        Ok(Measured { figures, peak_kib: self.proxy().peak_kib()?, held })
    }

    fn proxy(&self) -> Tree {
        Tree(self.pid)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The request of one connection, always the same.
    fn request(&self, connection: usize) -> Vec<u8> {
        let method = if self.body > 0 { "POST" } else { "GET" };
        let mut request = format!("{method} {} HTTP/1.1\r\nHost: gateway.test\r\n", self.path);
        if let Some(token) = self.tokens.get(connection % self.tokens.len().max(1)) {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if self.body > 0 {
            request.push_str(&format!("Content-Length: {}\r\n", self.body));
        }
        request.push_str("\r\n");
        request.extend(std::iter::repeat_n('x', self.body));
        request.into_bytes()
    }
}

fn streamed((figures, memory): (Figures, memory::Memory)) -> (Figures, Option<Held>) {
    (figures, Some(memory.held()))
}
