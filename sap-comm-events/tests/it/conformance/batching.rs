//! Several events to one handler.

use sap_comm_events::Batching;

use super::*;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3_600);

/// Sends the numbers of every batch.
fn batches(batching: Batching) -> (EventRouter, mpsc::UnboundedReceiver<Vec<u32>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on_batch(batching, move |events: Vec<Event<UserCreated>>| {
        let sent = sender.send(events.iter().map(|event| event.data.number).collect());
        async move { Ok(sent?) }
    });
    (router, receiver)
}

pub(crate) async fn a_full_batch_is_handled_at_once_and_in_order<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    // Fewer ahead than a batch has would never fill one.
    let broker = broker(config().prefetch(1)).await;
    let (router, mut batches) = batches(Batching::of(5).linger(NEVER));
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(soon(batches.recv()).await, Some(vec![0, 1, 2, 3, 4]));
    assert_eq!(soon(batches.recv()).await, Some(vec![5, 6, 7, 8, 9]));
}

pub(crate) async fn a_batch_that_does_not_fill_is_handled_after_its_linger<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut batches) = batches(Batching::of(1_000).linger(Duration::from_millis(50)));
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..3 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(soon(batches.recv()).await.unwrap());
    }
    assert_eq!(seen, [0, 1, 2]);
}

pub(crate) async fn each_event_of_a_batch_is_settled_by_its_own_outcome<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (sender, mut batches) = mpsc::unbounded_channel();
    let batching = Batching::of(4).linger(NEVER);
    let router = EventRouter::new().on_batch_outcomes(batching, move |events: Vec<Event<UserCreated>>| {
        let numbers: Vec<_> = events.iter().map(|event| event.data.number).collect();
        let sent = sender.send(numbers.clone());
        async move {
            let alone = numbers.len() == 1;
            let outcome = |number: &u32| match number {
                _ if sent.is_err() => Outcome::Ack,
                1 if !alone => Outcome::Retry { reason: "not yet".into() },
                2 => Outcome::DeadLetter { reason: "never".into() },
                3 if !alone => Outcome::Requeue,
                _ => Outcome::Ack,
            };
            numbers.iter().map(outcome).collect()
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..4 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(soon(batches.recv()).await, Some(vec![0, 1, 2, 3]));
    let mut again = [soon(batches.recv()).await.unwrap(), soon(batches.recv()).await.unwrap()].concat();
    again.sort_unstable();
    assert_eq!(again, [1, 3], "each in a batch of its own");
    assert_eq!(soon(failures.recv()).await.unwrap().data.error.message, "never");
    soon(handle.stop()).await;
    let letters = broker.dead_letters("user.events", "user-service");
    assert_eq!(letters.count().await.unwrap(), 1);
    assert!(batches.try_recv().is_err());
}

pub(crate) async fn one_bad_event_of_a_batch_fails_alone_in_the_end<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let batching = Batching::of(4).linger(NEVER);
    let router = EventRouter::new().on_batch(batching, move |events: Vec<Event<UserCreated>>| {
        let sender = sender.clone();
        async move {
            assert!(events.iter().all(|event| event.data.number != 2), "a panic of the test");
            Ok(events.iter().try_for_each(|event| sender.send(event.data.number))?)
        }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..4 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let mut seen = [soon(handled.recv()).await, soon(handled.recv()).await, soon(handled.recv()).await];
    seen.sort_unstable();
    assert_eq!(seen, [Some(0), Some(1), Some(3)]);
    let failure = soon(failures.recv()).await.unwrap().data.error;
    assert_eq!(failure.message, "the handler panicked");
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [3]);
}

pub(crate) async fn what_does_not_fit_is_left_out_of_its_batch<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (router, mut batches) = batches(Batching::of(3).linger(NEVER));
    let (sender, mut deleted) = mpsc::unbounded_channel();
    let router = router.on(move |event: Event<UserDeleted>| {
        let sent = sender.send(event.data.user_id);
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    broker.publish("user.events", UserDeleted { user_id: "usr_9".into() }).await.unwrap();
    let bad = failing::misshapen("user.created", "1.0", r#"{"userId":7}"#);
    broker.publish_raw("user.events", bad, EventKind::Domain).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(deleted.recv()).await.as_deref(), Some("usr_9"), "other types do not wait for a batch");
    assert_eq!(soon(batches.recv()).await, Some(vec![0, 1]));
    assert_eq!(soon(failures.recv()).await.unwrap().data.error.code, "MALFORMED_BODY");
}

pub(crate) async fn a_wrong_number_of_outcomes_is_a_failed_attempt<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let batching = Batching::of(2).linger(NEVER);
    let router = EventRouter::new().on_batch_outcomes(batching, |_: Vec<Event<UserCreated>>| async { Vec::new() });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..2 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    for _ in 0..2 {
        let failure = soon(failures.recv()).await.unwrap().data.error;
        assert_eq!(failure.message, "the handler was given 1 events and answered 0 outcomes");
    }
}

pub(crate) async fn a_batch_that_fills_goes_back_at_a_stop<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().count_redeliveries(false)).await;
    let (router, mut gone) = batches(Batching::of(100).linger(NEVER));
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..10 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    soon(handle.stop()).await;
    assert!(gone.recv().await.is_none(), "nothing was handled");
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..10 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}

pub(crate) async fn batches_that_cannot_be_are_refused<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    for size in [0, 65_536] {
        let (router, _batches) = batches(Batching::of(size));
        let error = broker.subscribe("user.events", router).await.unwrap_err().to_string();
        assert!(error.contains("batch size"), "{error}");
    }
    let (router, _batches) = batches(Batching::of(2).linger(Duration::MAX));
    let error = broker.subscribe("user.events", router).await.unwrap_err().to_string();
    assert!(error.contains("batch linger"), "{error}");
    let (router, _batches) = batches(Batching::of(2));
    let in_no_time = Subscription::new("user.events").timeout(Duration::ZERO);
    let error = broker.subscribe(in_no_time, router).await.unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
    let (router, _batches) = batches(Batching::of(2));
    let subscription = Subscription::new("user.events").ordered_by_key();
    let error = broker.subscribe(subscription, router).await.unwrap_err().to_string();
    assert!(error.contains("ordered_by"), "{error}");
}
