//! Bodies pass through frame by frame; neither side is ever buffered whole.

mod begun;
mod download;
mod upload;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sap_comm_core::BoxError;

pub(super) use begun::Begun;
pub(super) use download::Download;
pub(super) use upload::{Upload, UploadBody, UploadFault};

/// The body of a request to a [`Gateway`](super::Gateway): hyper's, or axum's.
#[derive(Debug)]
pub struct RequestBody(pub(super) Inbound);

#[derive(Debug)]
pub(super) enum Inbound {
    Incoming(Incoming),
    Axum(axum::body::Body),
}

/// The body of a [`Gateway`](super::Gateway)'s response.
#[derive(Debug)]
pub struct ResponseBody(Outbound);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most answers are proxied ones")]
enum Outbound {
    Proxied(Download),
    Local(axum::body::Body),
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self(Inbound::Incoming(body))
    }
}

impl From<axum::body::Body> for RequestBody {
    fn from(body: axum::body::Body) -> Self {
        Self(Inbound::Axum(body))
    }
}

impl RequestBody {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_end_stream()
    }

    /// For a router in this process.
    pub(super) fn into_axum(self, version: Version) -> axum::body::Body {
        match self.0 {
            Inbound::Incoming(body) => crate::server::into_axum(body, version),
            Inbound::Axum(body) => body,
        }
    }
}

impl Inbound {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Axum(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Axum(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Axum(body) => body.size_hint(),
        }
    }
}

impl From<Download> for ResponseBody {
    fn from(body: Download) -> Self {
        Self(Outbound::Proxied(body))
    }
}

/// Without a byte.
impl Default for ResponseBody {
    fn default() -> Self {
        axum::body::Body::empty().into()
    }
}

impl From<axum::body::Body> for ResponseBody {
    fn from(body: axum::body::Body) -> Self {
        Self(Outbound::Local(body))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Outbound::Proxied(body) => body.poll_data(cx),
            Outbound::Local(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Outbound::Proxied(body) => body.is_end_stream(),
            Outbound::Local(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Outbound::Proxied(body) => body.size_hint(),
            Outbound::Local(body) => body.size_hint(),
        }
    }
}
