use http::{Method, Request};
use http_body::Body;

/// Says which requests may be sent again, and makes the copy to send.
pub trait Replay<Req> {
    /// A copy to send later; `None` if the request must not be sent twice.
    fn replay(&self, request: &Req) -> Option<Req>;
}

/// Every request may be sent again. Your word that they are all idempotent.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllIdempotent;

impl<Req: Clone> Replay<Req> for AllIdempotent {
    fn replay(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// HTTP requests that may be sent again: an idempotent method or an `Idempotency-Key`, and a small body that clones.
#[derive(Debug, Clone, Copy)]
pub struct HttpReplay {
    max_body: u64,
}

impl HttpReplay {
    /// Copies bodies of at most `max_body` bytes.
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
        let idempotent = is_idempotent(request.method()) || request.headers().contains_key("idempotency-key");
        let small = request.body().size_hint().upper().is_some_and(|size| size <= self.max_body);
        (idempotent && small).then(|| request.clone())
    }
}

/// By RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}
