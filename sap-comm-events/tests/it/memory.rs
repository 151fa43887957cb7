//! What only the in-memory broker can show: time that does not pass.

use std::time::Duration;

use sap_comm_core::Event;
use sap_comm_events::{
    Broker, BrokerConfig, EventProcessingFailed, EventRouter, Filter, HandlerError, Outcome, OverflowPolicy,
    PublishError, PublishOptions, Round, Subscription,
};
use tokio::{sync::mpsc, time::Instant};

use crate::{conformance::ending::Published, events::UserCreated};

#[tokio::test(start_paused = true)]
async fn each_retry_waits_for_its_delay() {
    let config = BrokerConfig::new("user-service").max_attempts(6);
    let broker = Broker::memory(config).unwrap();
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |_: Event<UserCreated>| {
        let sent = sender.send(Instant::now());
        async move {
            sent?;
            Err(HandlerError::retry("always"))
        }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    let mut last = attempts.recv().await.unwrap();
    for delay in [100, 1_000, 5_000, 5_000, 5_000].map(Duration::from_millis) {
        let next = attempts.recv().await.unwrap();
        let waited = next - last;
        assert!(waited >= delay && waited < delay + Duration::from_millis(10), "{waited:?} instead of {delay:?}");
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_exact_and_what_waits_is_bounded() {
    let config = BrokerConfig::new("user-service").queue_capacity(2).overflow(OverflowPolicy::Refuse);
    let broker = Broker::memory(config).unwrap();
    let (sender, mut arrived) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send((event.data.number, Instant::now()));
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let start = Instant::now();
    let later = async |number, days: u64| {
        let delay = Duration::from_secs(days * 86_400);
        broker.publish_after("user.events", UserCreated::numbered(number), delay).await
    };
    later(1, 30).await.unwrap();
    later(2, 1).await.unwrap();
    let error = later(3, 2).await.unwrap_err();
    assert!(matches!(error, PublishError::QueueFull { capacity: 2 }), "{error}");
    for (number, days) in [(2, 1), (1, 30)] {
        let (arrived, at) = arrived.recv().await.unwrap();
        let waited = at - start;
        assert_eq!((arrived, waited.as_secs()), (number, days * 86_400));
    }
    later(3, 2).await.unwrap();
    assert_eq!(arrived.recv().await.unwrap().0, 3);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_retry_holds_nobody_up() {
    let broker = Broker::memory(BrokerConfig::new("user-service")).unwrap();
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sender = sender.clone();
        async move {
            if event.data.number == 0 && sap_comm_core::Context::current().attempt() == 1 {
                return Err(HandlerError::retry("once"));
            }
            Ok(sender.send(event.data.number)?)
        }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..3 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let order = [handled.recv().await, handled.recv().await, handled.recv().await];
    assert_eq!(order, [Some(1), Some(2), Some(0)]);
}

#[tokio::test]
async fn two_urls_are_two_brokers_and_a_clone_is_the_same() {
    let broker = Broker::connect("memory://", BrokerConfig::new("a")).await.unwrap();
    let other = Broker::connect("memory://", BrokerConfig::new("b")).await.unwrap();
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert!(other.publish("user.events", UserCreated::numbered(1)).await.is_err());
    let same = broker.for_service("c");
    assert!(same.publish("user.events", UserCreated::numbered(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_settles_what_it_holds() {
    let config = BrokerConfig::new("user-service").queue_capacity(1).overflow(OverflowPolicy::Refuse).max_attempts(2);
    let broker = Broker::memory(config).unwrap();
    let (sender, mut handled) = mpsc::unbounded_channel();
    let mut turns = 0;
    let turn = parking_lot::Mutex::new(move || {
        turns += 1;
        turns
    });
    let router = EventRouter::new().on_outcome(move |_: Event<UserCreated>| {
        let turn = turn.lock()();
        let sent = sender.send(turn);
        async move {
            match turn {
                _ if sent.is_err() => Outcome::Ack,
                1 => Outcome::Requeue,
                _ => Outcome::Retry { reason: "always".into() },
            }
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let start = Instant::now();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    for turn in 1..=3 {
        assert_eq!(handled.recv().await, Some(turn));
    }
    handle.stop().await;
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
    // What it holds for later counts, so that memory is bounded.
    let error = broker.publish("user.events", UserCreated::numbered(2)).await.unwrap_err();
    assert!(matches!(error, PublishError::QueueFull { capacity: 1 }), "{error}");
}

/// A broker on which nothing more fits into the queue of `error.events`, and the router of its reader.
async fn with_a_full_queue_of_reports() -> (Broker, EventRouter, mpsc::UnboundedReceiver<Event<EventProcessingFailed>>)
{
    let config = BrokerConfig::new("user-service").queue_capacity(1).overflow(OverflowPolicy::Refuse);
    let broker = Broker::memory(config).unwrap();
    let (sender, reports) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<EventProcessingFailed>| {
        let sent = sender.send(event).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let watcher = broker.for_service("watcher");
    watcher.subscribe("error.events", router.clone()).await.unwrap().stop().await;
    let failing = || EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) });
    let first = broker.subscribe("order.events", failing()).await.unwrap();
    broker.publish("order.events", UserCreated::numbered(1)).await.unwrap();
    while broker.dead_letters("order.events", "user-service").count().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    first.stop().await;
    (broker, router, reports)
}

#[tokio::test(start_paused = true)]
async fn a_report_that_does_not_fit_is_given_up_and_the_event_is_settled() {
    let (broker, _router, _reports) = with_a_full_queue_of_reports().await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move {
            sent?;
            Err(HandlerError::permanent("broken"))
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    let start = Instant::now();
    assert_eq!(handled.recv().await, Some(2));
    handle.stop().await;
    assert_eq!(start.elapsed().as_secs(), 2, "three tries, a second between them");
    assert!(handled.try_recv().is_err(), "it was handled again");
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_tried_again_until_it_fits() {
    let (broker, reader, mut reports) = with_a_full_queue_of_reports().await;
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("later")) });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    while broker.dead_letters("user.events", "user-service").count().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let _reader = broker.for_service("watcher").subscribe("error.events", reader).await.unwrap();
    let messages =
        [reports.recv().await.unwrap(), reports.recv().await.unwrap()].map(|report| report.data.error.message);
    assert_eq!(messages, ["broken", "later"]);
    handle.stop().await;
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
}

/// Numbers that became dead letters.
async fn buried(broker: &Broker, numbers: u32) -> sap_comm_events::DeadLetters {
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..numbers {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let letters = broker.dead_letters("user.events", broker.service());
    while letters.count().await.unwrap() < numbers.into() {
        tokio::task::yield_now().await;
    }
    handle.stop().await;
    letters
}

#[tokio::test(start_paused = true)]
async fn a_redrive_keeps_its_rate() {
    let broker = Broker::memory(BrokerConfig::new("user-service")).unwrap();
    let letters = buried(&broker, 21).await;
    let start = Instant::now();
    let progress = letters.redrive(Round::new().rate(10.0)).await.unwrap();
    assert_eq!(
        (progress.done, start.elapsed().as_millis() / 10),
        (21, 200),
        "the first at once, the others 100 ms apart"
    );
}

#[tokio::test(start_paused = true)]
async fn a_redrive_that_takes_an_hour_takes_what_it_holds_anew() {
    let broker = Broker::memory(BrokerConfig::new("user-service")).unwrap();
    let letters = buried(&broker, 6).await;
    let round =
        Round::new().filter(Filter::new().matching(|letter| !letter.event.windows(5).any(|text| text == b"usr_2")));
    let start = Instant::now();
    let progress = letters.redrive(round.rate(0.001)).await.unwrap();
    assert_eq!((progress.total, progress.done), (6, 5));
    assert!(start.elapsed() >= Duration::from_secs(4_000), "{:?}", start.elapsed());
    assert_eq!(letters.count().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_comes_to_its_deadline_takes_what_room_there_is() {
    let config = BrokerConfig::new("user-service").queue_capacity(64).publish_deadline(Duration::from_secs(1));
    let broker = Broker::memory(config).unwrap();
    let router = EventRouter::new().on(|event: Event<UserCreated>| async move {
        match event.data.number {
            0..3 => Ok(()),
            _ => std::future::pending().await,
        }
    });
    let subscription = Subscription::new("user.events").concurrency(1);
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    let begun = Instant::now();
    let outcomes = broker.publish_batch("user.events", (0..100).map(UserCreated::numbered)).await;
    let waited = begun.elapsed();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 67, "64 wait, 3 are done");
    assert!(outcomes.iter().skip(67).all(|outcome| matches!(outcome, Err(PublishError::QueueFull { capacity: 64 }))));
    assert!(waited < Duration::from_millis(1_100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_later_events_waits_for_nothing() {
    let broker = Broker::memory(BrokerConfig::new("user-service").queue_capacity(64)).unwrap();
    let (sender, mut arrived) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let begun = Instant::now();
    let later =
        (0..3).map(|number| (UserCreated::numbered(number), PublishOptions::new().after(Duration::from_secs(5))));
    let outcomes = broker.publish_batch_with("user.events", later).await;
    assert!(outcomes.iter().all(Result::is_ok) && begun.elapsed() < Duration::from_secs(1));
    for number in 0..3 {
        assert_eq!(arrived.recv().await, Some(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_while_the_broker_closes_is_handled_or_waits() {
    let broker = Broker::memory(BrokerConfig::new("user-service")).unwrap();
    let published = Published::while_closing(&broker).await;
    let left = broker.lag("user.events", "user-service").await.unwrap().unwrap();
    let waiting = published.waiting().len();
    let most = waiting + published.unknown.len();
    assert!((waiting as u64..=most as u64).contains(&left), "{left} of {waiting} to {most}");
}
