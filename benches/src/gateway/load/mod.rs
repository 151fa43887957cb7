//! Requests over raw sockets: as fast as answers come, at a rate, or one long answer.

mod closed;
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
    Once { bytes: u64 },
}

/// What a load has measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Measured {
    pub(crate) figures: Figures,
    /// The proxy's peak of resident memory before and after, KiB.
    pub(crate) peak_kib: (u64, u64),
}

impl Load {
    pub(crate) fn run(&self) -> Result<Measured, BenchError> {
        let before = self.proxy().peak_kib()?;
        let figures = match self.pace {
            Pace::Closed { warm_up, measured } => closed::run(self, warm_up, measured),
            Pace::Open { rate, warm_up, measured } => open::run(self, rate, warm_up, measured),
            Pace::Once { bytes } => stream::run(self, bytes),
        }?;
        Ok(Measured { figures, peak_kib: (before, self.proxy().peak_kib()?) })
    }

    fn proxy(&self) -> Tree {
        Tree(self.pid)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The request of one connection, always the same.
    fn request(&self, connection: usize) -> Vec<u8> {
        let mut request = format!("GET {} HTTP/1.1\r\nHost: gateway.test\r\n", self.path);
        if let Some(token) = self.tokens.get(connection % self.tokens.len().max(1)) {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        request.push_str("\r\n");
        request.into_bytes()
    }
}
