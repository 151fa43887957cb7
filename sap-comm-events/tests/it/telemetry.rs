//! OpenTelemetry's metrics and spans, as its own SDK exports them.

use std::{collections::BTreeMap, sync::LazyLock};

use opentelemetry::{
    Context as OtelContext, KeyValue, global,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::{
    metrics::{
        InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
        data::{AggregatedMetrics, MetricData},
    },
    trace::{InMemorySpanExporter, SdkTracerProvider, SpanData},
};
use sap_comm_core::{Context, Event, TraceContext};
use sap_comm_events::{Batching, Broker, BrokerConfig, EventRouter, HandlerError, PublishError, Subscription};
use tokio::sync::mpsc;

use crate::events::UserCreated;

/// The providers of this process, which every test shares: each looks at exchanges of its own.
struct Exported {
    meters: SdkMeterProvider,
    metrics: InMemoryMetricExporter,
    spans: InMemorySpanExporter,
    _tracers: SdkTracerProvider,
}

static EXPORTED: LazyLock<Exported> = LazyLock::new(|| {
    let (metrics, spans) = (InMemoryMetricExporter::default(), InMemorySpanExporter::default());
    let meters = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(metrics.clone()).build()).build();
    let tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    global::set_meter_provider(meters.clone());
    global::set_tracer_provider(tracers.clone());
    Exported { meters, metrics, spans, _tracers: tracers }
});

fn shown<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> BTreeMap<String, String> {
    attributes.map(|attribute| (attribute.key.to_string(), attribute.value.to_string())).collect()
}

/// A span of `name`, once it has ended.
async fn span(name: &str) -> SpanData {
    let find = || EXPORTED.spans.get_finished_spans().unwrap().into_iter().find(|span| span.name == name);
    let waiting = crate::waiting::until(async || find().is_some());
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "no span {name:?} among {:?}", EXPORTED.spans.get_finished_spans().unwrap());
    find().unwrap()
}

/// The points of a metric about `destination`: the count, and what else they say.
fn points(metric: &str, destination: &str) -> Vec<(u64, BTreeMap<String, String>)> {
    EXPORTED.meters.force_flush().unwrap();
    let exported = EXPORTED.metrics.get_finished_metrics().unwrap();
    let last = exported.last().expect("something is exported");
    let mut points = Vec::new();
    for metric in last.scope_metrics().flat_map(|scope| scope.metrics()).filter(|found| found.name() == metric) {
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                assert_eq!(metric.unit(), "{message}");
                points.extend(sum.data_points().map(|point| (point.value(), shown(point.attributes()))));
            }
            AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                assert_eq!(metric.unit(), "s");
                points.extend(histogram.data_points().map(|point| (point.count(), shown(point.attributes()))));
            }
            other => panic!("{other:?}"),
        }
    }
    points.retain(|(_, attributes)| attributes["messaging.destination.name"] == destination);
    points.sort();
    points
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Instruments are those of the providers that are set before.
fn broker_with(config: BrokerConfig) -> Broker {
    LazyLock::force(&EXPORTED);
    Broker::memory(config).unwrap()
}

fn broker() -> Broker {
    broker_with(BrokerConfig::new("user-service"))
}

/// A router whose handler fails for odd numbers, and tells the context of each.
fn router() -> (EventRouter, mpsc::UnboundedReceiver<Context>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(Context::current());
        async move {
            sent?;
            if event.data.number % 2 == 1 { Err(HandlerError::permanent("odd")) } else { Ok(()) }
        }
    });
    (router, receiver)
}

#[tokio::test]
async fn a_publish_and_its_handling_are_spans_of_one_trace() {
    let broker = broker();
    let (router, mut handled) = router();
    let _handle = broker.subscribe("otel.spans", router).await.unwrap();
    let caller = Context::root();
    let sent = caller.clone().scope(broker.publish("otel.spans", UserCreated::numbered(2))).await.unwrap();
    let within = handled.recv().await.unwrap();

    let (send, process) = (
        span("send otel.spans:user.created").await,
        span("process otel.spans:user.created:otel.spans.user-service").await,
    );
    assert_eq!((send.span_kind.clone(), process.span_kind.clone()), (SpanKind::Producer, SpanKind::Consumer));
    assert_eq!(send.span_context.trace_id().to_string(), caller.trace().trace_id());
    assert_eq!(send.parent_span_id.to_string(), caller.trace().span_id());
    assert_eq!(process.span_context.trace_id(), send.span_context.trace_id());
    assert_eq!(process.parent_span_id, send.span_context.span_id());
    // What the handler causes is under its span.
    assert_eq!(within.trace().span_id(), process.span_context.span_id().to_string());
    let body = send.attributes.iter().find(|attribute| attribute.key.as_str() == "messaging.message.body.size");
    let body = body.unwrap().value.to_string();
    assert_eq!(
        shown(send.attributes.iter()),
        pairs([
            ("messaging.system", "memory"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "otel.spans:user.created"),
            ("messaging.rabbitmq.destination.routing_key", "user.created"),
            ("messaging.message.id", &sent.id),
            ("messaging.message.conversation_id", caller.correlation_id()),
            ("messaging.message.body.size", &body),
        ])
    );
    assert_eq!(
        shown(process.attributes.iter()),
        pairs([
            ("messaging.system", "memory"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "otel.spans:user.created:otel.spans.user-service"),
            ("messaging.consumer.group.name", "user-service"),
            ("messaging.rabbitmq.destination.routing_key", "user.created"),
            ("messaging.message.id", &sent.id),
            ("messaging.message.conversation_id", caller.correlation_id()),
            ("messaging.message.body.size", &body),
        ])
    );
}

#[tokio::test]
async fn a_publish_is_under_the_span_that_is_active() {
    let broker = broker();
    let (router, mut handled) = router();
    let _handle = broker.subscribe("otel.active", router).await.unwrap();
    let active = OtelContext::new().with_span(global::tracer("a service").start("request"));
    let publishing = broker.publish("otel.active", UserCreated::numbered(2));
    opentelemetry::context::FutureExt::with_context(publishing, active.clone()).await.unwrap();
    let send = span("send otel.active:user.created").await;
    let request = active.span().span_context().clone();
    assert_eq!((send.span_context.trace_id(), send.parent_span_id), (request.trace_id(), request.span_id()));
    let trace: TraceContext = handled.recv().await.unwrap().trace().clone();
    assert_eq!(trace.trace_id(), request.trace_id().to_string());
}

#[tokio::test]
async fn messages_and_durations_are_counted_with_their_errors() {
    let broker = broker();
    let (router, mut handled) = router();
    let handle = broker.subscribe("otel.counts", router).await.unwrap();
    for number in 0..3 {
        broker.publish("otel.counts", UserCreated::numbered(number)).await.unwrap();
        handled.recv().await.unwrap();
    }
    handle.stop().await;
    let error = broker.publish("otel.nowhere", UserCreated::numbered(0)).await.unwrap_err();
    assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");

    let send = |exchange| {
        [("messaging.system", "memory"), ("messaging.operation.name", "send"), ("messaging.destination.name", exchange)]
    };
    for metric in ["messaging.client.sent.messages", "messaging.client.operation.duration"] {
        assert_eq!(points(metric, "otel.counts"), [(3, pairs(send("otel.counts")))], "{metric}");
        let mut failed = pairs(send("otel.nowhere"));
        failed.insert("error.type".to_owned(), "unroutable".to_owned());
        assert_eq!(points(metric, "otel.nowhere"), [(1, failed)], "{metric}");
    }
    let queue = "otel.counts:otel.counts.user-service";
    let process = pairs([
        ("messaging.system", "memory"),
        ("messaging.operation.name", "process"),
        ("messaging.destination.name", queue),
        ("messaging.consumer.group.name", "user-service"),
    ]);
    assert_eq!(points("messaging.client.consumed.messages", queue), [(3, process.clone())]);
    let mut failed = process.clone();
    failed.insert("error.type".to_owned(), "UNKNOWN_ERROR".to_owned());
    assert_eq!(points("messaging.process.duration", queue), [(1, failed), (2, process)]);
    let failed = |span: &SpanData| matches!(&span.status, Status::Error { .. });
    let spans = EXPORTED.spans.get_finished_spans().unwrap();
    let of_queue = spans.iter().filter(|span| span.name == "process otel.counts:user.created:otel.counts.user-service");
    assert_eq!(of_queue.filter(|span| failed(span)).count(), 1);
    assert!(failed(spans.iter().find(|span| span.name == "send otel.nowhere:user.created").unwrap()));
}

#[tokio::test]
async fn a_batch_is_one_span_with_links_to_its_events() {
    let broker = broker();
    let (sender, mut batches) = mpsc::unbounded_channel();
    let router = EventRouter::new().on_batch(Batching::of(3), move |events: Vec<Event<UserCreated>>| {
        let sent = sender.send(events.len());
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe(Subscription::new("otel.batches"), router).await.unwrap();
    let mut traces = Vec::new();
    for number in 0..3 {
        let caller = Context::root();
        caller.clone().scope(broker.publish("otel.batches", UserCreated::numbered(number))).await.unwrap();
        traces.push(caller.trace().trace_id());
    }
    assert_eq!(batches.recv().await, Some(3));
    let process = span("process otel.batches:user.created:otel.batches.user-service").await;
    let linked: Vec<_> = process.links.iter().map(|link| link.span_context.trace_id().to_string()).collect();
    assert_eq!(linked, traces);
    assert_eq!(shown(process.attributes.iter())["messaging.batch.message_count"], "3");
    let queue = "otel.batches:otel.batches.user-service";
    let counts = |metric| points(metric, queue).into_iter().map(|(count, _)| count).collect::<Vec<_>>();
    assert_eq!(counts("messaging.client.consumed.messages"), [3]);
    assert_eq!(counts("messaging.process.duration"), [1]);
}

#[tokio::test]
async fn a_publish_that_is_dropped_counts_as_cancelled() {
    let broker = broker_with(BrokerConfig::new("user-service").queue_capacity(1));
    let (started, mut handling) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |_: Event<UserCreated>| {
        let sent = started.send(());
        async move {
            sent?;
            std::future::pending().await
        }
    });
    let _handle = broker.subscribe("otel.full", router).await.unwrap();
    broker.publish("otel.full", UserCreated::numbered(0)).await.unwrap();
    handling.recv().await.unwrap();
    let waits = broker.publish("otel.full", UserCreated::numbered(1));
    // It waits for room.
    assert!(futures_util::FutureExt::now_or_never(waits).is_none());
    let points = points("messaging.client.sent.messages", "otel.full");
    let kinds: Vec<_> = points.iter().map(|(count, of)| (*count, of.get("error.type").map(String::as_str))).collect();
    assert_eq!(kinds, [(1, Some("cancelled")), (1, None)]);
}

#[cfg(feature = "rabbitmq")]
#[tokio::test]
async fn rabbitmqs_node_and_delivery_tag_are_told() {
    LazyLock::force(&EXPORTED);
    let broker = crate::rabbitmq::in_a_vhost_of_its_own(BrokerConfig::new("user-service")).await;
    let (router, mut handled) = router();
    let _handle = broker.subscribe("otel.node", router).await.unwrap();
    broker.publish("otel.node", UserCreated::numbered(2)).await.unwrap();
    handled.recv().await.unwrap();
    let send = shown(span("send otel.node:user.created").await.attributes.iter());
    let process = shown(span("process otel.node:user.created:otel.node.user-service").await.attributes.iter());
    for told in [&send, &process] {
        assert_eq!((&*told["messaging.system"], &*told["server.address"]), ("rabbitmq", "127.0.0.1"));
        assert!(told["server.port"].parse::<u16>().is_ok_and(|port| port > 0), "{told:?}");
    }
    assert_eq!(process["messaging.rabbitmq.message.delivery_tag"], "1");
    for (metric, destination) in [
        ("messaging.client.sent.messages", "otel.node"),
        ("messaging.process.duration", "otel.node:otel.node.user-service"),
    ] {
        let points = points(metric, destination);
        let [(1, told)] = &*points else { panic!("{metric}: {points:?}") };
        assert_eq!((&*told["server.address"], &told["server.port"]), ("127.0.0.1", &send["server.port"]), "{metric}");
    }
}
