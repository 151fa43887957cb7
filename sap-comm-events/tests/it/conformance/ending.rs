//! Stopping, draining and closing.

use super::*;

pub(crate) async fn a_stopped_consumer_finishes_what_it_has_and_the_rest_waits<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().count_redeliveries(false)).await;
    let (sender, mut started) = mpsc::unbounded_channel();
    let release = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, held) = (sender.clone(), held.clone());
        async move {
            sender.send(event.data.number)?;
            held.acquire().await?.forget();
            Ok(sender.send(event.data.number + 100)?)
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..20 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(soon(started.recv()).await, Some(0));
    let stopping = tokio::spawn(handle.stop());
    tokio::task::yield_now().await;
    release.add_permits(100);
    soon(stopping).await.unwrap();
    let mut last = Vec::new();
    while let Ok(number) = started.try_recv() {
        last.push(number);
    }
    assert_eq!(last.last().map(|number| number % 100), last.len().checked_sub(1).map(|n| (n / 2) as u32), "{last:?}");
    assert!(last.contains(&100), "the event in hand was finished: {last:?}");
    let done = last.iter().filter(|number| **number >= 100).count() as u32;
    let (router, mut rest) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in done..20 {
        assert_eq!(soon(rest.recv()).await, Some(number), "after {last:?}");
    }
}

pub(crate) async fn closing_waits_for_handlers_and_publishes<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (started, mut has_started) = mpsc::unbounded_channel();
    let (ended, mut has_ended) = mpsc::unbounded_channel();
    let inner = broker.clone();
    let router = EventRouter::new().on(move |_: Event<UserCreated>| {
        let (started, ended, inner) = (started.clone(), ended.clone(), inner.clone());
        async move {
            started.send(())?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            // A handler in hand may still publish.
            let published = inner.publish("user.events", UserDeleted { user_id: "usr_1".into() }).await;
            Ok(ended.send(published.is_ok())?)
        }
    });
    let quiet = EventRouter::new().on(|_: Event<UserDeleted>| async { Ok(()) });
    let _other = broker.subscribe(Subscription::new("user.events").group("other"), quiet).await.unwrap();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    soon(has_started.recv()).await.unwrap();
    soon(broker.close(LIMIT)).await;
    assert_eq!(has_ended.try_recv().ok(), Some(true));
}

pub(crate) async fn a_closed_broker_refuses<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    assert!(broker.health().is_ready());
    broker.close(LIMIT).await;
    broker.close(LIMIT).await;
    assert!(!broker.health().is_ready());
    let error = broker.publish("user.events", UserCreated::numbered(1)).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed), "{error}");
    let (router, _numbers) = numbers();
    let error = broker.subscribe("user.events", router).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Closed), "{error}");
}
