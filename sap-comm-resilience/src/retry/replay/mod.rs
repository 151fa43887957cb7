//! Which requests may be sent again, and how.

mod body;
mod error;
mod kept;
mod layer;

pub use body::ReplayBody;
pub use error::ReplayBodyError;
use http::{Method, Request};
use http_body::Body;
pub(crate) use kept::Kept;
pub use layer::{ReplayBodyLayer, ReplayBodyService};

/// Says which requests may be sent again, and makes the copy to send.
pub trait Replay<Req> {
    /// A copy to send later; `None` if the request must not be sent twice.
    fn replay(&self, request: &Req) -> Option<Req>;

    /// A copy of a request that must not be sent twice, to send only if certainly nothing of the first one left.
    ///
    /// Asked only by a [`Retry`](crate::Retry) that knows such errors, by
    /// [`never_sent`](crate::RetryBuilder::never_sent).
    fn replay_unsent(&self, request: &Req) -> Option<Req> {
        self.replay(request)
    }

    /// Whether the copy can still be sent, now that another attempt has come to its end.
    fn is_intact(&self, _copy: &Req) -> bool {
        true
    }

    /// Whether the copy can be sent beside another attempt that is still under way, and neither spoils the other.
    fn may_race(&self, _copy: &Req) -> bool {
        true
    }

    /// The copy is about to be sent, and whatever was sent before is given up.
    fn reclaim(&self, _copy: &Req) {}
}

/// Every request may be sent again. Your word that they are all idempotent.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllIdempotent;

impl<Req: Clone> Replay<Req> for AllIdempotent {
    fn replay(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// HTTP requests that may be sent again: an idempotent method or an `Idempotency-Key`, and a body that is at hand.
///
/// That is a small body that clones, or a [`ReplayBody`] of which everything sent was kept. Any other request is sent
/// once: as soon as a byte may have left, sending it again could do its work twice. It is sent again only after an error
/// that [`never_sent`](crate::RetryBuilder::never_sent) knows.
#[derive(Debug, Clone, Copy)]
pub struct HttpReplay {
    max_body: u64,
}

impl HttpReplay {
    /// Copies bodies of at most `max_body` bytes. A [`ReplayBody`] has a bound of its own.
    #[must_use]
    pub fn new(max_body: u64) -> Self {
        Self { max_body }
    }
}

impl Default for HttpReplay {
    /// Bodies up to 64 KiB: a copy is kept for every call in flight.
    fn default() -> Self {
        Self::new(64 * 1024)
    }
}

impl<B: Body + Clone> Replay<Request<B>> for HttpReplay {
    fn replay(&self, request: &Request<B>) -> Option<Request<B>> {
        if may_repeat(request) { self.replay_unsent(request) } else { None }
    }

    fn replay_unsent(&self, request: &Request<B>) -> Option<Request<B>> {
        let small = request.body().size_hint().upper().is_some_and(|size| size <= self.max_body);
        small.then(|| request.clone())
    }
}

impl<B: Body> Replay<Request<ReplayBody<B>>> for HttpReplay {
    fn replay(&self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        if may_repeat(request) { self.replay_unsent(request) } else { None }
    }

    fn replay_unsent(&self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        let body = request.body().replay()?;
        let mut copy = Request::new(body);
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        *copy.version_mut() = request.version();
        copy.headers_mut().clone_from(request.headers());
        copy.extensions_mut().clone_from(request.extensions());
        Some(copy)
    }

    fn is_intact(&self, copy: &Request<ReplayBody<B>>) -> bool {
        copy.body().is_intact()
    }

    fn may_race(&self, copy: &Request<ReplayBody<B>>) -> bool {
        copy.body().is_whole()
    }

    fn reclaim(&self, copy: &Request<ReplayBody<B>>) {
        copy.body().reclaim();
    }
}

/// By RFC 9110, section 9.2.2, or by the word of the client.
fn may_repeat<B>(request: &Request<B>) -> bool {
    let idempotent = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE];
    idempotent.contains(request.method()) || request.headers().contains_key("idempotency-key")
}
