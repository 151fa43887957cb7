//! Looking on: tails, and what is declared.

use sap_comm_events::{Argument, TopologyDifference};

use super::*;

pub(crate) async fn a_tail_sees_what_is_published_and_takes_it_from_nobody<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    let mut tail = broker.tail("user.events", &["user.*"]).await.unwrap();
    let mut other = broker.tail("user.events", &["user.deleted", "order.#"]).await.unwrap();
    for number in 1..4 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let deleted = Event::new("auth-service", UserDeleted { user_id: "usr_1".into() });
    broker.publish_event("user.events", &deleted).await.unwrap();
    for _ in 1..4 {
        let event = soon(tail.next()).await.unwrap();
        assert_eq!((event.event_type.as_str(), event.source.as_str()), ("user.created", "user-service"));
    }
    let event = soon(tail.next()).await.unwrap();
    assert_eq!((event.id.as_str(), &*event.event), (deleted.id.as_str(), &*deleted.to_json().unwrap()));
    assert_eq!(soon(other.next()).await.unwrap().id, deleted.id, "and nothing before it");
    for number in 0..4 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    drop((tail, other));
    // Nobody wants the type any more, once the tails' queues are gone.
    soon(until(async || broker.publish("user.events", UserDeleted { user_id: "usr_2".into() }).await.is_err())).await;
}

pub(crate) async fn what_a_subscription_declares_is_there_and_the_rest_is_missing<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, _numbers) = numbers();
    let subscription = Subscription::new("user.events");
    let declared = subscription.topology(&config(), &router).unwrap();
    let differences = broker.topology_differences(&declared).await.unwrap();
    let missing = |difference: &TopologyDifference| matches!(difference, TopologyDifference::Missing { .. });
    assert!(!differences.is_empty() && differences.iter().all(missing), "{differences:?}");
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    assert_eq!(broker.topology(), declared);
    assert_eq!(broker.topology_differences(&declared).await.unwrap(), []);
    let mut changed = declared.clone();
    for queue in &mut changed.queues {
        if let Some(ttl) = queue.arguments.get_mut("x-message-ttl") {
            *ttl = Argument::Number(7_000);
        }
    }
    let differences = broker.topology_differences(&changed).await.unwrap();
    let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            r#"queue "user.events.user-service.retry.20" differs in x-message-ttl: expected 7000, found 20"#,
            r#"queue "user.events.user-service.retry.50" differs in x-message-ttl: expected 7000, found 50"#,
        ]
    );
    assert_eq!(broker.topology_differences(&declared).await.unwrap(), [], "looking changes nothing");
}
