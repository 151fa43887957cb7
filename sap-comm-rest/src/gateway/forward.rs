use std::{borrow::Cow, future::poll_fn, task::Poll, time::Duration};

use http::{HeaderMap, Method, Response, StatusCode, header, uri::PathAndQuery};
use sap_comm_core::Endpoint;
use sap_comm_discovery::{Outcome, Picked};
use tokio::time::Instant;

use super::{
    body::{Upload, UploadFault},
    exchange::{Allotted, HeaderLines, OutgoingHead},
    failure::{Failure, is_failure, is_sent},
    headers::strip_hop_by_hop,
    pool::Lease,
    upgrade,
    upstream::Upstream,
};

/// A request, ready for whichever endpoint it goes to.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    /// What the client says.
    pub(super) headers: HeaderMap,
    /// What the gateway says.
    pub(super) own: HeaderLines,
    pub(super) as_peer: Option<AsPeer>,
    pub(super) upload: Option<Upload>,
    /// How long the endpoint may take to answer, counted from the last byte it was sent.
    pub(super) timeout: Duration,
    pub(super) upgrade: bool,
    pub(super) preserve_host: bool,
    /// How many headers the gateway adds to the answer.
    pub(super) room: usize,
}

/// What only a peer says, since it is believed.
#[derive(Debug)]
pub(super) struct AsPeer {
    /// Whom the gateway asks for; `None` where that is nobody, or the client says it.
    pub(super) principal: Option<Cow<'static, str>>,
    pub(super) share: Share,
    /// Whether it is a certificate that makes a peer of it: over TLS.
    pub(super) by_certificate: bool,
}

/// What the attempts of a request have of its caller's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// The number of the first attempt.
    pub(super) attempt: u32,
    pub(super) deadline: Option<Instant>,
}

impl Share {
    /// What the attempt of this number, counted from 1, has from `now` on.
    fn of(self, number: u32, now: Instant, limit: Duration) -> Allotted {
        let left = self.deadline.map_or(limit, |deadline| deadline.saturating_duration_since(now).min(limit));
        Allotted { attempt: self.attempt.saturating_add(number.saturating_sub(1)), timeout: left }
    }
}

/// Which endpoint was asked last, and how many were.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) attempts: u32,
}

/// What an endpoint said, and what its answer holds on to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<()>,
    pub(super) picked: Picked,
    pub(super) lease: Lease,
}

/// Asks one endpoint, and further ones as far as [`UpstreamRetry`](super::UpstreamRetry) allows.
pub(super) async fn forward(upstream: &Upstream, outgoing: &Outgoing, trace: &mut Trace) -> Result<Answer, Failure> {
    upstream.earn_retry();
    let mut retries = upstream.config.retry.max_retries;
    let mut picked = upstream.pick().await.map_err(Failure::NoEndpoint)?;
    // All attempts share the time that one may take; who was not reached took none of it.
    let (mut begun, mut limit) = (picked.since(), outgoing.timeout);
    loop {
        trace.attempts += 1;
        let is_short = limit < outgoing.timeout;
        let ended = attempt(upstream, &picked, outgoing, trace.attempts, limit).await;
        let next = match &ended {
            Ok((response, _)) if !is_unavailable(response.status()) => None,
            _ if retries == 0 => None,
            ended => {
                if matches!(ended, Err(Failure::Connect(_))) {
                    begun = Instant::now();
                }
                let progress = outgoing.upload.as_ref().map(Upload::last_progress);
                let since = progress.map_or(begun, |progress| progress.max(begun));
                limit = outgoing.timeout.saturating_sub(since.elapsed());
                if limit.is_zero() { None } else { another(upstream, picked.endpoint(), outgoing, ended) }
            }
        };
        // Who had only a rest of the time is not to blame for its end.
        if !(is_short && matches!(ended, Err(Failure::Timeout(_)))) {
            report(&picked, outgoing, &ended);
        }
        match (next, ended) {
            (Some(next), ended) => {
                let because = ended.map(|(response, _)| response.status());
                tracing::debug!(first = %picked.endpoint(), next = %next.endpoint(), ?because, "asking another endpoint");
                retries -= 1;
                picked = next;
            }
            (None, Ok((response, lease))) => {
                trace.endpoint = Some(picked.endpoint().clone());
                // The endpoint may have answered before it had the whole request.
                let refused = response.status().is_client_error() || response.status().is_server_error();
                let lease = lease.send_on(outgoing.timeout, refused);
                return Ok(Answer { response, picked, lease });
            }
            (None, Err(failure)) => {
                trace.endpoint = Some(picked.endpoint().clone());
                return Err(failure);
            }
        }
    }
}

type Attempt = Result<(Response<()>, Lease), Failure>;

/// How an attempt ended, unless that shows later: with the end of the answer.
fn report(picked: &Picked, outgoing: &Outgoing, ended: &Attempt) {
    match ended {
        Ok((response, _)) if !is_failure(response.status()) => {}
        Ok(_) if is_sent(outgoing.upload.as_ref()) => picked.report(Outcome::Failure),
        Err(failure) if failure.blames_upstream(outgoing.upload.as_ref()) => picked.report(Outcome::Failure),
        _ => {}
    }
}

/// Where to ask again: elsewhere when nothing was sent, anywhere when asking twice does no harm.
fn another(upstream: &Upstream, failed: &Endpoint, outgoing: &Outgoing, ended: &Attempt) -> Option<Picked> {
    let other = || upstream.pick_other(failed);
    let next = match ended {
        Err(Failure::Connect(_)) if outgoing.is_whole() => other(),
        // A pooled connection may have been closed just as the request was sent.
        Err(Failure::Dropped(_)) if outgoing.is_repeatable() => other().or_else(|| upstream.pick_any()),
        Ok((response, _)) if is_unavailable(response.status()) && outgoing.is_repeatable() => other(),
        _ => None,
    };
    next.filter(|_| upstream.spend_retry())
}

fn is_unavailable(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Sends the request to an endpoint for the `number`th time; it answers within `limit`.
async fn attempt(upstream: &Upstream, picked: &Picked, outgoing: &Outgoing, number: u32, limit: Duration) -> Attempt {
    // Nothing is waited for between the choice and this.
    let (endpoint, now) = (picked.endpoint(), picked.since());
    let reused = poll_fn(|cx| Poll::Ready(upstream.pool.reuse(endpoint, now, cx))).await;
    let (mut lease, now) = match reused.map_err(|error| Failure::Unsendable(error.into()))? {
        Some(lease) => (lease, now),
        // In a box, since it is seldom, and large for what every request would carry.
        None => {
            let lease = Box::pin(upstream.pool.connect(endpoint)).await.map_err(Failure::Connect)?;
            (lease, Instant::now())
        }
    };
    let host = lease.host();
    let as_peer = outgoing.as_peer.as_ref().filter(|peer| !peer.by_certificate || endpoint.scheme() == "https");
    let own_host = outgoing.preserve_host && outgoing.headers.contains_key(header::HOST);
    let head = OutgoingHead {
        method: &outgoing.method,
        target: &outgoing.target,
        headers: &outgoing.headers,
        own: &outgoing.own,
        principal: as_peer.and_then(|peer| peer.principal.as_deref()),
        allotted: as_peer.map(|peer| peer.share.of(number, now, limit)),
        host: (!own_host).then_some(&host),
        room: outgoing.room,
    };
    let body = outgoing.upload.as_ref().map(Upload::body);
    // A long upload is no silence of the upstream.
    let progress = || outgoing.upload.as_ref().map(Upload::last_progress);
    let answer = lease.send(&head, body, now, limit, progress).await;
    match answer {
        None if lease.waits_for_client() => Err(Failure::Upload(UploadFault::Stalled)),
        None => Err(Failure::Timeout(outgoing.timeout)),
        Some(Err(error)) => Err(match outgoing.upload.as_ref().and_then(Upload::fault) {
            Some(fault) => Failure::Upload(fault),
            None => error.into(),
        }),
        Some(Ok(response)) => Ok((check(response, outgoing)?, lease)),
    }
}

/// Refuses an answer that the client could understand in another way than the gateway did.
fn check(mut response: Response<()>, outgoing: &Outgoing) -> Result<Response<()>, Failure> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !(outgoing.upgrade && upgrade::to_websocket(response.headers())) {
        return Err(Failure::Garbage("the answer switches to a protocol that was not asked for".into()));
    }
    strip_hop_by_hop(response.headers_mut());
    if switches {
        upgrade::ask(response.headers_mut());
    }
    Ok(response)
}

impl Outgoing {
    fn is_whole(&self) -> bool {
        self.upload.as_ref().is_none_or(Upload::is_whole)
    }

    /// Whether it does no harm to send it twice, and it can be sent again.
    fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() && !self.upgrade && self.is_whole()
    }
}
