use std::{
    fmt,
    task::{Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use sap_comm_core::{ApiError, Endpoint, ErrorEnvelope, Timestamp};
use sap_comm_discovery::Picked;
use sap_comm_resilience::parse_retry_after;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::ClientError;
use crate::stall::Stall;

/// The most that is read of an error.
const MAX_ERROR: usize = 64 * 1024;

/// A service's response, its status no error.
pub struct Response {
    head: http::response::Parts,
    body: Body,
    service: String,
    endpoint: Endpoint,
    limit: usize,
    deadline: Instant,
    stream_idle: Duration,
    picked: Option<Picked>,
}

impl Response {
    pub(super) fn new(
        response: http::Response<Incoming>,
        service: &str,
        endpoint: Endpoint,
        limit: usize,
        deadline: Instant,
        stream_idle: Duration,
    ) -> Self {
        let (head, body) = response.into_parts();
        let service = service.to_owned();
        Self { head, body: Body::new(body), service, endpoint, limit, deadline, stream_idle, picked: None }
    }

    pub(super) fn from(mut self, picked: Picked) -> Self {
        self.picked = Some(picked);
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The instance that answered.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Reads the whole body, up to the limit of the client and the deadline of the call.
    ///
    /// # Errors
    /// When it is over the limit, the connection breaks, or the deadline passes.
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        let Self { body, service, endpoint, limit, deadline, picked, .. } = self;
        let read = timeout_at(deadline, Limited::new(body, limit).collect()).await;
        drop(picked);
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ClientError::TooLarge { service, limit }),
            Ok(Err(source)) => Err(ClientError::Broken { endpoint, source }),
            Err(elapsed) => Err(ClientError::Broken { endpoint, source: elapsed.into() }),
        }
    }

    /// Reads the body as JSON; an empty one as `null`.
    ///
    /// # Errors
    /// As [`Response::bytes`], and when it is not the JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let (service, status) = (self.service.clone(), self.status());
        let bytes = self.bytes().await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let mut parser = serde_json::Deserializer::from_slice(text);
        let parsed = serde_path_to_error::deserialize(&mut parser);
        let failed = |source| ClientError::Decode { service, status, source };
        match parsed {
            Ok(value) => parser.end().map(|()| value).map_err(|error| failed(error.into())),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The body as it arrives, without a limit to its size or time. The call counts as in flight until it is dropped or
    /// over.
    ///
    /// It ends behind its first error: the connection broke, or the peer sent nothing for
    /// [`stream_idle`](super::ClientConfig::stream_idle) while somebody waited ([`ClientError::Stalled`]).
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send {
        let Self { body, endpoint, picked, stream_idle, .. } = self;
        let mut open = Some((body.into_data_stream(), picked));
        let mut stall = Stall::default();
        stream::poll_fn(move |cx| {
            let Some((body, _in_flight)) = &mut open else { return Poll::Ready(None) };
            let piece = match body.poll_next_unpin(cx) {
                Poll::Ready(piece) => {
                    stall.progressed();
                    let broken =
                        |error: axum::Error| ClientError::Broken { endpoint: endpoint.clone(), source: error.into() };
                    piece.map(|piece| piece.map_err(broken))
                }
                Poll::Pending => {
                    ready!(stall.poll_over(stream_idle, cx));
                    Some(Err(ClientError::Stalled { endpoint: endpoint.clone(), after: stream_idle }))
                }
            };
            if !matches!(piece, Some(Ok(_))) {
                open = None;
            }
            Poll::Ready(piece)
        })
    }

    /// The same response with its body read.
    pub(super) async fn into_whole(self) -> Result<Self, ClientError> {
        let (head, service, endpoint) = (self.head.clone(), self.service.clone(), self.endpoint.clone());
        let (limit, deadline, stream_idle) = (self.limit, self.deadline, self.stream_idle);
        let body = Body::from(self.bytes().await?);
        Ok(Self { head, body, service, endpoint, limit, deadline, stream_idle, picked: None })
    }
}

/// The error that a response is: its envelope, or what its status stands for.
pub(super) async fn error(mut response: Response) -> ApiError {
    response.limit = MAX_ERROR;
    let status = response.status();
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| parse_retry_after(text, Timestamp::now()));
    let error = match response.json::<ErrorEnvelope>().await {
        Ok(envelope) => ApiError::from_envelope(envelope, status),
        Err(reason) => ApiError::from_status(status).caused_by(reason),
    };
    match after {
        Some(after) => error.retry_after(after),
        None => error,
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
