//! What `compare-breaker` times allocates nothing on our side, and what `compare-events` times in memory very little.

use std::io;

use allocation_counter::measure;
use futures_util::FutureExt;
use sap_comm::{
    Event, EventPayload,
    events::{Broker, BrokerConfig, EventRouter},
    resilience::{AllIdempotent, Bulkhead, CircuitBreaker, Retry, Timeout},
};
use tokio::sync::watch;
use tower::{Service, ServiceBuilder, service_fn};

fn allocations(mut call: impl FnMut()) -> u64 {
    // The first call may set up what belongs to the thread.
    call();
    measure(call).count_total
}

#[tokio::test]
async fn a_call_through_a_closed_or_open_breaker_allocates_nothing() {
    let breaker = CircuitBreaker::builder("test").consecutive_failures(1).build().unwrap();
    let succeed = || assert!(breaker.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_ok());
    assert_eq!(allocations(succeed), 0);
    assert!(breaker.call(async || Err::<(), _>(io::Error::other("down"))).await.is_err());
    let rejected = || assert!(breaker.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_err());
    assert_eq!(allocations(rejected), 0);
}

#[tokio::test]
async fn a_call_through_the_stack_allocates_nothing() {
    let mut service = ServiceBuilder::new()
        .layer(Bulkhead::builder("test").build().unwrap().layer())
        .layer(Retry::builder().build().unwrap().layer(AllIdempotent))
        .layer(CircuitBreaker::builder("test").build().unwrap().layer())
        .layer(Timeout::new(std::time::Duration::from_secs(3)).layer())
        .service(service_fn(|(): ()| async { Ok::<_, io::Error>(()) }));
    assert_eq!(allocations(|| assert!(service.call(()).now_or_never().unwrap().is_ok())), 0);
}

/// Owns no memory, so that what is counted is the envelope's and the broker's.
#[derive(Debug, serde::Serialize, serde::Deserialize, EventPayload)]
#[event(type = "counter.raised")]
struct Raised {
    by: u32,
}

#[test]
fn an_event_is_made_and_read_without_allocating() {
    let event = Event::new("counter-service", Raised { by: 1 });
    assert_eq!(allocations(|| drop(Event::new("counter-service", Raised { by: 1 }))), 0);
    let json = event.to_json().unwrap();
    assert_eq!(allocations(|| assert_eq!(Event::<Raised>::from_json(&json).unwrap().data.by, 1)), 0);
    let mut buffer = Vec::with_capacity(json.len());
    assert_eq!(allocations(|| event.write_json(&mut buffer).map(|()| buffer.clear()).unwrap()), 0);
}

#[test]
fn an_event_through_the_memory_broker_allocates_little() {
    const EVENTS: u64 = 64;
    // One thread runs both sides, so that nothing escapes the count.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let (sender, mut sum) = watch::channel(0);
    let router = EventRouter::new().on(move |event: Event<Raised>| {
        sender.send_modify(|sum| *sum += u64::from(event.data.by));
        async { Ok(()) }
    });
    let broker = runtime.block_on(Broker::connect("memory://", BrokerConfig::new("counter-service"))).unwrap();
    let _subscription = runtime.block_on(broker.subscribe("counter.events", router)).unwrap();
    let mut expected = 0;
    let mut publish = || {
        expected += EVENTS;
        runtime.block_on(async {
            for _ in 0..EVENTS {
                broker.publish("counter.events", Raised { by: 1 }).await.unwrap();
            }
            sum.wait_for(|sum| *sum == expected).await.unwrap();
        });
    };
    publish();
    let count = measure(publish).count_total;
    println!("{} allocations an event", count as f64 / EVENTS as f64);
    // The message, its body, two contexts, the target's name, the settlement, the handler's future; and a little for the batch.
    // OpenTelemetry takes its attributes as owned, for two spans and four metrics.
    let bound = if cfg!(feature = "otel") { 64 } else { 8 };
    assert!(count < bound * EVENTS, "{count} allocations for {EVENTS} events");
}
