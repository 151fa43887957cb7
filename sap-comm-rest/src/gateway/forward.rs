use std::{str::FromStr, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, capture_connection};
use sap_comm_core::Endpoint;
use sap_comm_discovery::{Outcome, Picked};
use tokio::time::{Instant, timeout_at};

use super::{
    body::{Upload, UploadBody},
    failure::{Failure, is_sent},
    headers::strip_hop_by_hop,
    upgrade,
    upstream::{Pool, Upstream},
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
}

/// Which endpoint was asked last, and how many were.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) attempts: u32,
}

/// Asks one endpoint, and a second one if the first cannot have acted on the request.
pub(super) async fn forward(
    pool: &Pool,
    upstream: &Upstream,
    outgoing: Outgoing,
    trace: &mut Trace,
) -> Result<(Response<Incoming>, Picked), Failure> {
    let picked = upstream.pick().await.map_err(Failure::NoEndpoint)?;
    let failure = match attempt(pool, picked.endpoint(), &outgoing, trace).await {
        Ok(response) => return Ok(settle(response, picked, &outgoing)),
        Err(failure) => failure,
    };
    if failure.blames_upstream(outgoing.upload.as_ref()) {
        picked.report(Outcome::Failure);
    }
    let Some(second) = second_chance(upstream, picked.endpoint(), &outgoing, &failure) else { return Err(failure) };
    tracing::debug!(first = %picked.endpoint(), second = %second.endpoint(), ?failure, "asking a second endpoint");
    drop(picked);
    match attempt(pool, second.endpoint(), &outgoing, trace).await {
        Ok(response) => Ok(settle(response, second, &outgoing)),
        Err(failure) => {
            if failure.blames_upstream(outgoing.upload.as_ref()) {
                second.report(Outcome::Failure);
            }
            Err(failure)
        }
    }
}

fn settle(response: Response<Incoming>, picked: Picked, outgoing: &Outgoing) -> (Response<Incoming>, Picked) {
    if !response.status().is_server_error() {
        picked.report(Outcome::Success(picked.elapsed()));
    } else if is_sent(outgoing.upload.as_ref()) {
        picked.report(Outcome::Failure);
    }
    (response, picked)
}

/// Where to ask again: elsewhere when nothing was sent, anywhere when asking twice does no harm.
fn second_chance(upstream: &Upstream, failed: &Endpoint, outgoing: &Outgoing, failure: &Failure) -> Option<Picked> {
    let other = || upstream.pick_other(failed);
    match failure {
        Failure::Connect(_) if outgoing.upload.as_ref().is_none_or(Upload::is_whole) => other(),
        // A pooled connection may have been closed just as the request was sent.
        Failure::Dropped(_) if outgoing.upload.is_none() && outgoing.method.is_idempotent() && !outgoing.upgrade => {
            other().or_else(|| upstream.pick_any())
        }
        _ => None,
    }
}

async fn attempt(
    pool: &Pool,
    endpoint: &Endpoint,
    outgoing: &Outgoing,
    trace: &mut Trace,
) -> Result<Response<Incoming>, Failure> {
    trace.attempts += 1;
    trace.endpoint = Some(endpoint.clone());
    let mut request = outgoing.request(endpoint)?;
    let connection = outgoing.upload.is_some().then(|| capture_connection(&mut request));
    let mut call = pool.request(request);
    let mut deadline = Instant::now() + outgoing.timeout;
    let answer = loop {
        match timeout_at(deadline, &mut call).await {
            Ok(answer) => break answer,
            // A long upload is no silence of the upstream.
            Err(_) => match &outgoing.upload {
                Some(upload) if upload.last_progress() + outgoing.timeout > deadline => {
                    deadline = upload.last_progress() + outgoing.timeout;
                }
                _ => return Err(Failure::Timeout(outgoing.timeout)),
            },
        }
    };
    let response = answer.map_err(|error| match outgoing.upload.as_ref().and_then(Upload::fault) {
        Some(fault) => Failure::Upload(fault),
        None => Failure::from_client(error),
    })?;
    if let Some(connection) = connection.filter(|_| outgoing.is_answered_early()) {
        // The endpoint may close it as soon as it has answered, so no other request should go there.
        connection.connection_metadata().as_ref().map(Connected::poison);
    }
    check(response, outgoing)
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
    /// Whether an answer that is there now came before the request was sent.
    fn is_answered_early(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| !upload.is_sent())
    }

    fn request(&self, endpoint: &Endpoint) -> Result<Request<UploadBody>, Failure> {
        let unsendable = |error: http::Error| Failure::Unsendable(error.into());
        let authority = Authority::from_str(endpoint.authority()).map_err(|error| unsendable(error.into()))?;
        let uri = Uri::builder()
            .scheme(Scheme::try_from(endpoint.scheme()).map_err(|error| unsendable(error.into()))?)
            .authority(authority)
            .path_and_query(self.target.clone())
            .build()
            .map_err(unsendable)?;
        let body = self.upload.as_ref().map_or_else(UploadBody::empty, Upload::body);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if self.upload.as_ref().is_some_and(Upload::is_chunked) {
            // Said outright, since hyper takes a GET without a length for one without a body.
            request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok(request)
    }
}
