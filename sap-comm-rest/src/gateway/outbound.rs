use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sap_comm_core::{Context, Name, header};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
const CORRELATION_ID: HeaderName = HeaderName::from_static(header::CORRELATION_ID);
const TRACEPARENT: HeaderName = HeaderName::from_static(header::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(header::TRACESTATE);
const API_KEY: HeaderName = HeaderName::from_static(header::API_KEY);

/// Writes the context in place of whatever the client sent. The principal and the deadline go along with the gateway's
/// key only, since a service believes them only from a peer that it knows.
pub(super) fn write_context(
    headers: &mut HeaderMap,
    context: &Context,
    request_id: &HeaderValue,
    api_key: Option<&HeaderValue>,
) {
    headers.insert(REQUEST_ID, request_id.clone());
    if context.correlation_id() == context.request_id() {
        headers.insert(CORRELATION_ID, request_id.clone());
    } else {
        insert(headers, CORRELATION_ID, context.correlation_id().as_bytes());
    }
    insert(headers, TRACEPARENT, context.trace().traceparent());
    match context.trace().tracestate() {
        Some(state) => insert(headers, TRACESTATE, state.as_bytes()),
        None => drop(headers.remove(TRACESTATE)),
    }
    let Some(key) = api_key else { return };
    context.inject(|name, value| {
        if header::TRUSTED_ONLY.contains(&name)
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.insert(name, value);
        }
    });
    headers.insert(API_KEY, key.clone());
}

/// Ids are visible ASCII, and what is not was never taken over.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: impl TryInto<HeaderValue>) {
    match value.try_into() {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
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
