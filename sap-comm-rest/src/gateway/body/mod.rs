//! Bodies pass through frame by frame; neither side is ever buffered whole.

mod begun;
mod download;
mod upload;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sap_comm_core::BoxError;

use crate::server::Whole;

pub(super) use begun::Begun;
pub(super) use download::Download;
pub(super) use upload::{Upload, UploadBody, UploadFault};

/// The body of a request: of one that a server of ours has read, or of any.
#[derive(Debug)]
pub(super) enum RequestBody {
    Served(Whole),
    Axum(axum::body::Body),
}

/// The body of a [`Gateway`](super::Gateway)'s response.
pub struct ResponseBody(Outbound);

enum Outbound {
    /// Of a service, on its way. In a box, since most have come by then, and would be moved with room for it.
    Proxied(Box<Download>),
    /// Of a service, all that there is, and short.
    Come(Bytes),
    Local(axum::body::Body),
}

impl From<Whole> for RequestBody {
    fn from(body: Whole) -> Self {
        Self::Served(body)
    }
}

impl From<axum::body::Body> for RequestBody {
    fn from(body: axum::body::Body) -> Self {
        Self::Axum(body)
    }
}

impl RequestBody {
    /// For a router in this process.
    pub(super) fn into_axum(self) -> axum::body::Body {
        match self {
            Self::Served(body) => axum::body::Body::new(body),
            Self::Axum(body) => body,
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Served(body) => Pin::new(body).poll_frame(cx),
            Self::Axum(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Served(body) => body.is_end_stream(),
            Self::Axum(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Served(body) => body.size_hint(),
            Self::Axum(body) => body.size_hint(),
        }
    }
}

impl From<Download> for ResponseBody {
    fn from(body: Download) -> Self {
        Self(Outbound::Proxied(Box::new(body)))
    }
}

impl From<Bytes> for ResponseBody {
    fn from(body: Bytes) -> Self {
        Self(Outbound::Come(body))
    }
}

/// Without a byte.
impl Default for ResponseBody {
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl From<axum::body::Body> for ResponseBody {
    fn from(body: axum::body::Body) -> Self {
        Self(Outbound::Local(body))
    }
}

/// What it says is nobody else's concern.
impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Outbound::Proxied(body) => body.poll_data(cx),
            Outbound::Come(body) if body.is_empty() => Poll::Ready(None),
            Outbound::Come(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Outbound::Local(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Outbound::Proxied(body) => body.is_end_stream(),
            Outbound::Come(body) => body.is_empty(),
            Outbound::Local(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Outbound::Proxied(body) => body.size_hint(),
            Outbound::Come(body) => SizeHint::with_exact(body.len() as u64),
            Outbound::Local(body) => body.size_hint(),
        }
    }
}
