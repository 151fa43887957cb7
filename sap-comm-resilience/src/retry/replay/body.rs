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

/// What the copies of a body share.
struct Source<B: Body> {
    /// `None` once it ended or failed.
    body: Option<Pin<Box<B>>>,
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

#[derive(Clone)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl<B: Body> ReplayBody<B> {
    /// Keeps up to `max_body` bytes of `body` while a copy waits, in up to 64 frames and one more for every 64 bytes.
    #[must_use]
    pub fn new(body: B, max_body: u64) -> Self {
        let source = Source {
            lost: body.size_hint().lower() > max_body,
            body: Some(Box::pin(body)),
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
        !source.lost && source.body.as_ref().is_none_or(|body| body.is_end_stream())
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
}

impl<B: Body> Source<B> {
    /// The next frame for a copy that has read so many.
    fn next(
        &mut self,
        number: u64,
        read: usize,
        keep: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, ReplayBodyError<B::Error>>>> {
        if number < self.valid_from {
            return Poll::Ready(Some(Err(ReplayBodyError::GivenUp)));
        }
        if read < self.given {
            let part = self.kept.get(read).cloned().ok_or(ReplayBodyError::Lost);
            return Poll::Ready(Some(part));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        self.waiting.retain(|(waiting, _)| *waiting != number);
        let part = loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => {
                    self.waiting.push((number, cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match Part::of(frame) {
                    // Nothing to send, and keeping it would count for nothing against the bound.
                    Part::Data(data) if data.is_empty() => {}
                    part => break part,
                },
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    self.lose();
                    return Poll::Ready(Some(Err(ReplayBodyError::Body(error))));
                }
                Poll::Ready(None) => {
                    self.body = None;
                    return Poll::Ready(None);
                }
            }
        };
        self.given += 1;
        self.keep(&part, keep);
        Poll::Ready(Some(Ok(part)))
    }

    fn keep(&mut self, part: &Part, keep: bool) {
        let bytes = self.kept_bytes.saturating_add(part.len());
        if self.lost || !keep || bytes > self.max_body || self.kept.len() >= self.max_frames() {
            self.lose();
        } else {
            self.kept_bytes = bytes;
            self.kept.push(part.clone());
        }
    }

    /// A frame costs memory besides its bytes, so that a body in crumbs is kept less far.
    fn max_frames(&self) -> usize {
        usize::try_from(self.max_body / 64).unwrap_or(usize::MAX).saturating_add(64)
    }

    fn lose(&mut self) {
        self.lost = true;
        self.kept = Vec::new();
        self.kept_bytes = 0;
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

    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

impl<B: Body> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = ReplayBodyError<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // Nobody else is left who could ask for it again.
        let keep = Arc::strong_count(&self.source) > 1;
        let (next, waiting) = {
            let mut source = self.source.lock();
            let next = ready!(source.next(self.number, self.read, keep, cx));
            (next, std::mem::take(&mut source.waiting))
        };
        wake(waiting);
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
        all_read && source.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.lock();
        let to_come = source.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint());
        let kept: u64 = source.kept.iter().skip(self.read).map(Part::len).sum();
        let mut hint = SizeHint::new();
        if let Some(upper) = to_come.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint.set_lower(to_come.lower().saturating_add(kept));
        hint
    }
}

impl<B: Body> Drop for ReplayBody<B> {
    /// The body wakes only who asked last: if that was this copy, the others have to ask again.
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.source.lock().waiting);
        wake(waiting.into_iter().filter(|(number, _)| *number != self.number));
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
