//! Stacks of tower layers, seen alike whoever made them.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::util::BoxCloneSyncService;

use super::breaker::Fault;

pub(super) type HttpRequest = Request<Full<Bytes>>;
pub(super) type HttpResponse = Response<()>;

/// A service, or a stack around one.
pub(super) type HttpService = BoxCloneSyncService<HttpRequest, HttpResponse, Fault>;

/// The longest wait between the attempts of a retry.
pub(super) const DELAY: Duration = Duration::from_millis(20);
pub(super) const TIMEOUT: Duration = Duration::from_millis(50);
/// After this a hedge is sent.
pub(super) const HEDGE: Duration = Duration::from_millis(30);

/// A stack, from the outside in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stack {
    /// Retries `retries` times around a breaker that opens after `failures` in a row.
    RetryOverBreaker {
        retries: u32,
        failures: u32,
    },
    BreakerOverRetry {
        failures: u32,
        retries: u32,
    },
    /// Retries what may be sent again, no body over 64 KiB; waits as the server asks.
    HttpRetry {
        retries: u32,
    },
    BreakerOverTimeout {
        failures: u32,
    },
    /// One call at once, and no queue.
    Bulkhead,
    Timeout,
    Breaker,
    /// Hedges what may be sent again, one call in ten.
    Hedge,
}

/// A budget of retries.
pub(super) trait Budget: Send + Sync {
    /// Pays in for a call.
    fn deposit(&self);
    /// Takes a retry out.
    fn withdraw(&self) -> bool;
}

pub(super) fn get() -> HttpRequest {
    Request::new(Full::new(Bytes::new()))
}

/// Whether RFC 9110 or the caller lets it be sent twice, and it is small enough to be kept.
pub(super) fn may_be_sent_again(request: &HttpRequest) -> bool {
    use http_body::Body;
    let small = request.body().size_hint().upper().is_some_and(|size| size <= 64 * 1024);
    (request.method().is_idempotent() || request.headers().contains_key("idempotency-key")) && small
}
