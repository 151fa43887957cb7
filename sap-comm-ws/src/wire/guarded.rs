use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::frames::Frames;

/// A connection whose writes are rewritten, and given up when the peer does not read for `limit`; it ends with all others.
pub(crate) struct Guarded<T> {
    inner: T,
    limit: Duration,
    frames: Frames,
    /// Rewritten bytes that are not written yet.
    out: Vec<u8>,
    written: usize,
    stalled: Option<Pin<Box<Sleep>>>,
    given_up: bool,
    /// The reader is told when the writer gives up: only a failed read ends the connection.
    reader: Option<Waker>,
    /// The end of all connections, which this one reads as its own.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Guarded<T> {
    pub(super) fn new(inner: T, limit: Duration, ended: &CancellationToken) -> Self {
        Self {
            inner,
            limit,
            frames: Frames::default(),
            out: Vec::new(),
            written: 0,
            stalled: None,
            given_up: false,
            reader: None,
            // A child, so that connections share no lock at each of their reads.
            ended: Box::pin(ended.child_token().cancelled_owned()),
        }
    }

    /// Watches the clock while a write waits.
    fn watch<R>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        tracing::info!(?limit, "the client does not read: connection given up");
        self.given_up = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Err(unread()))
    }

    /// Writes what was rewritten.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.given_up {
            return Poll::Ready(Err(unread()));
        }
        while self.written < self.out.len() {
            let rest = self.out.split_at(self.written).1;
            let progress = Pin::new(&mut self.inner).poll_write(cx, rest);
            match ready!(self.watch(cx, progress))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.written += bytes,
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client does not read")
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.given_up {
            return Poll::Ready(Err(unread()));
        }
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.drain(cx))?;
        let passing = usize::try_from(this.frames.passing()).unwrap_or(usize::MAX).min(buf.len());
        if passing > 0 {
            let progress = Pin::new(&mut this.inner).poll_write(cx, buf.split_at(passing).0);
            let bytes = ready!(this.watch(cx, progress))?;
            this.frames.passed(bytes);
            return Poll::Ready(Ok(bytes));
        }
        Poll::Ready(Ok(this.frames.take(buf, &mut this.out)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.drain(cx))?;
        let progress = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.drain(cx))?;
        let progress = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, progress)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up_by_writer_and_reader() {
        let (near, _far) = duplex(64);
        let (mut reader, mut writer) = split(Guarded::new(near, Duration::from_secs(30), &CancellationToken::new()));
        let reading = tokio::spawn(async move { reader.read_u8().await.unwrap_err().kind() });
        let frame = [&[0x82, 126, 1, 0][..], &[0; 256]].concat();
        let error = async {
            writer.write_all(&frame).await?;
            writer.flush().await
        }
        .await
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(reading.await.unwrap(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_not_given_up() {
        let (near, mut far) = duplex(64);
        let mut near = Guarded::new(near, Duration::from_secs(30), &CancellationToken::new());
        let frame = [&[0x81, 126, 1, 0][..], &[b'x'; 256]].concat();
        let sent = frame.clone();
        let writing = tokio::spawn(async move {
            near.write_all(&sent).await?;
            near.flush().await
        });
        let mut got = vec![0; frame.len()];
        for part in got.chunks_mut(20) {
            sleep(Duration::from_secs(20)).await;
            far.read_exact(part).await.unwrap();
        }
        writing.await.unwrap().unwrap();
        assert_eq!(got, frame);
    }
}
