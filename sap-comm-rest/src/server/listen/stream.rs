use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};

use super::{
    ServerConfig,
    activity::Activity,
    framing::Framing,
    linger::{Linger, Lingering},
    refusals::Refusals,
    rejected::{self, Rejected},
};
use crate::{stall::Stall, tls::Transport};

/// A connection's bytes: tells the activity and the framing about reads, bounds how long a write may stall, and reads on
/// before it closes.
///
/// It holds the connection's permit, so that an upgraded connection counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Stream {
    inner: Transport,
    stall: Stall,
    /// Whether the peer has not taken yet all that was written, as the activity was told.
    unsent: bool,
    rejected: Option<Rejected>,
    linger: Option<Linger>,
    /// Runs from the end of what the peer sends, where that comes before its answer.
    ended: Stall,
    watch: Watch,
    _permit: OwnedSemaphorePermit,
}

/// Who is told about a connection, and what it may do.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) config: Arc<ServerConfig>,
    pub(super) activity: Arc<Activity>,
    pub(super) framing: Framing,
    pub(super) lingering: Lingering,
    pub(super) refusals: Arc<Refusals>,
}

/// So few bytes cost less to put together than to be sent from where they are.
const JOINED: usize = 2 * 1024;

thread_local! {
    static JOINT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Stream {
    pub(super) fn new(inner: Transport, watch: Watch, permit: OwnedSemaphorePermit) -> Self {
        Self {
            inner,
            stall: Stall::default(),
            unsent: false,
            rejected: None,
            linger: None,
            ended: Stall::default(),
            watch,
            _permit: permit,
        }
    }

    /// Lets progress pass; a write without any for too long fails.
    fn bound<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            if self.stall.is_waiting() {
                self.stall.progressed();
                self.reads_on(cx);
            }
            return progress;
        }
        ready!(self.stall.poll_over(self.watch.config.write_timeout, cx));
        // What the system still has for such a peer goes with the connection, and it does not look like the end of the answer.
        let _ = self.inner.tcp().set_zero_linger();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")))
    }

    fn holds_unsent(&mut self, unsent: bool) {
        if self.unsent != unsent {
            self.unsent = unsent;
            self.watch.activity.holds_unsent(unsent);
        }
    }

    /// Writes the envelope in place of a refusal of hyper's own; of what stands before it, only that.
    fn poll_own_words(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.rejected.is_none() && self.watch.activity.answers_nobody() {
            match rejected::find(bytes) {
                Some(bare) if bare.start > 0 => {
                    return Pin::new(&mut self.inner).poll_write(cx, &bytes[..bare.start]);
                }
                Some(mut bare) => {
                    let Watch { config, framing, refusals, .. } = &self.watch;
                    bare.look_at(framing, config);
                    self.rejected = Rejected::new(&bare, bytes.len(), framing.is_for_head(), refusals);
                }
                None => {}
            }
        }
        let Some(rejected) = &mut self.rejected else { return Pin::new(&mut self.inner).poll_write(cx, bytes) };
        let stands_for = ready!(rejected.poll_write(&mut self.inner, cx))?;
        self.rejected = None;
        Poll::Ready(Ok(stands_for))
    }

    /// The same of bytes, which the peer takes.
    fn written(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(progress, Poll::Ready(Ok(1..))) {
            self.reads_on(cx);
        }
        if progress.is_pending() && !self.unsent {
            self.holds_unsent(true);
            self.reads_on(cx);
        }
        self.bound(cx, progress)
    }

    /// The peer has not left. Whether all is written shows at the next look at its end.
    fn reads_on(&mut self, cx: &Context<'_>) {
        if self.ended.is_waiting() {
            self.ended.progressed();
            cx.waker().wake_by_ref();
        }
    }

    /// Keeps the end of what the peer sends from hyper, which would give up what it answers. A peer may close its sending side once
    /// it has asked; but so does one that leaves, and for that one nobody works long.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Watch { config, activity, framing, .. } = &self.watch;
        let answers = activity.ends_after_answer().is_some_and(|answers| answers || self.stall.is_waiting());
        if !(framing.is_between_requests() && answers) {
            return Poll::Ready(());
        }
        let limit = if self.unsent {
            // One that has left answers with a reset to what it is sent.
            config.write_timeout
        } else if activity.drains() {
            // One that leaves is not to hold up a server that stops.
            config.linger.min(config.drain_timeout / 2)
        } else {
            config.linger
        };
        self.ended.poll_over(limit, cx)
    }

    /// Ends a connection whose request did not arrive in time; where a head of HTTP/1 has begun, with the envelope. No peer is
    /// waited for: one that does not take the few bytes at once goes without them, and one that sends on is read no further
    /// than to what there is.
    fn poll_give_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Watch { config, activity, framing, lingering, refusals } = &self.watch;
        let linger = match &mut self.linger {
            Some(linger) => linger,
            // Nor is it said in the midst of an answer that the peer has not taken.
            None if !framing.is_within_head() || self.stall.is_waiting() => return Poll::Ready(()),
            none => {
                let Some(bytes) = rejected::late(framing.is_for_head(), refusals) else { return Poll::Ready(()) };
                let written = Pin::new(&mut self.inner).poll_write(cx, &bytes);
                let whole = matches!(written, Poll::Ready(Ok(written)) if written == bytes.len());
                if !whole || !matches!(Pin::new(&mut self.inner).poll_shutdown(cx), Poll::Ready(Ok(()))) {
                    return Poll::Ready(());
                }
                activity.close();
                none.insert(Linger::begin(config, true, lingering))
            }
        };
        linger.poll(self.inner.tcp_mut(), cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.watch.activity.is_late() {
            ready!(self.poll_give_up(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request arrived in time")));
        }
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let received = buf.filled().get(before..).unwrap_or_default();
        if received.is_empty() {
            if result.is_ok() && buf.remaining() > 0 {
                ready!(self.poll_end(cx));
            }
        } else {
            let Watch { framing, activity, .. } = &mut self.watch;
            let opens = framing.is_opening();
            activity.received(|| {
                framing.read(received);
                framing.is_within_head() || framing.is_opening()
            });
            if opens && framing.is_http2() {
                activity.speaks_http2();
            }
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = self.poll_own_words(cx, buf);
        self.written(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(cx, only);
        }
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= JOINED {
            return JOINT.with_borrow_mut(|joint| {
                joint.clear();
                bufs.iter().for_each(|buf| joint.extend_from_slice(buf));
                let progress = Pin::new(&mut self.inner).poll_write(cx, joint);
                self.written(cx, progress)
            });
        }
        let progress = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_flush(cx);
        self.holds_unsent(progress.is_pending());
        self.bound(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let progress = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.bound(cx, progress))?;
            if !this.watch.activity.close() {
                // Whoever took the connection over closes one side of it, and may go on reading.
                return Poll::Ready(Ok(()));
            }
        }
        let Watch { config, framing, lingering, .. } = &this.watch;
        let linger = this.linger.get_or_insert_with(|| Linger::begin(config, framing.is_at_rest(), lingering));
        linger.poll(this.inner.tcp_mut(), cx).map(Ok)
    }
}
