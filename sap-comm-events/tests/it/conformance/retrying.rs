//! Events that fail and are tried again.

use super::*;

pub(crate) async fn a_failed_event_is_retried_until_it_succeeds<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |_: Event<UserCreated>| {
        let attempt = Context::current().attempt();
        let sent = sender.send(attempt);
        async move {
            sent?;
            if attempt < 3 { Err(HandlerError::retry("not yet")) } else { Ok(()) }
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    for attempt in 1..=3 {
        assert_eq!(soon(attempts.recv()).await, Some(attempt));
    }
    handle.stop().await;
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 0);
}

pub(crate) async fn a_panic_is_a_failed_attempt<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut done) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sender = sender.clone();
        async move {
            assert!(Context::current().attempt() > 1, "a panic of the test");
            Ok(sender.send(event.data.number)?)
        }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(done.recv()).await, Some(1));
}

pub(crate) async fn a_slow_handler_is_a_failed_attempt<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut done) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sender = sender.clone();
        async move {
            if Context::current().attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(sender.send(event.data.number)?)
        }
    });
    let subscription = Subscription::new("user.events").timeout(Duration::from_millis(50));
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(done.recv()).await, Some(1));
}

pub(crate) async fn a_requeued_event_comes_back_and_not_for_ever<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().max_redeliveries(5)).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (sender, mut deliveries) = mpsc::unbounded_channel();
    let router = EventRouter::new().on_outcome(move |_: Event<UserCreated>| {
        let sent = sender.send(());
        async move {
            match sent {
                Ok(()) => Outcome::Requeue,
                Err(error) => Outcome::DeadLetter { reason: error.into() },
            }
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    soon(failures.recv()).await.unwrap();
    handle.stop().await;
    let mut times = 0;
    while deliveries.try_recv().is_ok() {
        times += 1;
    }
    assert_eq!(times, 6, "the first delivery and five more");
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
}
