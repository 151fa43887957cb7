use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sap_comm_core::{Context, Name, TraceContext, header};

use super::headers::lines_of;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
pub(super) const PRINCIPAL: HeaderName = HeaderName::from_static(header::PRINCIPAL);

/// What clients tell of a context.
static OF_CONTEXT: [HeaderName; 4] = [
    REQUEST_ID,
    HeaderName::from_static(header::CORRELATION_ID),
    HeaderName::from_static(header::TRACEPARENT),
    HeaderName::from_static(header::TRACESTATE),
];

/// The context that a client tells of, or one of its own.
pub(super) fn read_context(headers: &HeaderMap) -> Context {
    let told = lines_of(headers, OF_CONTEXT.each_ref());
    if told.iter().any(|lines| lines.count > 1) {
        return Context::from_headers(headers);
    }
    Context::extract(|name| {
        let (_, lines) = OF_CONTEXT.iter().zip(told).find(|(known, _)| *known == name)?;
        lines.first.and_then(|value| value.to_str().ok())
    })
}

/// Tells a service of the context, within this span of its trace.
pub(super) fn tell_context(
    context: &Context,
    trace: &TraceContext,
    request_id: &HeaderValue,
    mut tell: impl FnMut(&str, &[u8]),
) {
    tell(header::REQUEST_ID, request_id.as_bytes());
    tell(header::CORRELATION_ID, context.correlation_id().as_bytes());
    tell(header::TRACEPARENT, &trace.traceparent_bytes());
    if let Some(state) = trace.tracestate() {
        tell(header::TRACESTATE, state.as_bytes());
    }
}

/// What a service that knows the gateway is told of whom it asks for, which it believes only from a peer that it knows. Where that is
/// nobody it is told so, or would take the gateway itself for the user.
pub(super) fn said_principal(context: &Context) -> Cow<'static, str> {
    context.principal_header().unwrap_or(header::NOBODY.into())
}

/// An id as the owner of a header's value.
struct Id(Name);

impl AsRef<[u8]> for Id {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The id of the request as the value of a header, that of the client's own where it was taken over.
pub(super) fn request_id(headers: &HeaderMap, context: &Context) -> HeaderValue {
    match headers.get(REQUEST_ID) {
        Some(own) if own.as_bytes() == context.request_id().as_bytes() => own.clone(),
        // An id of ours is visible ASCII. It goes into several headers, so its owner is shared from the beginning.
        _ => HeaderValue::from_maybe_shared(Bytes::from_owner(Id(context.request_id().into())))
            .unwrap_or(HeaderValue::from_static("unknown")),
    }
}
