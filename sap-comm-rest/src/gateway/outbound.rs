use http::{HeaderMap, HeaderName, HeaderValue};
use sap_comm_core::{Context, header};

const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
const CORRELATION_ID: HeaderName = HeaderName::from_static(header::CORRELATION_ID);
const TRACEPARENT: HeaderName = HeaderName::from_static(header::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(header::TRACESTATE);
const API_KEY: HeaderName = HeaderName::from_static(header::API_KEY);

/// Writes the context in place of whatever the client sent. The principal and the deadline go along with the gateway's
/// key only, since a service believes them only from a peer that it knows.
pub(super) fn write_context(headers: &mut HeaderMap, context: &Context, api_key: Option<&HeaderValue>) {
    for name in [REQUEST_ID, CORRELATION_ID, TRACEPARENT, TRACESTATE] {
        headers.remove(name);
    }
    context.inject(|name, value| {
        if api_key.is_none() && header::TRUSTED_ONLY.contains(&name) {
            return;
        }
        // Ids are visible ASCII, and what is not was never taken over.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    });
    if let Some(key) = api_key {
        headers.insert(API_KEY, key.clone());
    }
}
