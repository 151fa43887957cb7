//! Consumers that pause, and those that take turns.

use std::sync::Arc;

use sap_comm_events::SubscriptionHandle;
use tokio::sync::Semaphore;

use super::*;

pub(crate) async fn a_paused_consumer_takes_nothing_until_it_resumes<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    for concurrency in [1, 4] {
        let broker = broker(config()).await;
        let (router, mut numbers) = numbers();
        let subscription = Subscription::new("user.events").concurrency(concurrency);
        let handle = broker.subscribe(subscription, router).await.unwrap();
        broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
        assert_eq!(soon(numbers.recv()).await, Some(0));
        for round in 1..3 {
            soon(handle.pause()).await;
            assert!(handle.is_paused());
            broker.publish("user.events", UserCreated::numbered(round)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(numbers.try_recv().is_err());
            soon(handle.resume()).await;
            assert!(!handle.is_paused());
            assert_eq!(soon(numbers.recv()).await, Some(round));
        }
        soon(handle.pause()).await;
        soon(handle.stop()).await;
    }
}

pub(crate) async fn a_pause_finishes_what_is_in_hand_and_the_group_goes_on<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().count_redeliveries(false)).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, held) = (sender.clone(), held.clone());
        async move {
            sender.send(("begun", event.data.number))?;
            held.acquire().await?.forget();
            Ok(sender.send(("done", event.data.number))?)
        }
    });
    let handle = Arc::new(broker.subscribe("user.events", router).await.unwrap());
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(soon(seen.recv()).await, Some(("begun", 0)));
    let mut pausing = tokio::spawn({
        let handle = handle.clone();
        async move { handle.pause().await }
    });
    tokio::task::yield_now().await;
    assert!(!handle.is_paused(), "a handler runs");
    release.add_permits(1);
    let mut done = 0;
    soon(async {
        loop {
            tokio::select! {
                paused = &mut pausing => break paused.unwrap(),
                // It may have begun another before it saw the pause.
                Some((what, _)) = seen.recv() => match what {
                    "begun" => release.add_permits(1),
                    _ => done += 1,
                },
            }
        }
    })
    .await;
    while let Ok((what, _)) = seen.try_recv() {
        done += u32::from(what == "done");
    }
    assert!(handle.is_paused() && done > 0);
    let (router, mut rest) = numbers();
    let _other = broker.subscribe("user.events", router).await.unwrap();
    for number in done..10 {
        assert_eq!(soon(rest.recv()).await, Some(number), "what it held ahead is back, in order");
    }
}

pub(crate) async fn a_consumer_that_resumes_goes_on_in_order<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut numbers) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, held) = (sender.clone(), held.clone());
        async move {
            held.acquire().await?.forget();
            Ok(sender.send(event.data.number)?)
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..20 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let mut expected = 0;
    for round in 1..=5 {
        // The one that has begun is finished; the others go back.
        soon(async { tokio::join!(handle.pause(), async { release.add_permits(1) }) }).await;
        soon(handle.resume()).await;
        release.add_permits(4);
        while expected < 4 * round {
            assert_eq!(soon(numbers.recv()).await, Some(expected));
            expected += 1;
        }
    }
}

pub(crate) async fn an_ephemeral_consumer_loses_nothing_in_a_pause<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe(Subscription::new("user.events").ephemeral(), router).await.unwrap();
    soon(handle.pause()).await;
    for number in 0..5 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    soon(handle.resume()).await;
    for number in 0..5 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    soon(handle.pause()).await;
    soon(broker.close(LIMIT)).await;
}

/// A consumer that stands by, or is the active one, of a queue that has one at a time.
async fn one_of_many(
    broker: &Broker,
    name: &'static str,
    seen: &mpsc::UnboundedSender<(&'static str, u32)>,
) -> SubscriptionHandle {
    let seen = seen.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = seen.send((name, event.data.number));
        async move { Ok(sent?) }
    });
    broker.subscribe(Subscription::new("user.events").single_active().prefetch(20), router).await.unwrap()
}

pub(crate) async fn a_single_active_consumer_is_followed_in_order<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let first = one_of_many(&broker, "first", &sender).await;
    let second = one_of_many(&broker, "second", &sender).await;
    let third = one_of_many(&broker, "third", &sender).await;
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move {
            for number in 0..300 {
                broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
            }
        }
    });
    let mut expected = 0;
    let mut next = async |until: u32, by: &[&str]| {
        while expected < until {
            let (name, number) = soon(seen.recv()).await.unwrap();
            assert_eq!(number, expected, "by {name}");
            assert!(by.contains(&name), "{number} by {name}");
            expected += 1;
        }
    };
    next(100, &["first"]).await;
    soon(first.stop()).await;
    next(200, &["first", "second"]).await;
    soon(second.pause()).await;
    next(300, &["first", "second", "third"]).await;
    soon(publishing).await.unwrap();
    // Who resumes stands at the end of the line.
    soon(second.resume()).await;
    broker.publish("user.events", UserCreated::numbered(300)).await.unwrap();
    next(301, &["third"]).await;
    soon(third.stop()).await;
    broker.publish("user.events", UserCreated::numbered(301)).await.unwrap();
    next(302, &["second"]).await;
}
