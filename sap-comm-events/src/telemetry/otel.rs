use std::{fmt, sync::Arc};

use opentelemetry::{
    KeyValue,
    context::FutureExt,
    global,
    metrics::{Counter, Histogram, Meter},
    trace::{Link, SpanKind, Status, TraceContextExt, Tracer},
};
use sap_comm_core::{Context, Event, telemetry as name};
use tokio::time::Instant;

use super::{
    Received,
    trace::{enter, of_message, parent, span_context},
};
use crate::{
    PublishError,
    backend::Backend,
    message::Message,
    topology::{COMMANDS, Target, command_of},
};

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
    backend: Arc<dyn Backend>,
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
    pub(crate) fn new(system: &'static str, backend: &Arc<dyn Backend>) -> Self {
        let meter = global::meter(SCOPE);
        Self {
            system,
            backend: Arc::clone(backend),
            operation: seconds(&meter, name::MESSAGING_CLIENT_OPERATION_DURATION, "Duration of sending a message."),
            sent: messages(&meter, name::MESSAGING_CLIENT_SENT_MESSAGES, "Messages that were to be sent."),
            consumed: messages(&meter, name::MESSAGING_CLIENT_CONSUMED_MESSAGES, "Messages that were delivered."),
            processing: seconds(&meter, name::MESSAGING_PROCESS_DURATION, "Duration of handling a message."),
        }
    }

    /// Begins to publish an event: its span, and the context within it, which travels with the message.
    pub(crate) fn send<T>(
        &self,
        target: &Target,
        event: &Event<T>,
        size: usize,
        context: Context,
    ) -> (Context, Sending) {
        let caller = Context::try_current();
        let above = parent(caller.as_ref().map(Context::trace));
        let server = self.backend.publishes_to();
        let destination = format!("{}:{}", target.name(), event.event_type);
        let span = format!("{SEND} {destination}");
        let mut of_span = self.attributes(SEND, destination, server.clone());
        of_span.extend([
            KeyValue::new(name::MESSAGING_OPERATION_TYPE, SEND),
            KeyValue::new(name::MESSAGING_MESSAGE_ID, event.id.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_CONVERSATION_ID, event.correlation_id.to_string()),
            KeyValue::new(name::MESSAGING_RABBITMQ_ROUTING_KEY, event.event_type.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(size).unwrap_or(i64::MAX)),
        ]);
        let within = self.span(span, SpanKind::Producer, of_span, Vec::new(), &above);
        let context = enter(context, &within, &above);
        let attributes = self.attributes(SEND, target.name().to_owned(), server);
        let under_way = UnderWay::begin(within, &self.operation, attributes);
        (context, Sending { under_way, sent: self.sent.clone() })
    }

    /// Counts messages that were delivered to be handled in batches.
    pub(crate) fn consumed(&self, received: &Received<'_>, count: usize) {
        self.consumed.add(count as u64, &self.of_consumer(received, Source::of(received).measured()));
    }

    /// Counts an event that was delivered, and begins to handle it, under the span that published it.
    pub(crate) fn process(
        &self,
        message: &Message,
        received: &Received<'_>,
        context: Context,
    ) -> (Context, Processing) {
        let mut of_span = vec![
            KeyValue::new(name::MESSAGING_MESSAGE_ID, message.id.to_string()),
            KeyValue::new(name::MESSAGING_MESSAGE_CONVERSATION_ID, context.correlation_id().to_owned()),
            KeyValue::new(name::MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(message.body().len()).unwrap_or(i64::MAX)),
        ];
        if let Some(tag) = received.delivery.settlement.tag().and_then(|tag| i64::try_from(tag).ok()) {
            of_span.push(KeyValue::new(name::MESSAGING_RABBITMQ_DELIVERY_TAG, tag));
        }
        let above = parent(of_message(message).as_ref());
        let (context, processing) = self.begin(received, of_span, Vec::new(), &above, context);
        self.consumed.add(1, &processing.0.attributes);
        (context, processing)
    }

    /// Begins to handle several events together: one span, linked to those that published them.
    pub(crate) fn process_batch<'a>(
        &self,
        messages: impl ExactSizeIterator<Item = &'a Message>,
        received: &Received<'_>,
        context: Context,
    ) -> (Context, Processing) {
        let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let of_span = vec![KeyValue::new(name::MESSAGING_BATCH_MESSAGE_COUNT, count)];
        let links = messages.filter_map(|message| {
            let id = vec![KeyValue::new(name::MESSAGING_MESSAGE_ID, message.id.to_string())];
            Some(Link::new(span_context(&of_message(message)?)?, id, 0))
        });
        let links = links.collect();
        self.begin(received, of_span, links, &parent(Some(context.trace())), context)
    }

    fn begin(
        &self,
        received: &Received<'_>,
        mut of_span: Vec<KeyValue>,
        links: Vec<Link>,
        above: &opentelemetry::Context,
        context: Context,
    ) -> (Context, Processing) {
        let source = Source::of(received);
        let destination = source.full();
        let span = format!("{PROCESS} {destination}");
        of_span.push(KeyValue::new(name::MESSAGING_OPERATION_TYPE, PROCESS));
        of_span.push(KeyValue::new(name::MESSAGING_RABBITMQ_ROUTING_KEY, source.routing_key.to_owned()));
        of_span.extend(self.of_consumer(received, destination));
        let attributes = self.of_consumer(received, source.measured());
        let within = self.span(span, SpanKind::Consumer, of_span, links, above);
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

    /// What every span and metric of a consumer says.
    fn of_consumer(&self, received: &Received<'_>, destination: String) -> Vec<KeyValue> {
        let mut attributes = self.attributes(PROCESS, destination, self.backend.consumes_from());
        attributes.push(KeyValue::new(name::MESSAGING_CONSUMER_GROUP_NAME, received.group.to_owned()));
        attributes
    }

    /// What every span and metric says.
    fn attributes(&self, operation: &'static str, destination: String, server: Option<(String, u16)>) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new(name::MESSAGING_SYSTEM, self.system),
            KeyValue::new(name::MESSAGING_OPERATION_NAME, operation),
            KeyValue::new(name::MESSAGING_DESTINATION_NAME, destination),
        ];
        if let Some((host, port)) = server {
            attributes.push(KeyValue::new(name::SERVER_ADDRESS, host));
            attributes.push(KeyValue::new(name::SERVER_PORT, i64::from(port)));
        }
        attributes
    }
}

/// Where a message came from, in the parts of a destination's name.
struct Source<'a> {
    exchange: &'a str,
    /// What the exchange of commands is called besides.
    kind: &'static str,
    routing_key: &'a str,
    queue: &'a str,
}

impl<'a> Source<'a> {
    fn of(received: &Received<'a>) -> Self {
        let (exchange, queue) = (received.exchange, &*received.delivery.queue);
        let routing_key = received.delivery.message.event_type.as_str();
        let kind = if command_of(queue, exchange).is_some() { COMMANDS } else { "" };
        Self { exchange, kind, routing_key, queue }
    }

    fn full(&self) -> String {
        format!("{}{}:{}:{}", self.exchange, self.kind, self.routing_key, self.queue)
    }

    /// Without the routing key, so that no publisher decides how many time series there are.
    fn measured(&self) -> String {
        format!("{}{}:{}", self.exchange, self.kind, self.queue)
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
