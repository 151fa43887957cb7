use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
#[cfg(not(feature = "compression"))]
use http::HeaderValue;
use http::header;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Limited;
use pin_project_lite::pin_project;
use sap_comm_core::{ApiError, BoxError, ErrorCode};

use crate::stall::Stall;

/// Refuses a body that says it is over the limit, and bounds one that does not say.
pub(super) async fn bound(limit: usize, pause: Duration, request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return too_large(limit).into_response();
    }
    let request =
        request.map(|body| Body::new(Bounded { body: Limited::new(body, limit), stall: Stall::default(), pause }));
    next.run(request).await
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::PAYLOAD_TOO_LARGE, "The body is too large").detail("limit", limit)
}

/// Refuses a body that is compressed, which nobody here could read.
#[cfg(not(feature = "compression"))]
pub(super) async fn refuse_encoded(request: Request, next: Next) -> Response {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if encodings.map(HeaderValue::as_bytes).all(|encoding| encoding.eq_ignore_ascii_case(b"identity")) {
        return next.run(request).await;
    }
    let error = ApiError::new(ErrorCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed");
    ([(header::ACCEPT_ENCODING, "identity")], error).into_response()
}

/// A body paused for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body stopped arriving")]
pub(crate) struct BodyStalled;

pin_project! {
    /// A request body within its size and pace.
    struct Bounded {
        #[pin]
        body: Limited<Body>,
        stall: Stall,
        pause: Duration,
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            this.stall.progressed();
            return Poll::Ready(frame);
        }
        ready!(this.stall.poll_over(*this.pause, cx));
        Poll::Ready(Some(Err(BodyStalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
