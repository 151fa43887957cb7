//! What is refused before it is sent.

use super::*;

pub(crate) async fn an_event_over_the_limit_is_refused<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config().max_event_bytes(1_000)).await;
    let large = UserDeleted { user_id: "x".repeat(1_000) };
    let error = broker.publish("user.events", large).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 1_000, .. }), "{error}");
}

pub(crate) async fn names_that_cannot_be_are_refused<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let error = broker.publish("", UserCreated::numbered(1)).await.unwrap_err();
    assert!(matches!(error, PublishError::Name { .. }), "{error}");
    let (router, _numbers) = numbers();
    let error = broker.subscribe(Subscription::new("user.events").group("a b"), router.clone()).await.unwrap_err();
    assert!(error.to_string().contains("\"a b\""), "{error}");
    let error = broker.subscribe(Subscription::new("user.events").concurrency(0), router).await.unwrap_err();
    assert!(error.to_string().contains("concurrency"), "{error}");
    let error = broker.subscribe("user.events", EventRouter::new()).await.unwrap_err();
    assert!(matches!(error, SubscribeError::NoHandlers { .. }), "{error}");
}

#[tokio::test]
async fn a_full_queue_refuses_or_makes_the_publisher_wait() {
    let small = || config().queue_capacity(2).publish_deadline(Duration::from_millis(50));
    for (policy, waited) in [(OverflowPolicy::Refuse, false), (OverflowPolicy::Wait, true)] {
        let broker = in_memory(small().overflow(policy)).await;
        let (router, _numbers) = numbers();
        broker.subscribe("user.events", router).await.unwrap().stop().await;
        for number in 0..2 {
            broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        }
        let start = tokio::time::Instant::now();
        let error = broker.publish("user.events", UserCreated::numbered(2)).await.unwrap_err();
        assert!(matches!(error, PublishError::QueueFull { capacity: 2 }), "{error}");
        assert_eq!(start.elapsed() >= Duration::from_millis(50), waited);
    }
}

pub(crate) async fn the_lag_of_a_group_is_what_waits_for_it<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    assert_eq!(broker.lag("user.events", "user-service").await.unwrap(), None);
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    for number in 0..3 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(broker.lag("user.events", "user-service").await.unwrap(), Some(3));
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..3 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    soon(handle.stop()).await;
    assert_eq!(broker.lag("user.events", "user-service").await.unwrap(), Some(0));
    assert!(broker.lag("user events", "user-service").await.is_err());
}

pub(crate) async fn the_status_tells_of_lag_and_dead_letters<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let status = broker.status().await;
    assert_eq!((status.health.is_ready(), status.queues), (true, Some(Vec::new())));
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("never")) });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    soon(until(async || broker.dead_letters("user.events", "user-service").count().await.unwrap() == 1)).await;
    handle.stop().await;
    for number in 1..4 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let queues = broker.status().await.queues.unwrap();
    let told: Vec<_> = queues.iter().map(|queue| (&*queue.queue, queue.lag, queue.dead_letters)).collect();
    assert_eq!(told, [("user.events.user-service", 3, 1)]);
    broker.close(Duration::from_secs(30)).await;
    let status = broker.status().await;
    assert_eq!((status.health.state, status.queues), (BrokerState::Closed, None));
}
