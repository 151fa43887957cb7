use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sap_comm_core::BoxError;

/// The body of a request as services of axum take it.
pub(crate) fn into_axum(body: Incoming, version: Version) -> AxumBody {
    if version == Version::HTTP_2 { AxumBody::new(Whole(body)) } else { AxumBody::new(body) }
}

/// A body of HTTP/2, whose end shows. Hyper makes an end of what is left where a client takes that back without an error
/// (`RST_STREAM` with `NO_ERROR`), and half of a document would look like all of it.
#[derive(Debug)]
struct Whole(Incoming);

impl Body for Whole {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.0).poll_frame(cx) {
            Poll::Ready(None) if !self.0.is_end_stream() => {
                Poll::Ready(Some(Err("the client took back the rest".into())))
            }
            frame => frame.map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
