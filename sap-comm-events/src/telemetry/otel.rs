use std::fmt;

use opentelemetry::{
    KeyValue,
    context::FutureExt,
    global,
    metrics::{Counter, Histogram, Meter},
    trace::{Link, SpanKind, Status, TraceContextExt, Tracer},
};
use sap_comm_core::{Context, Event, telemetry as name};
use tokio::time::Instant;

use super::trace::{enter, of_message, parent, span_context};
use crate::{PublishError, message::Message};

/// The instrumentation's scope.
const SCOPE: &str = "sap-comm-events";
const SEND: &str = "send";
const PROCESS: &str = "process";
/// Seconds; what the conventions advise for both durations.
const BOUNDARIES: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The `error.type` of a publish whose future was dropped, and of a handler that was cut off.
const CANCELLED: &str = "cancelled";

/// The instruments of one broker, of the meter provider that was set when it was made.
pub(crate) struct Telemetry {
    system: &'static str,
    operation: Histogram<f64>,
    sent: Counter<u64>,
    consumed: Counter<u64>,
    processing: Histogram<f64>,
}

/// A publish under way.
pub(crate) struct Sending {
    under_way: UnderWay,
    sent: Counter<u64>,
}

/// An event, or a batch of them, in its handler.
pub(crate) struct Processing(UnderWay);

/// What is measured; ended by its drop at the latest.
struct UnderWay {
    within: opentelemetry::Context,
    duration: Histogram<f64>,
    attributes: Vec<KeyValue>,
    begun: Instant,
    ended: bool,
}

impl Telemetry {
    /// Instruments for messages of `system`, `rabbitmq` or `memory`.
    pub(crate) fn new(system: &'static str) -> Self {
        let meter = global::meter(SCOPE);
        Self {
            system,
            operation: seconds(&meter, name::MESSAGING_CLIENT_OPERATION_DURATION, "Duration of sending a message."),
            sent: messages(&meter, name::MESSAGING_CLIENT_SENT_MESSAGES, "Messages that were to be sent."),
            consumed: messages(&meter, name::MESSAGING_CLIENT_CONSUMED_MESSAGES, "Messages that were delivered."),
            processing: seconds(&meter, name::MESSAGING_PROCESS_DURATION, "Duration of handling a message."),
        }
    }

    /// Begins to publish an event: its span, and the context within it, which travels with the message.
    pub(crate) fn send<T>(
        &self,
        exchange: &str,
        event: &Event<T>,
        size: usize,
        context: Context,
    ) -> (Context, Sending) {
        let caller = Context::try_current();
        let above = parent(caller.as_ref().map(Context::trace));
        let attributes = self.attributes(SEND, exchange);
        let mut of_span = attributes.clone();
        of_span.extend([
            KeyValue::new(name::MESSAGING_OPERATION_TYPE, SEND),
            KeyValue::new(name::MESSAGING_MESSAGE_ID, event.id.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_CONVERSATION_ID, event.correlation_id.to_string()),
            KeyValue::new(name::MESSAGING_RABBITMQ_ROUTING_KEY, event.event_type.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(size).unwrap_or(i64::MAX)),
        ]);
        let span = format!("{SEND} {exchange}");
        let within = self.span(span, SpanKind::Producer, of_span, Vec::new(), &above);
        let context = enter(context, &within, &above);
        let under_way = UnderWay::begin(within, &self.operation, attributes);
        (context, Sending { under_way, sent: self.sent.clone() })
    }

    /// Counts messages that were delivered.
    pub(crate) fn consumed(&self, queue: &str, group: &str, count: usize) {
        let mut attributes = self.attributes(PROCESS, queue);
        attributes.push(of_group(group));
        self.consumed.add(count as u64, &attributes);
    }

    /// Begins to handle an event, under the span that published it.
    pub(crate) fn process(
        &self,
        message: &Message,
        queue: &str,
        group: &str,
        context: Context,
    ) -> (Context, Processing) {
        let of_span = [
            KeyValue::new(name::MESSAGING_MESSAGE_ID, message.id.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_CONVERSATION_ID, context.correlation_id().to_owned()),
            KeyValue::new(name::MESSAGING_RABBITMQ_ROUTING_KEY, message.event_type.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(message.body().len()).unwrap_or(i64::MAX)),
        ];
        let above = parent(of_message(message).as_ref());
        self.begin(queue, group, of_span.into(), Vec::new(), &above, context)
    }

    /// Begins to handle several events together: one span, linked to those that published them.
    pub(crate) fn process_batch<'a>(
        &self,
        messages: impl ExactSizeIterator<Item = &'a Message>,
        queue: &str,
        group: &str,
        context: Context,
    ) -> (Context, Processing) {
        let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let of_span = vec![KeyValue::new(name::MESSAGING_BATCH_MESSAGE_COUNT, count)];
        let links = messages.filter_map(|message| {
            let id = vec![KeyValue::new(name::MESSAGING_MESSAGE_ID, message.id.to_string())];
            Some(Link::new(span_context(&of_message(message)?)?, id, 0))
        });
        let links = links.collect();
        self.begin(queue, group, of_span, links, &parent(Some(context.trace())), context)
    }

    fn begin(
        &self,
        queue: &str,
        group: &str,
        mut of_span: Vec<KeyValue>,
        links: Vec<Link>,
        above: &opentelemetry::Context,
        context: Context,
    ) -> (Context, Processing) {
        let mut attributes = self.attributes(PROCESS, queue);
        attributes.push(of_group(group));
        of_span.push(KeyValue::new(name::MESSAGING_OPERATION_TYPE, PROCESS));
        of_span.extend(attributes.iter().cloned());
        let within = self.span(format!("{PROCESS} {queue}"), SpanKind::Consumer, of_span, links, above);
        let context = enter(context, &within, above);
        (context, Processing(UnderWay::begin(within, &self.processing, attributes)))
    }

    fn span(
        &self,
        name: String,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        links: Vec<Link>,
        above: &opentelemetry::Context,
    ) -> opentelemetry::Context {
        let tracer = global::tracer(SCOPE);
        let builder = tracer.span_builder(name).with_kind(kind).with_attributes(attributes).with_links(links);
        above.with_span(tracer.build_with_context(builder, above))
    }

    /// What every span and metric says.
    fn attributes(&self, operation: &'static str, destination: &str) -> Vec<KeyValue> {
        vec![
            KeyValue::new(name::MESSAGING_SYSTEM, self.system),
            KeyValue::new(name::MESSAGING_OPERATION_NAME, operation),
            KeyValue::new(name::MESSAGING_DESTINATION_NAME, destination.to_owned()),
        ]
    }
}

impl UnderWay {
    fn begin(within: opentelemetry::Context, duration: &Histogram<f64>, attributes: Vec<KeyValue>) -> Self {
        Self { within, duration: duration.clone(), attributes, begun: Instant::now(), ended: false }
    }

    fn end(&mut self, error: Option<(&str, String)>) {
        self.ended = true;
        if let Some((kind, description)) = error {
            let kind = KeyValue::new(name::ERROR_TYPE, kind.to_owned());
            self.within.span().set_attribute(kind.clone());
            self.within.span().set_status(Status::error(description));
            self.attributes.push(kind);
        }
        self.duration.record(self.begun.elapsed().as_secs_f64(), &self.attributes);
        self.within.span().end();
    }

    fn cancel(&mut self) {
        if !self.ended {
            self.end(Some((CANCELLED, "it was given up".to_owned())));
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Sending {
    /// What became of the publish. Dropped instead, it counts as cancelled.
    pub(crate) fn end(mut self, outcome: Result<(), &PublishError>) {
        self.under_way.end(outcome.err().map(|error| (error_type(error), error.to_string())));
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.under_way.cancel();
        self.sent.add(1, &self.under_way.attributes);
    }
}

impl Processing {
    /// Runs a handler within the span; `failure` names the code of what it ended with, if that is one.
    pub(crate) async fn watch<F: Future>(self, handling: F, failure: impl Fn(&F::Output) -> Option<&str>) -> F::Output {
        let Self(mut under_way) = self;
        let ended = handling.with_context(under_way.within.clone()).await;
        under_way.end(failure(&ended).map(|code| (code, code.to_owned())));
        ended
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("system", &self.system).finish_non_exhaustive()
    }
}

fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(BOUNDARIES.to_vec()).build()
}

fn messages(meter: &Meter, name: &'static str, description: &'static str) -> Counter<u64> {
    meter.u64_counter(name).with_unit("{message}").with_description(description).build()
}

fn of_group(group: &str) -> KeyValue {
    KeyValue::new(name::MESSAGING_CONSUMER_GROUP_NAME, group.to_owned())
}

/// Names the kinds of [`PublishError`], in words that do not change.
fn error_type(error: &PublishError) -> &'static str {
    match error {
        PublishError::Unroutable { .. } => "unroutable",
        PublishError::Nacked { .. } => "nacked",
        PublishError::Forbidden { .. } => "forbidden",
        PublishError::Unknown { .. } => "unknown",
        PublishError::Blocked { .. } => "blocked",
        PublishError::Unavailable { .. } => "unavailable",
        PublishError::QueueFull { .. } => "queue_full",
        PublishError::Closed => "closed",
        PublishError::TooLarge { .. } => "too_large",
        PublishError::TooFar { .. } => "too_far",
        PublishError::Encode { .. } => "encode",
        PublishError::Name { .. } => "name",
        PublishError::Topology(_) => "topology",
    }
}
