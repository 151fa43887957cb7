//! Stopping, draining and closing.

use std::collections::HashSet;

use sap_comm_events::SubscriptionHandle;
use tokio_util::sync::CancellationToken;

use super::*;

pub(crate) async fn a_stopped_consumer_finishes_what_it_has_and_the_rest_waits<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().count_redeliveries(false)).await;
    let (sender, mut started) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
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

pub(crate) async fn a_consumer_that_stops_takes_nothing_more_while_its_handlers_finish<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    for subscription in [Subscription::new("user.events"), Subscription::new("user.events").quorum().group("q")] {
        let subscription = subscription.concurrency(2);
        let broker = broker(config()).await;
        let (router, mut begun, release) = held_back();
        let handle = broker.subscribe(subscription.clone(), router).await.unwrap();
        for number in 0..2 {
            broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
            soon(begun.recv()).await.unwrap();
        }
        let stopping = tokio::spawn(handle.stop());
        let (router, mut numbers) = numbers();
        let _other = broker.subscribe(subscription, router).await.unwrap();
        for number in 2..12 {
            broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
            assert_eq!(soon(numbers.recv()).await, Some(number));
        }
        assert!(!stopping.is_finished() && begun.try_recv().is_err());
        release.add_permits(2);
        soon(stopping).await.unwrap();
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

pub(crate) async fn a_broker_closed_twice_at_once_is_closed_once_for_both<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut ended) = mpsc::unbounded_channel();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, begun) = (sender.clone(), begun.clone());
        async move {
            begun.send(())?;
            tokio::task::yield_now().await;
            Ok(sender.send(event.data.number)?)
        }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    soon(has_begun.recv()).await.unwrap();
    let other = broker.clone();
    soon(async { tokio::join!(broker.close(LIMIT), other.close(LIMIT)) }).await;
    assert_eq!(ended.try_recv().ok(), Some(1), "both waited for the handler");
    assert!(!broker.health().is_ready() && !other.health().is_ready());
}

/// What was published while a broker closed.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) confirmed: Vec<u32>,
    /// Of which nobody knows.
    pub(crate) unknown: Vec<u32>,
    pub(crate) handled: Vec<u32>,
}

impl Published {
    /// Publishes numbers, and closes the broker meanwhile.
    pub(crate) async fn while_closing(broker: &Broker) -> Self {
        let (router, mut numbers) = numbers();
        let _handle = broker.subscribe("user.events", router).await.unwrap();
        let publishers: Vec<_> = (0..8_u32)
            .map(|publisher| {
                let broker = broker.clone();
                tokio::spawn(async move {
                    let mut published = Self::default();
                    for number in (publisher * 100_000).. {
                        match broker.publish("user.events", UserCreated::numbered(number)).await {
                            Ok(_) => published.confirmed.push(number),
                            Err(PublishError::Closed) => break,
                            Err(PublishError::Unknown { .. }) => {
                                published.unknown.push(number);
                                break;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    published
                })
            })
            .collect();
        let mut all = Self::default();
        for _ in 0..50 {
            all.handled.push(soon(numbers.recv()).await.unwrap());
        }
        soon(broker.close(LIMIT)).await;
        while let Ok(number) = numbers.try_recv() {
            all.handled.push(number);
        }
        for publisher in publishers {
            let published = soon(publisher).await.unwrap();
            all.confirmed.extend(published.confirmed);
            all.unknown.extend(published.unknown);
        }
        all
    }

    /// Those confirmed that were not handled: they wait in their queue.
    pub(crate) fn waiting(&self) -> Vec<u32> {
        let handled: HashSet<_> = self.handled.iter().collect();
        self.confirmed.iter().copied().filter(|number| !handled.contains(number)).collect()
    }
}

pub(crate) async fn what_is_published_while_the_broker_closes_has_an_outcome_that_is_true<
    F: Future<Output = Broker>,
>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let Published { confirmed, unknown, mut handled } = Published::while_closing(&broker(config()).await).await;
    let published: HashSet<_> = confirmed.into_iter().chain(unknown).collect();
    handled.retain(|number| !published.contains(number));
    assert_eq!(handled, [0; 0], "handled, and refused to their publishers");
}

pub(crate) async fn many_subscriptions_stopped_at_once_under_load_lose_nothing<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().count_redeliveries(false)).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            Ok(sender.send(event.data.number)?)
        }
    });
    let subscription = || Subscription::new("user.events").concurrency(2).prefetch(10);
    let mut handles = Vec::new();
    for _ in 0..20 {
        handles.push(broker.subscribe(subscription(), router.clone()).await.unwrap());
    }
    let stopped = CancellationToken::new();
    let publishers: Vec<_> = (0..4_u32)
        .map(|publisher| {
            let (broker, stopped) = (broker.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut numbers = (publisher * 100_000)..;
                while !stopped.is_cancelled() {
                    let number = numbers.next().unwrap();
                    broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
                }
                (publisher * 100_000..numbers.start).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 200 {
        seen.push(soon(handled.recv()).await.unwrap());
    }
    soon(futures_util::future::join_all(handles.into_iter().map(SubscriptionHandle::stop))).await;
    let _handle = broker.subscribe(subscription(), router).await.unwrap();
    stopped.cancel();
    let mut published = Vec::new();
    for publisher in publishers {
        published.extend(soon(publisher).await.unwrap());
    }
    while seen.len() < published.len() {
        seen.push(soon(handled.recv()).await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, published, "each is handled once");
}

pub(crate) async fn a_dropped_handle_stops_its_consumer<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut first) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    assert_eq!(soon(first.recv()).await, Some(0));
    drop(handle);
    // The router goes with its consumer, and the sender in it.
    assert_eq!(soon(first.recv()).await, None);
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    let (router, mut second) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!(soon(second.recv()).await, Some(1), "what came meanwhile waited");
}

pub(crate) async fn what_is_not_settled_holds_up_the_next_and_counts_as_waiting<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut begun, release) = held_back();
    let handle = broker.subscribe(Subscription::new("user.events").prefetch(1), router).await.unwrap();
    for number in 0..3 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    for number in 0..3 {
        assert_eq!(soon(begun.recv()).await, Some(number));
        let waiting = u64::from(2 - number);
        soon(until(async || broker.lag("user.events", "user-service").await.unwrap() == Some(waiting))).await;
        assert!(begun.try_recv().is_err(), "the one in hand is not settled");
        release.add_permits(1);
    }
    soon(handle.stop()).await;
    assert!(begun.try_recv().is_err(), "what is settled does not come again");
}
