//! Our trace context and OpenTelemetry's, from one to the other.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use sap_comm_core::{Context, TraceContext, header};

use crate::message::Message;

/// What a span begins under: the one that is active in this task, else `ours`.
pub(super) fn parent(ours: Option<&TraceContext>) -> opentelemetry::Context {
    let active = opentelemetry::Context::current();
    if active.span().span_context().is_valid() {
        return active;
    }
    match ours.and_then(span_context) {
        Some(ours) => active.with_remote_span_context(ours),
        None => active,
    }
}

/// The trace that a message came with.
pub(super) fn of_message(message: &Message) -> Option<TraceContext> {
    let trace = TraceContext::parse(message.headers.text(header::TRACEPARENT)?)?;
    Some(match message.headers.text(header::TRACESTATE) {
        Some(state) => trace.with_tracestate(state),
        None => trace,
    })
}

pub(super) fn span_context(trace: &TraceContext) -> Option<SpanContext> {
    let trace_id = TraceId::from_hex(&trace.trace_id()).ok()?;
    let span_id = SpanId::from_hex(&trace.span_id()).ok()?;
    let flags = if trace.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    // A vendor's state that cannot be read is no reason to lose the trace.
    let state = trace.tracestate().and_then(|state| state.parse().ok()).unwrap_or(TraceState::NONE);
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// `context` within the span of `within`, so that what it causes is under that; `context` itself where no span was made.
pub(super) fn enter(context: Context, within: &opentelemetry::Context, parent: &opentelemetry::Context) -> Context {
    let (span, above) = (within.span(), parent.span());
    let made = span.span_context();
    if !made.is_valid() || made.span_id() == above.span_context().span_id() {
        return context;
    }
    let flags = u8::from(made.is_sampled());
    let text = format!("00-{}-{}-{flags:02x}", made.trace_id(), made.span_id());
    match TraceContext::parse(&text) {
        Some(trace) => context.with_trace(trace.with_tracestate(&made.trace_state().header())),
        None => context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_both_ways() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let ours = TraceContext::parse(text).unwrap().with_tracestate("vendor=1");
        let above = parent(Some(&TraceContext::root()));
        let within = opentelemetry::Context::new().with_remote_span_context(span_context(&ours).unwrap());
        assert_eq!(enter(Context::root(), &within, &above).trace(), &ours);
        // No span was made: nothing changes.
        let context = Context::root();
        assert_eq!(enter(context.clone(), &above, &above), context);
        assert_eq!(enter(context.clone(), &opentelemetry::Context::new(), &above), context);
    }
}
