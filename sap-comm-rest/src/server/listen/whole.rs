use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sap_comm_core::BoxError;

/// The body of a request, which ends where its client ends it. Of one on HTTP/2 whose rest is taken back without an error (`RST_STREAM` with
/// `NO_ERROR`) hyper makes an end, and half of a document would look like all of it.
#[derive(Debug)]
pub(crate) struct Whole {
    body: Incoming,
    /// Whether its end shows.
    is_http2: bool,
}

impl Whole {
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let is_http2 = request.version() == Version::HTTP_2;
        request.map(|body| Self { body, is_http2 })
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(None) if self.is_http2 && !self.body.is_end_stream() => {
                Poll::Ready(Some(Err("the client took back the rest".into())))
            }
            frame => frame.map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
