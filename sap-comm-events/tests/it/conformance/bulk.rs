//! Many events at once.

use sap_comm_events::PublishOptions;

use super::*;

pub(crate) async fn a_batch_is_published_in_order_and_each_event_has_its_outcome<F: Future<Output = Broker>>(
    new: impl Fn(BrokerConfig) -> F,
) {
    let broker = new(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let outcomes = soon(broker.publish_batch("user.events", (0..500).map(UserCreated::numbered))).await;
    let ids: std::collections::HashSet<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().id).collect();
    assert_eq!(ids.len(), 500);
    for expected in 0..500 {
        assert_eq!(soon(numbers.recv()).await, Some(expected));
    }
    assert!(soon(broker.publish_batch::<UserCreated>("user.events", [])).await.is_empty());
    let outcomes = soon(broker.publish_batch("nobody.listens", [UserCreated::numbered(1)])).await;
    assert!(matches!(&outcomes[..], [Err(PublishError::Unroutable { .. })]), "{outcomes:?}");
}

pub(crate) async fn what_cannot_be_published_stops_nothing_else_of_its_batch<F: Future<Output = Broker>>(
    new: impl Fn(BrokerConfig) -> F,
) {
    let broker = new(config().max_event_bytes(1_000)).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let large = UserCreated { user_id: "x".repeat(2_000), number: 1 };
    let later = PublishOptions::new().after(Duration::from_millis(50));
    let never = PublishOptions::new().after(PublishOptions::MAX_DELAY + Duration::from_secs(1));
    let events = [
        (UserCreated::numbered(0), later),
        (large, PublishOptions::new()),
        (UserCreated::numbered(2), PublishOptions::new()),
        (UserCreated::numbered(3), never),
        (UserCreated::numbered(4), PublishOptions::new()),
    ];
    let outcomes = soon(broker.publish_batch_with("user.events", events)).await;
    assert!(
        matches!(
            &outcomes[..],
            [Ok(_), Err(PublishError::TooLarge { .. }), Ok(_), Err(PublishError::TooFar { .. }), Ok(_)]
        ),
        "{outcomes:?}"
    );
    for expected in [2, 4, 0] {
        assert_eq!(soon(numbers.recv()).await, Some(expected));
    }
}
