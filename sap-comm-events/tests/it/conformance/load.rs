//! Many publishers, many subscribers, many events.

use super::*;

pub(crate) async fn thousands_of_concurrent_publishes_all_arrive_once<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let tasks: Vec<_> = (0..50_u32)
        .map(|task| {
            let broker = broker.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    broker.publish("user.events", UserCreated::numbered(task * 100 + number)).await.unwrap();
                }
            })
        })
        .collect();
    let mut seen = vec![0_u8; 5_000];
    for _ in 0..5_000 {
        seen[soon(numbers.recv()).await.unwrap() as usize] += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    handle.stop().await;
    assert!(seen.iter().all(|times| *times == 1));
    assert!(numbers.try_recv().is_err());
    assert_eq!(broker.health().pending, 0);
}

pub(crate) async fn many_subscribers_share_thousands_of_events<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let subscribing = (0..50).map(|_| {
        let (broker, sender) = (broker.clone(), sender.clone());
        let router = EventRouter::new().on(move |event: Event<UserCreated>| {
            let sent = sender.send(event.data.number);
            async move { Ok(sent?) }
        });
        async move { broker.subscribe("user.events", router).await.unwrap() }
    });
    let handles = futures_util::future::join_all(subscribing).await;
    let publishes = (0..5_000).map(|number| broker.publish("user.events", UserCreated::numbered(number)));
    for published in futures_util::future::join_all(publishes).await {
        published.unwrap();
    }
    let mut seen = vec![0_u8; 5_000];
    for _ in 0..5_000 {
        seen[soon(receiver.recv()).await.unwrap() as usize] += 1;
    }
    assert!(seen.iter().all(|times| *times == 1));
    for handle in handles {
        soon(handle.stop()).await;
    }
}

pub(crate) async fn concurrent_handlers_are_bounded<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut entered, release) = held_back();
    let handle = broker.subscribe(Subscription::new("user.events").concurrency(4), router).await.unwrap();
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    for _ in 0..4 {
        soon(entered.recv()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(entered.try_recv().is_err(), "a fifth handler runs");
    release.add_permits(100);
    for _ in 0..6 {
        soon(entered.recv()).await.unwrap();
    }
    soon(handle.stop()).await;
}
