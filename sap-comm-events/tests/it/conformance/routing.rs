//! Who gets which event, and in which order.

use super::*;

pub(crate) async fn publish_and_subscribe<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let confirmation = broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    assert!(confirmation.id.starts_with("evt_"));
    assert_eq!(soon(numbers.recv()).await, Some(7));
    handle.stop().await;
}

pub(crate) async fn each_group_gets_every_event<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let ((first, mut first_numbers), (second, mut second_numbers)) = (numbers(), numbers());
    let _first = broker.subscribe(Subscription::new("user.events").group("audit"), first).await.unwrap();
    let _second = broker.for_service("mail-service").subscribe("user.events", second).await.unwrap();
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    for number in 0..10 {
        assert_eq!(soon(first_numbers.recv()).await, Some(number));
        assert_eq!(soon(second_numbers.recv()).await, Some(number));
    }
}

pub(crate) async fn consumers_of_a_group_share_its_events<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let entered = Arc::new(tokio::sync::Barrier::new(2));
    let router = |consumer: &'static str| {
        let (sender, entered) = (sender.clone(), entered.clone());
        EventRouter::new().on(move |event: Event<UserCreated>| {
            let (sender, entered) = (sender.clone(), entered.clone());
            async move {
                // Passes only when both consumers have an event in hand.
                entered.wait().await;
                Ok(sender.send((consumer, event.data.number))?)
            }
        })
    };
    let one_ahead = || Subscription::new("user.events").prefetch(1);
    let _a = broker.subscribe(one_ahead(), router("a")).await.unwrap();
    let _b = broker.subscribe(one_ahead(), router("b")).await.unwrap();
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(soon(receiver.recv()).await.unwrap());
    }
    assert_eq!(seen.iter().filter(|(consumer, _)| *consumer == "a").count(), 5, "{seen:?}");
    let mut all: Vec<_> = seen.iter().map(|(_, number)| *number).collect();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
}

pub(crate) async fn a_command_reaches_exactly_one_consumer<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut handles = Vec::new();
    for group in ["reports", "archive"] {
        let sender = sender.clone();
        let router = EventRouter::new().on(move |event: Event<ReportRequested>| {
            let sent = sender.send((group, event.data.number));
            async move { Ok(sent?) }
        });
        handles.push(broker.subscribe(Subscription::new("report.events").group(group), router).await.unwrap());
    }
    for number in 0..20 {
        broker.publish("report.events", ReportRequested { number }).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(soon(receiver.recv()).await.unwrap().1);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    for handle in handles {
        handle.stop().await;
    }
    assert!(receiver.try_recv().is_err());
}

pub(crate) async fn a_command_without_a_consumer_is_unroutable<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    // Who asks for everything asks for every event; a command is not one.
    let router = EventRouter::new().otherwise(|_| async { Ok(()) });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    let error = broker.publish("report.events", ReportRequested { number: 1 }).await.unwrap_err();
    assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");
}

pub(crate) async fn order_is_kept_within_a_queue<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    // Started in order and confirmed together.
    let publishes = (0..500).map(|number| broker.publish("user.events", UserCreated::numbered(number)));
    for published in futures_util::future::join_all(publishes).await {
        published.unwrap();
    }
    for number in 0..500 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}

pub(crate) async fn an_unroutable_event_is_reported<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    // Among events that are routed, and many at once.
    let mixed = (0..200).map(|number| {
        let broker = &broker;
        async move {
            if number % 3 == 0 {
                let deleted = UserDeleted { user_id: format!("usr_{number}") };
                let error = broker.publish("user.events", deleted).await.unwrap_err();
                assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");
            } else {
                broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
            }
        }
    });
    soon(futures_util::future::join_all(mixed)).await;
    for number in (0..200).filter(|number| number % 3 != 0) {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    let error = broker.publish("nobody.events", UserCreated::numbered(1)).await.unwrap_err();
    assert!(matches!(&error, PublishError::Unroutable { exchange, .. } if exchange == "nobody.events"), "{error}");
}

pub(crate) async fn topics_are_separate<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let ((users, mut user_numbers), (orders, mut order_numbers)) = (numbers(), numbers());
    let users = broker.subscribe("user.events", users).await.unwrap();
    let orders = broker.subscribe("order.events", orders).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    broker.publish("order.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(user_numbers.recv()).await, Some(1));
    assert_eq!(soon(order_numbers.recv()).await, Some(2));
    users.stop().await;
    orders.stop().await;
    assert!(user_numbers.try_recv().is_err() && order_numbers.try_recv().is_err());
}

pub(crate) async fn many_topics_at_once_stay_apart<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = &broker(config()).await;
    let topics = (0..8_u32).map(|topic| async move {
        let exchange = format!("topic{topic}.events");
        let (router, mut numbers) = numbers();
        let handle = broker.subscribe(exchange.as_str(), router).await.unwrap();
        let publishes = (0..50).map(|number| {
            let event = UserCreated::numbered(topic * 100 + number);
            broker.publish(&exchange, event)
        });
        futures_util::future::try_join_all(publishes).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..50 {
            seen.push(soon(numbers.recv()).await.unwrap());
        }
        handle.stop().await;
        assert!(numbers.try_recv().is_err());
        seen.sort_unstable();
        assert_eq!(seen, (topic * 100..topic * 100 + 50).collect::<Vec<_>>());
    });
    futures_util::future::join_all(topics).await;
}

pub(crate) async fn otherwise_gets_every_other_type<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let (sender, mut others) = mpsc::unbounded_channel();
    let router = router.otherwise(move |event: RawEvent| {
        let sent = sender.send(event.event_type);
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserDeleted { user_id: "usr_1".into() }).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(others.recv()).await.as_deref(), Some("user.deleted"));
    assert_eq!(soon(numbers.recv()).await, Some(1));
    assert!(others.try_recv().is_err());
}

pub(crate) async fn a_new_consumer_gets_what_waited<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..10 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}

pub(crate) async fn an_ephemeral_consumer_sees_what_comes_and_leaves_nothing<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let ((first, mut first_numbers), (second, mut second_numbers)) = (numbers(), numbers());
    let alone = || Subscription::new("user.events").ephemeral();
    // Of the same service, and yet each gets every event.
    let first = broker.subscribe(alone(), first).await.unwrap();
    let second = broker.subscribe(alone(), second).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!((soon(first_numbers.recv()).await, soon(second_numbers.recv()).await), (Some(1), Some(1)));
    second.stop().await;
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(first_numbers.recv()).await, Some(2));
    first.stop().await;
    let router = EventRouter::new().on(|_: Event<ReportRequested>| async { Ok(()) });
    let error = broker.subscribe(alone(), router).await.unwrap_err();
    assert!(error.to_string().contains("ephemeral"), "{error}");
}

pub(crate) async fn the_longest_names_have_ephemeral_consumers<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let exchange = "e".repeat(100);
    let alone = |group: String| Subscription::new(exchange.as_str()).group(group).ephemeral();
    let (router, mut received) = numbers();
    let _handle = broker.subscribe(alone("g".repeat(100)), router.clone()).await.unwrap();
    broker.publish(&exchange, UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(received.recv()).await, Some(1));
    let error = broker.subscribe(alone("g".repeat(101)), router).await.unwrap_err().to_string();
    assert!(error.contains("over 100 bytes") && !error.contains(".only"), "{error}");
}
