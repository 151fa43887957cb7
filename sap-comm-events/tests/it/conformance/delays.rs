//! Events that are published later.

use sap_comm_core::Timestamp;
use sap_comm_events::PublishOptions;
use tokio::time::Instant;

use super::*;

pub(crate) async fn a_delayed_event_arrives_when_it_is_due_and_not_before<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut arrived) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send((event.data.number, Instant::now()));
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    // The longest first, so that a shorter one would wait behind it in one queue.
    let delays = [1_900, 1_300, 700, 300, 150, 1].map(Duration::from_millis);
    let mut published = Vec::new();
    for (number, delay) in (0..).zip(delays) {
        published.push(Instant::now());
        broker.publish_after("user.events", UserCreated::numbered(number), delay).await.unwrap();
    }
    broker.publish("user.events", UserCreated::numbered(99)).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..=delays.len() {
        let (number, at) = soon(arrived.recv()).await.unwrap();
        if let Some(delay) = delays.get(number as usize) {
            assert!(at - published[number as usize] >= *delay, "{number} came early");
        }
        seen.push(number);
    }
    assert_ne!(seen.last(), Some(&99), "what is not delayed waits for nobody");
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 99]);
}

pub(crate) async fn a_short_delay_does_not_wait_behind_a_long_one<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish_after("user.events", UserCreated::numbered(1), Duration::from_secs(3_600)).await.unwrap();
    broker.publish_after("user.events", UserCreated::numbered(2), Duration::from_millis(200)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(2));
    handle.stop().await;
    assert!(numbers.try_recv().is_err());
}

pub(crate) async fn equal_delays_keep_the_order<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let delay = Duration::from_millis(300);
    let publishes = (0..100).map(|number| broker.publish_after("user.events", UserCreated::numbered(number), delay));
    for published in futures_util::future::join_all(publishes).await {
        published.unwrap();
    }
    for number in 0..100 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}

pub(crate) async fn a_scheduled_event_comes_at_its_time_or_at_once_when_that_is_past<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let at = Timestamp::now().saturating_add(Duration::from_millis(400));
    broker.publish_at("user.events", UserCreated::numbered(1), at).await.unwrap();
    let past = Timestamp::from_millis(0);
    broker.publish_at("user.events", UserCreated::numbered(2), past).await.unwrap();
    let mut seen = [soon(numbers.recv()).await, soon(numbers.recv()).await];
    assert!(Timestamp::now() >= at);
    seen.sort_unstable();
    assert_eq!(seen, [Some(1), Some(2)]);
}

pub(crate) async fn a_delayed_event_is_the_event_that_was_published<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut events) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send((event, Context::current())).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe(Subscription::new("user.events").ordered_by_key(), router).await.unwrap();
    let context = Context::root();
    let event = context.clone().sync_scope(|| Event::new("auth-service", UserCreated::numbered(7)));
    let options = PublishOptions::new().after(Duration::from_millis(250)).ordering_key("usr_7");
    context.clone().scope(broker.publish_event_with("user.events", &event, options)).await.unwrap();
    let (arrived, its_context) = soon(events.recv()).await.unwrap();
    assert_eq!(arrived, event);
    assert_eq!(its_context.trace().trace_id(), context.trace().trace_id());
    assert_eq!((its_context.request_id(), its_context.attempt()), (context.request_id(), 1));
}

pub(crate) async fn a_delayed_command_reaches_one_consumer<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut done) = mpsc::unbounded_channel();
    let mut handles = Vec::new();
    for group in ["a", "b"] {
        let sender = sender.clone();
        let router = EventRouter::new().on(move |event: Event<ReportRequested>| {
            let sent = sender.send(event.data.number);
            async move { Ok(sent?) }
        });
        handles.push(broker.subscribe(Subscription::new("report.events").group(group), router).await.unwrap());
    }
    for number in 0..10 {
        let delay = Duration::from_millis(u64::from(number) * 10);
        broker.publish_after("report.events", ReportRequested { number }, delay).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(soon(done.recv()).await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    for handle in handles {
        handle.stop().await;
    }
    assert!(done.try_recv().is_err());
}

pub(crate) async fn a_delay_over_the_limit_is_refused<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, _numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let beyond = PublishOptions::MAX_DELAY + Duration::from_millis(1);
    let error = broker.publish_after("user.events", UserCreated::numbered(1), beyond).await.unwrap_err();
    assert!(matches!(error, PublishError::TooFar { limit: PublishOptions::MAX_DELAY, .. }), "{error}");
    assert!(!error.is_transient());
    let at = Timestamp::now().saturating_add(beyond + Duration::from_secs(60));
    assert!(broker.publish_at("user.events", UserCreated::numbered(1), at).await.is_err());
    broker.publish_after("user.events", UserCreated::numbered(1), PublishOptions::MAX_DELAY).await.unwrap();
}
