use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::SizeHint;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split},
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::{io::poll_read_buf, task::AbortOnDropHandle};

use super::{
    ExchangeError, OutgoingHead,
    head::{self, AnswerHead},
    outbound::Outbound,
    remaining::{COPIED, Remaining},
};
use crate::{gateway::body::UploadBody, stall::Stall, tls::Transport};

/// A connection that takes one request at a time.
pub(in crate::gateway) struct Connection {
    io: Io,
    received: BytesMut,
    /// How much is read at once: more of a long answer.
    read: usize,
    outbound: Outbound,
    /// Of the answer that is being read.
    remaining: Remaining,
    /// Whether another request may follow.
    keeps_alive: bool,
    kept_for: Option<Duration>,
    /// One for all requests: to set it later is cheaper than to make another.
    timer: Pin<Box<Sleep>>,
    /// How much of a head was looked at, and from how much on it is read again in any case.
    seen: usize,
    read_again_at: usize,
    /// Writes what is left of a refused request.
    rest: Option<AbortOnDropHandle<()>>,
}

enum Io {
    Whole(Transport),
    /// The rest of the request is written elsewhere.
    Reading(ReadHalf<Transport>),
}

const LEAST_READ: usize = 8 * 1024;
const MOST_READ: usize = 64 * 1024;
/// All heads of interim answers before the answer: a flood of them, and not those by which a service says that it still works.
const MAX_INTERIM: usize = 64 * 1024;

/// Lets other tasks go first that are ready, without a look at the sockets. Requests that are there already are read before any of
/// them is written: whoever serves them is woken once for all, and so is this thread for the answers.
async fn turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Connection {
    pub(in crate::gateway) fn new(transport: Transport) -> Box<Self> {
        Box::new(Self {
            io: Io::Whole(transport),
            received: BytesMut::new(),
            read: LEAST_READ,
            outbound: Outbound::default(),
            remaining: Remaining::Over,
            keeps_alive: true,
            kept_for: None,
            timer: Box::pin(sleep(Duration::ZERO)),
            seen: 0,
            read_again_at: 0,
            rest: None,
        })
    }

    /// Sends a request, and returns the head of its answer as soon as it has come; `None` if that is not within `limit`, counted
    /// from the last `progress` of the body. An interim answer is none, and lengthens nothing: the endpoint was told how long its
    /// caller waits.
    pub(in crate::gateway) async fn send(
        &mut self,
        head: &OutgoingHead<'_>,
        body: Option<UploadBody>,
        now: Instant,
        limit: Duration,
        progress: impl Fn() -> Option<Instant>,
    ) -> Option<Result<Response<()>, ExchangeError>> {
        turn().await;
        self.outbound.begin(head, body);
        // What is not read to its end is not to serve another.
        self.keeps_alive = false;
        self.timer.as_mut().reset(now + limit);
        let (mut interim, mut unwritten) = (0, None);
        let mut asking = Asking { connection: self, answered: false };
        let answer = poll_fn(|cx| {
            let this = &mut *asking.connection;
            match this.poll_write(cx) {
                Poll::Ready(Err(error @ ExchangeError::Upload(_))) => return Poll::Ready(Some(Err(error))),
                // An endpoint may answer and close before it has read the whole request.
                Poll::Ready(Err(error)) => {
                    this.outbound.give_up();
                    unwritten = Some(error);
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            match this.poll_head(cx, head, &mut interim) {
                Poll::Ready(Err(ExchangeError::Ended | ExchangeError::Broken(_))) if unwritten.is_some() => {
                    Poll::Ready(unwritten.take().map(Err))
                }
                Poll::Ready(answered) => Poll::Ready(Some(answered)),
                Poll::Pending => this.poll_silence(cx, limit, &progress).map(|()| None),
            }
        })
        .await;
        asking.answered = matches!(answer, Some(Ok(_)));
        answer
    }

    fn poll_silence(
        &mut self,
        cx: &mut Context<'_>,
        limit: Duration,
        progress: &impl Fn() -> Option<Instant>,
    ) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            match progress().map(|last| last + limit).filter(|later| *later > self.timer.deadline()) {
                Some(later) => self.timer.as_mut().reset(later),
                None => return Poll::Ready(()),
            }
        }
    }

    /// Nobody waits for the endpoint any more. It learns so at once: the end alone may be that of who has asked, and waits.
    pub(in crate::gateway) fn abandon(&self) {
        if let Io::Whole(transport) = &self.io
            && let Err(error) = transport.tcp().set_zero_linger()
        {
            tracing::debug!(%error, "a connection is not reset");
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        match &mut self.io {
            Io::Whole(transport) if self.outbound.is_under_way() => self.outbound.poll(Pin::new(transport), cx),
            Io::Whole(_) | Io::Reading(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &OutgoingHead<'_>,
        interim: &mut usize,
    ) -> Poll<Result<Response<()>, ExchangeError>> {
        loop {
            let AnswerHead { response, length, body, keeps_alive, kept_for } = loop {
                if let Some(answer) = self.take_head(head)? {
                    break answer;
                }
                if ready!(self.poll_read(cx))? == 0 {
                    return Poll::Ready(Err(ExchangeError::Ended));
                }
            };
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS && !self.outbound.is_done() {
                return Poll::Ready(Err(ExchangeError::Garbage("the answer switches protocols within the request")));
            }
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                self.keeps_alive = keeps_alive;
                self.kept_for = kept_for;
                self.remaining = body;
                self.read = LEAST_READ;
                return Poll::Ready(Ok(response));
            }
            *interim += length;
            if *interim > MAX_INTERIM {
                return Poll::Ready(Err(ExchangeError::Garbage("the interim answers are over 64 KiB")));
            }
        }
    }

    /// Reads a head that comes in many pieces not anew for each of them, and what is none early.
    fn take_head(&mut self, head: &OutgoingHead<'_>) -> Result<Option<AnswerHead>, ExchangeError> {
        let new = self.received.get(self.seen.saturating_sub(3)..).unwrap_or_default();
        self.seen = self.received.len();
        if self.seen < self.read_again_at && !head::may_end(new) {
            return Ok(None);
        }
        let answer = head::take(&mut self.received, head.method, head.room)?;
        (self.seen, self.read_again_at) = match answer {
            Some(_) => (0, 0),
            None => (self.seen, self.seen * 2),
        };
        Ok(answer)
    }

    /// The next piece of the answer's body.
    pub(in crate::gateway) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ExchangeError>>> {
        loop {
            if let Some(data) = self.remaining.take(&mut self.received)? {
                return Poll::Ready(Some(Ok(data)));
            }
            if self.remaining.is_over() {
                return Poll::Ready(None);
            }
            if ready!(self.poll_read(cx))? == 0 {
                self.remaining.end()?;
            }
        }
    }

    /// Whether the answer has been read to its end.
    pub(in crate::gateway) fn is_over(&self) -> bool {
        self.remaining.is_over()
    }

    /// Whether it is the client that gives nothing, and not the endpoint that does not answer.
    pub(in crate::gateway) fn waits_for_client(&self) -> bool {
        self.outbound.is_under_way() && !self.outbound.waits_for_endpoint()
    }

    /// Whether all of the answer has come, as far as that is known without reading it.
    pub(in crate::gateway) fn has_come(&self) -> bool {
        self.remaining.is_within(self.received.len())
    }

    /// The rest of the answer, where all of it has come and it is short: then it has been read to its end.
    pub(in crate::gateway) fn take_short(&mut self) -> Option<Bytes> {
        let is_short = self.remaining.is_within(self.received.len().min(COPIED));
        // Of what is known to have come nothing is malformed.
        is_short.then(|| self.remaining.take(&mut self.received).ok().flatten().unwrap_or_default())
    }

    pub(in crate::gateway) fn size_hint(&self) -> SizeHint {
        self.remaining.size_hint()
    }

    /// The endpoint has answered: what is left of the request is written whether or not anybody reads the answer, as long as the
    /// endpoint takes something of it within `patience`; behind a refusal until that was read. The connection then serves no other.
    pub(in crate::gateway) fn send_on(self: Box<Self>, patience: Duration, refused: bool) -> Box<Self> {
        if !self.outbound.is_under_way() {
            return self;
        }
        let mut this = *self;
        this.keeps_alive = false;
        this.io = match this.io {
            Io::Reading(reader) => Io::Reading(reader),
            Io::Whole(transport) => {
                let (reader, writer) = split(transport);
                let task = tokio::spawn(write_on(writer, std::mem::take(&mut this.outbound), patience));
                this.rest = refused.then(|| AbortOnDropHandle::new(task));
                Io::Reading(reader)
            }
        };
        Box::new(this)
    }

    /// Whether another request may be sent after such a rest, which the endpoint may have found too long. Nothing comes in between
    /// two of them but the end.
    pub(in crate::gateway) fn is_idle(&mut self, rested: Duration, cx: &mut Context<'_>) -> bool {
        self.kept_for.is_none_or(|limit| rested < limit) && self.is_reusable() && self.poll_read(cx).is_pending()
    }

    /// The same, as far as it is known.
    pub(in crate::gateway) fn is_reusable(&self) -> bool {
        self.keeps_alive && self.is_over() && self.received.is_empty() && self.outbound.is_done()
    }

    /// The connection after a switch of protocols, and what has come by it already.
    pub(in crate::gateway) fn into_upgraded(self: Box<Self>) -> io::Result<(Transport, Bytes)> {
        match self.io {
            Io::Whole(transport) => Ok((transport, self.received.freeze())),
            Io::Reading(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.capacity() - self.received.len() < LEAST_READ {
            self.received.reserve(self.read);
        }
        let room = self.received.capacity() - self.received.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.received))?;
        if read == room {
            self.read = (self.read * 2).min(MOST_READ);
        }
        Poll::Ready(Ok(read))
    }
}

/// A request that is not answered yet.
struct Asking<'a> {
    connection: &'a mut Connection,
    answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.abandon();
        }
    }
}

async fn write_on(mut writer: WriteHalf<Transport>, mut outbound: Outbound, patience: Duration) {
    let mut stall = Stall::default();
    let written = poll_fn(|cx| {
        let before = outbound.moved();
        let polled = outbound.poll(Pin::new(&mut writer), cx);
        if outbound.moved() > before {
            stall.progressed();
        }
        if polled.is_pending() && outbound.waits_for_endpoint() {
            ready!(stall.poll_over(patience, cx));
            return Poll::Ready(Err(ExchangeError::Broken(io::ErrorKind::TimedOut.into())));
        }
        polled
    });
    if let Err(error) = written.await {
        tracing::debug!(%error, "the rest of a request that was answered early was not sent");
        // The endpoint is not to wait for it. If it does not take this either, it is told by the end of the connection.
        let _ = timeout(patience, writer.shutdown()).await;
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Whole(transport) => Pin::new(transport).poll_read(cx, buf),
            Self::Reading(reader) => Pin::new(reader).poll_read(cx, buf),
        }
    }
}
