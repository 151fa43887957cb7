use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::ServerConfig;

/// Reads on after the last response, as RFC 9112, section 9.6 advises.
///
/// A socket that is closed with bytes unread, or that gets more of them, answers with a reset; and a peer that is reset
/// may throw away the response which it has not read yet.
#[derive(Debug)]
pub(super) struct Linger {
    until: Pin<Box<Sleep>>,
    left: u64,
    /// Whether the peer has nothing more to say, as far as is known.
    at_rest: bool,
    _counted: Counted,
}

/// How many connections have sent their last response, and only read on, or wait for the peer to go.
#[derive(Debug, Clone, Default)]
pub(super) struct Lingering(Arc<AtomicUsize>);

#[derive(Debug)]
pub(super) struct Counted(Lingering);

impl Linger {
    /// Begins after the write side was shut down.
    pub(super) fn begin(config: &ServerConfig, at_rest: bool, lingering: &Lingering) -> Self {
        Self {
            until: Box::pin(sleep(config.linger)),
            left: config.max_linger_bytes,
            at_rest,
            _counted: lingering.count(),
        }
    }

    /// Ready when the connection can be closed: the peer has closed, or a limit is reached.
    pub(super) fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); 16 * 1024];
        loop {
            if self.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
            if read.is_pending() && self.at_rest {
                return Poll::Ready(());
            }
            let read: io::Result<()> = ready!(read);
            let taken = buffer.filled().len() as u64;
            if read.is_err() || taken == 0 || taken > self.left {
                return Poll::Ready(());
            }
            self.left -= taken;
            self.at_rest = false;
        }
    }
}

impl Lingering {
    pub(super) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    pub(super) fn connections(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
