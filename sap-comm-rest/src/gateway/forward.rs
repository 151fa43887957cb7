use std::{
    future::poll_fn,
    pin::pin,
    task::{Poll, ready},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery};
use hyper::body::Incoming;
use sap_comm_core::Endpoint;
use sap_comm_discovery::{Outcome, Picked};
use tokio::time::{Instant, sleep_until};

use super::{
    body::{Upload, UploadBody},
    failure::{Failure, is_sent},
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
    pub(super) headers: HeaderMap,
    pub(super) upload: Option<Upload>,
    /// How long the endpoint may take to answer, counted from the last byte it was sent.
    pub(super) timeout: Duration,
    pub(super) upgrade: bool,
    pub(super) preserve_host: bool,
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
    pub(super) response: Response<Incoming>,
    pub(super) picked: Picked,
    pub(super) lease: Lease,
}

/// Asks one endpoint, and further ones as far as [`UpstreamRetry`](super::UpstreamRetry) allows.
pub(super) async fn forward(
    upstream: &Upstream,
    outgoing: &mut Outgoing,
    trace: &mut Trace,
) -> Result<Answer, Failure> {
    upstream.earn_retry();
    let mut retries = upstream.config.retry.max_retries;
    let mut picked = upstream.pick().await.map_err(Failure::NoEndpoint)?;
    loop {
        trace.attempts += 1;
        let keep = retries > 0 && outgoing.is_repeatable();
        let ended = attempt(upstream, picked.endpoint(), outgoing, keep).await;
        let next = if retries > 0 { another(upstream, picked.endpoint(), outgoing, &ended) } else { None };
        report(&picked, outgoing, &ended);
        match (next, ended) {
            (Some(next), ended) => {
                let because = ended.map(|(response, _)| response.status());
                tracing::debug!(first = %picked.endpoint(), next = %next.endpoint(), ?because, "asking another endpoint");
                retries -= 1;
                picked = next;
            }
            (None, Ok((response, lease))) => {
                trace.endpoint = Some(picked.endpoint().clone());
                return Ok(Answer { response, picked, lease });
            }
            (None, Err(failure)) => {
                trace.endpoint = Some(picked.endpoint().clone());
                return Err(failure);
            }
        }
    }
}

type Attempt = Result<(Response<Incoming>, Lease), Failure>;

fn report(picked: &Picked, outgoing: &Outgoing, ended: &Attempt) {
    match ended {
        Ok((response, _)) if !response.status().is_server_error() => picked.report(Outcome::Success(picked.elapsed())),
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

/// Sends the request to an endpoint. With `keep` its headers stay for another attempt.
async fn attempt(upstream: &Upstream, endpoint: &Endpoint, outgoing: &mut Outgoing, keep: bool) -> Attempt {
    let reused = poll_fn(|cx| Poll::Ready(upstream.pool.reuse(endpoint, cx))).await;
    let mut idle = reused.map_err(|error| Failure::Unsendable(error.into()))?;
    loop {
        let mut lease = match idle.take() {
            Some(lease) => lease,
            // In a box, since it is seldom, and large for what every request would carry.
            None => Box::pin(upstream.pool.connect(endpoint)).await.map_err(Failure::Connect)?,
        };
        let request = outgoing.request(&lease, keep);
        let answer = {
            let mut deadline = Instant::now() + outgoing.timeout;
            let mut timer = pin!(sleep_until(deadline));
            lease
                .send(request, |cx| {
                    loop {
                        ready!(timer.as_mut().poll(cx));
                        // A long upload is no silence of the upstream.
                        let progress = outgoing.upload.as_ref().map(|upload| upload.last_progress() + outgoing.timeout);
                        match progress.filter(|progress| *progress > deadline) {
                            Some(later) => deadline = later,
                            None => return Poll::Ready(()),
                        }
                        timer.as_mut().reset(deadline);
                    }
                })
                .await
        };
        let response = match answer {
            Some(Ok(response)) => response,
            None => return Err(Failure::Timeout(outgoing.timeout)),
            Some(Err(mut error)) => {
                if let Some(unsent) = error.take_message() {
                    // Closed by the endpoint between two requests: nothing was sent, and a new connection is sound.
                    outgoing.headers = unsent.into_parts().0.headers;
                    if lease.reused {
                        continue;
                    }
                }
                return Err(match outgoing.upload.as_ref().and_then(Upload::fault) {
                    Some(fault) => Failure::Upload(fault),
                    None => Failure::from_hyper(error.into_error()),
                });
            }
        };
        // The endpoint may close it as soon as it has answered early, so no other request should go there.
        if !is_sent(outgoing.upload.as_ref()) {
            lease.send_on();
        }
        return check(response, outgoing).map(|response| (response, lease));
    }
}

/// Refuses an answer that the client could understand in another way than the gateway did.
fn check(mut response: Response<Incoming>, outgoing: &Outgoing) -> Result<Response<Incoming>, Failure> {
    let garbage = |reason: &str| Err(Failure::Garbage(reason.into()));
    let headers = response.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    if let Some(coding) = codings.next() {
        if lengths > 0 {
            return garbage("the answer has both Content-Length and Transfer-Encoding");
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return garbage("the answer has a transfer coding other than chunked");
        }
    }
    if lengths > 1 {
        return garbage("the answer has more than one Content-Length");
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let websocket = outgoing.upgrade && upgrade::to_websocket(headers);
        if !websocket {
            return garbage("the answer switches to a protocol that was not asked for");
        }
    }
    // What hyper reads from the wire is HTTP/1; what goes to the client is the client's version.
    *response.version_mut() = Version::default();
    strip_hop_by_hop(response.headers_mut());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
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

    fn request(&mut self, lease: &Lease, keep: bool) -> Request<UploadBody> {
        let body = self.upload.as_ref().map_or_else(UploadBody::empty, Upload::body);
        let mut headers = if keep { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        if !self.preserve_host {
            headers.insert(header::HOST, lease.host().clone());
        }
        if self.upload.as_ref().is_some_and(Upload::is_chunked) {
            // Said outright, since hyper takes a GET without a length for one without a body.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        *request.headers_mut() = headers;
        request
    }
}
