use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::ReplayBodyError;

/// A body that can be sent again, though the one that it wraps can be read only once.
///
/// It streams: what the wrapped body gives goes out at once, and is kept beside, up to a bound, while a copy waits to be
/// sent. A copy begins with what was kept and goes on with what is still to come, even while another one is read.
/// `Bytes` are not copied, only counted. Past the bound what was kept is let go, and the call goes on without a copy.
///
/// The idea is that of linkerd2-proxy's `ReplayBody`.
pub struct ReplayBody<B: Body> {
    source: Arc<Mutex<Source<B>>>,
    /// Which copy this is.
    number: u64,
    /// Frames that this copy has given.
    read: usize,
}

/// What a copy has read that was told the error of the body: it has nothing more to come.
const TOLD: usize = usize::MAX;

/// What the copies of a body share. Nobody else's code runs under its lock: neither the body's nor a waker's.
struct Source<B: Body> {
    body: Inner<B>,
    /// What the body said of itself when it was last polled.
    end: bool,
    hint: SizeHint,
    kept: Vec<Part>,
    kept_bytes: u64,
    max_body: u64,
    /// Frames that the body has given.
    given: usize,
    /// The beginning is not kept.
    lost: bool,
    copies: u64,
    /// Copies before this one were given up.
    valid_from: u64,
    /// Of the copies that wait for the body.
    waiting: Vec<(u64, Waker)>,
}

enum Inner<B> {
    Here(Pin<Box<B>>),
    /// One of the copies polls it.
    Polled,
    Ended,
    /// It failed or panicked: whoever has not read all of it never will.
    Failed,
}

#[derive(Clone)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl<B: Body> ReplayBody<B> {
    /// Keeps up to `max_body` bytes of `body` while a copy waits, trailers included, in up to 64 frames and one more for
    /// every 64 bytes.
    #[must_use]
    pub fn new(body: B, max_body: u64) -> Self {
        let (end, hint) = (body.is_end_stream(), body.size_hint());
        let source = Source {
            lost: hint.lower() > max_body,
            body: Inner::Here(Box::pin(body)),
            end,
            hint,
            kept: Vec::new(),
            kept_bytes: 0,
            max_body,
            given: 0,
            copies: 0,
            valid_from: 0,
            waiting: Vec::new(),
        };
        Self { source: Arc::new(Mutex::new(source)), number: 0, read: 0 }
    }

    /// Another copy, which begins at the beginning; `None` when that is not kept.
    #[must_use]
    pub fn replay(&self) -> Option<Self> {
        let mut source = self.source.lock();
        if source.lost {
            return None;
        }
        source.copies += 1;
        let number = source.copies;
        Some(Self { source: Arc::clone(&self.source), number, read: 0 })
    }

    /// Whether everything that was sent is kept.
    pub(super) fn is_intact(&self) -> bool {
        !self.source.lock().lost
    }

    /// Whether all of the body is kept: it came to its end within the bound.
    pub(super) fn is_whole(&self) -> bool {
        let source = self.source.lock();
        !source.lost && source.is_over()
    }

    /// Ends the copies made before this one, wherever they are still being sent.
    pub(super) fn reclaim(&self) {
        let waiting = {
            let mut source = self.source.lock();
            source.valid_from = source.valid_from.max(self.number);
            std::mem::take(&mut source.waiting)
        };
        wake(waiting);
    }

    /// The body, if this copy has to ask it for its next frame.
    fn turn(&self, cx: &Context<'_>) -> Turn<B> {
        let mut waker = None;
        loop {
            let mut source = self.source.lock();
            if self.number < source.valid_from {
                return Turn::Over(Some(Err(ReplayBodyError::GivenUp)));
            }
            if self.read == TOLD {
                return Turn::Over(None);
            }
            if self.read < source.given {
                let part = source.kept.get(self.read).cloned().ok_or(ReplayBodyError::Lost);
                return Turn::Over(Some(part));
            }
            match (std::mem::replace(&mut source.body, Inner::Polled), waker.take()) {
                (Inner::Here(body), _) => return Turn::Mine(body),
                (Inner::Ended, _) => {
                    source.body = Inner::Ended;
                    return Turn::Over(None);
                }
                (Inner::Failed, _) => {
                    source.body = Inner::Failed;
                    return Turn::Over(Some(Err(ReplayBodyError::Lost)));
                }
                (Inner::Polled, Some(waker)) => {
                    let old = source.wait(self.number, waker);
                    drop(source);
                    drop(old);
                    return Turn::Wait;
                }
                (Inner::Polled, None) => {
                    drop(source);
                    waker = Some(cx.waker().clone());
                }
            }
        }
    }
}

/// What a copy that wants its next frame has to do.
enum Turn<B: Body> {
    /// Poll the body, and give it back.
    Mine(Pin<Box<B>>),
    /// Another copy polls it, and wakes this one.
    Wait,
    /// Take this.
    Over(Option<Result<Part, ReplayBodyError<B::Error>>>),
}

/// Polls the body, with no lock held.
fn poll_body<B: Body>(body: &mut Pin<Box<B>>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, B::Error>>> {
    loop {
        return match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => match Part::of(frame) {
                // Nothing to send, and keeping it would count for nothing against the bound.
                Part::Data(data) if data.is_empty() => continue,
                part => Poll::Ready(Some(Ok(part))),
            },
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        };
    }
}

/// Ends the body for all its copies, should it panic while one of them polls it.
struct Polling<'a, B: Body> {
    source: &'a Mutex<Source<B>>,
    done: bool,
}

impl<B: Body> Drop for Polling<'_, B> {
    fn drop(&mut self) {
        if !self.done {
            let (kept, waiting) = {
                let mut source = self.source.lock();
                (source.body, source.end) = (Inner::Failed, false);
                (source.lose(), std::mem::take(&mut source.waiting))
            };
            drop(kept);
            wake(waiting);
        }
    }
}

impl<B: Body> Source<B> {
    fn is_over(&self) -> bool {
        self.end || matches!(self.body, Inner::Ended)
    }

    /// Keeps a part for the other copies, or nothing from here on; returns what is let go.
    fn keep(&mut self, part: &Part, keep: bool) -> Vec<Part> {
        self.given += 1;
        let bytes = self.kept_bytes.saturating_add(part.len());
        if self.lost || !keep || bytes > self.max_body || self.kept.len() >= self.max_frames() {
            return self.lose();
        }
        self.kept_bytes = bytes;
        self.kept.push(part.clone());
        Vec::new()
    }

    /// A frame costs memory besides its bytes, so that a body in crumbs is kept less far.
    fn max_frames(&self) -> usize {
        usize::try_from(self.max_body / 64).unwrap_or(usize::MAX).saturating_add(64)
    }

    fn lose(&mut self) -> Vec<Part> {
        self.lost = true;
        self.kept_bytes = 0;
        std::mem::take(&mut self.kept)
    }

    /// Remembers whom to wake; returns the waker that this one replaces.
    fn wait(&mut self, number: u64, waker: Waker) -> Option<Waker> {
        match self.waiting.iter_mut().find(|(waiting, _)| *waiting == number) {
            Some((_, old)) => Some(std::mem::replace(old, waker)),
            None => {
                self.waiting.push((number, waker));
                None
            }
        }
    }
}

impl Part {
    /// A frame of neither kind, which no version of HTTP has yet, is empty data.
    fn of<D: Buf>(frame: Frame<D>) -> Self {
        match frame.into_data() {
            Ok(mut data) => Self::Data(data.copy_to_bytes(data.remaining())),
            Err(frame) => frame.into_trailers().map_or_else(|_| Self::Data(Bytes::new()), Self::Trailers),
        }
    }

    fn data_len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }

    /// What it costs to keep it.
    fn len(&self) -> u64 {
        match self {
            Self::Data(_) => self.data_len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
            }
        }
    }
}

impl<B: Body> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = ReplayBodyError<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match self.turn(cx) {
            Turn::Over(next) => next,
            Turn::Wait => return Poll::Pending,
            Turn::Mine(body) => ready!(self.ask(body, cx)),
        };
        if let Some(Err(ReplayBodyError::Body(_))) = next {
            self.read = TOLD;
        }
        let Some(part) = next.transpose()? else { return Poll::Ready(None) };
        self.read += 1;
        Poll::Ready(Some(Ok(match part {
            Part::Data(data) => Frame::data(data),
            Part::Trailers(trailers) => Frame::trailers(trailers),
        })))
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.lock();
        let all_read = self.read == source.given && self.number >= source.valid_from;
        all_read && source.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.lock();
        let to_come = match source.body {
            Inner::Ended | Inner::Failed => SizeHint::with_exact(0),
            _ => source.hint,
        };
        let kept: u64 = source.kept.iter().skip(self.read).map(Part::data_len).sum();
        let mut hint = SizeHint::new();
        if let Some(upper) = to_come.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint.set_lower(to_come.lower().saturating_add(kept));
        hint
    }
}

impl<B: Body> ReplayBody<B> {
    /// Asks the body for its next frame, and gives the body back.
    fn ask(
        &self,
        mut body: Pin<Box<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, ReplayBodyError<B::Error>>>> {
        // Nobody else is left who could ask for it again.
        let keep = Arc::strong_count(&self.source) > 1;
        let mut polling = Polling { source: &*self.source, done: false };
        let polled = poll_body(&mut body, cx);
        let (end, hint) = (body.is_end_stream(), body.size_hint());
        let waker = polled.is_pending().then(|| cx.waker().clone());
        polling.done = true;
        let mut source = self.source.lock();
        (source.end, source.hint) = (end && !matches!(polled, Poll::Ready(Some(Err(_)))), hint);
        let mut over = None;
        let let_go = match &polled {
            Poll::Ready(Some(Ok(part))) => source.keep(part, keep),
            Poll::Ready(Some(Err(_))) => source.lose(),
            Poll::Ready(None) | Poll::Pending => Vec::new(),
        };
        source.body = match &polled {
            Poll::Ready(Some(Ok(_))) | Poll::Pending => Inner::Here(body),
            Poll::Ready(last) => {
                over = Some(body);
                if last.is_none() { Inner::Ended } else { Inner::Failed }
            }
        };
        let old = waker.and_then(|waker| source.wait(self.number, waker));
        let waiting = if polled.is_ready() { std::mem::take(&mut source.waiting) } else { Vec::new() };
        drop(source);
        drop((let_go, over, old));
        wake(waiting);
        polled.map(|next| next.map(|next| next.map_err(ReplayBodyError::Body)))
    }
}

impl<B: Body> Drop for ReplayBody<B> {
    /// The body wakes only who asked last: if that was this copy, the others have to ask again.
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.source.lock().waiting);
        let (own, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(number, _)| *number == self.number);
        drop(own);
        wake(others);
    }
}

/// Never under the lock: a waker is somebody else's code.
fn wake(waiting: impl IntoIterator<Item = (u64, Waker)>) {
    waiting.into_iter().for_each(|(_, waker)| waker.wake());
}

impl<B: Body> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("number", &self.number).field("read", &self.read).finish_non_exhaustive()
    }
}
