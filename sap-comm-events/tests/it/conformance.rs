//! The behaviours that every broker must show: each function below is one, run over each of them.

use std::{future::Future, time::Duration};

use sap_comm_core::{Context, Event, EventKind, RawEvent};
use sap_comm_events::{
    Broker, BrokerConfig, EventProcessingFailed, EventRouter, HandlerError, Outcome, OverflowPolicy, PublishError,
    SubscribeError, Subscription,
};
use tokio::sync::mpsc;

use crate::events::{ReportRequested, UserCreated, UserDeleted};

/// What a test waits for at most; not what it waits.
const LIMIT: Duration = Duration::from_secs(30);

/// Retries soon, so that the tests are quick over a real clock.
fn config() -> BrokerConfig {
    BrokerConfig::new("user-service").retry_delays([20, 50].map(Duration::from_millis)).max_attempts(3)
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it did not happen in time")
}

/// A router that sends every user's number to the receiver.
fn numbers() -> (EventRouter, mpsc::UnboundedReceiver<u32>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move { Ok(sent?) }
    });
    (router, receiver)
}

/// The error events, as they come.
async fn failures(
    broker: &Broker,
) -> (sap_comm_events::SubscriptionHandle, mpsc::UnboundedReceiver<Event<EventProcessingFailed>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<EventProcessingFailed>| {
        let sent = sender.send(event).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let handle = broker.for_service("watcher").subscribe("error.events", router).await.unwrap();
    (handle, receiver)
}

/// Runs every behaviour over one broker: `$broker` is `async fn(BrokerConfig) -> Broker`, fresh each time.
macro_rules! conformance {
    ($name:ident, $broker:path) => {
        mod $name {
            conformance!(@each $broker:
                publish_and_subscribe,
                each_group_gets_every_event,
                consumers_of_a_group_share_its_events,
                a_command_reaches_exactly_one_consumer,
                a_command_without_a_consumer_is_unroutable,
                order_is_kept_within_a_queue,
                a_failed_event_is_retried_until_it_succeeds,
                an_exhausted_event_is_a_dead_letter_and_reported,
                a_permanent_failure_is_a_dead_letter_at_once,
                a_panic_is_a_failed_attempt,
                a_slow_handler_is_a_failed_attempt,
                a_requeued_event_comes_back_and_not_for_ever,
                an_unparsable_event_is_a_dead_letter_and_the_consumer_goes_on,
                a_wrong_version_is_a_dead_letter,
                failed_error_events_are_not_reported,
                dead_letters_are_listed_and_redriven,
                dead_letters_of_an_unknown_group_are_an_error,
                an_unroutable_event_is_reported,
                topics_are_separate,
                otherwise_gets_every_other_type,
                the_context_crosses_the_broker,
                a_stopped_consumer_finishes_what_it_has_and_the_rest_waits,
                a_new_consumer_gets_what_waited,
                closing_waits_for_handlers_and_publishes,
                a_closed_broker_refuses,
                thousands_of_concurrent_publishes_all_arrive_once,
                many_subscribers_share_thousands_of_events,
                concurrent_handlers_are_bounded,
                an_event_over_the_limit_is_refused,
                names_that_cannot_be_are_refused,
            );
        }
    };
    (@each $broker:path: $($test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($broker).await;
            }
        )*
    };
}

/// A fresh in-memory broker.
async fn in_memory(config: BrokerConfig) -> Broker {
    Broker::connect("memory://", config).await.unwrap()
}

conformance!(memory, super::in_memory);

#[cfg(feature = "rabbitmq")]
conformance!(rabbitmq, crate::rabbitmq::in_a_vhost_of_its_own);

async fn publish_and_subscribe<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let confirmation = broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    assert!(confirmation.id.starts_with("evt_"));
    assert_eq!(soon(numbers.recv()).await, Some(7));
    handle.stop().await;
}

async fn each_group_gets_every_event<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn consumers_of_a_group_share_its_events<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let entered = std::sync::Arc::new(tokio::sync::Barrier::new(2));
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

async fn a_command_reaches_exactly_one_consumer<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn a_command_without_a_consumer_is_unroutable<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    // Who asks for everything asks for every event; a command is not one.
    let router = EventRouter::new().otherwise(|_| async { Ok(()) });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    let error = broker.publish("report.events", ReportRequested { number: 1 }).await.unwrap_err();
    assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");
}

async fn order_is_kept_within_a_queue<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn a_failed_event_is_retried_until_it_succeeds<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn an_exhausted_event_is_a_dead_letter_and_reported<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let router = EventRouter::new()
        .on(|_: Event<UserCreated>| async { Err(sap_comm_core::ApiError::not_found("user", "7").into()) });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let event = Event::new("auth-service", UserCreated::numbered(7));
    broker.publish_event("user.events", &event).await.unwrap();
    let failure = soon(failures.recv()).await.unwrap();
    handle.stop().await;
    assert_eq!(failure.event_type, "event.processing.failed");
    assert_eq!(failure.source, "user-service");
    assert_eq!(failure.correlation_id, event.correlation_id);
    assert_eq!(failure.data.original_event.get(), String::from_utf8(event.to_json().unwrap()).unwrap());
    assert_eq!(failure.data.error.code, "USER_NOT_FOUND");
    assert_eq!(failure.data.error.message, "User with ID 7 not found");
    let letters = broker.dead_letters("user.events", "user-service").list(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].attempts, letters[0].id.as_str()), (3, event.id.as_str()));
    assert_eq!(letters[0].reason, "User with ID 7 not found");
    assert!(letters[0].at.is_some());
}

async fn a_permanent_failure_is_a_dead_letter_at_once<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let router =
        EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("no such tenant")) });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    let failure = soon(failures.recv()).await.unwrap();
    assert_eq!(
        (failure.data.error.code.as_str(), failure.data.error.message.as_str()),
        ("UNKNOWN_ERROR", "no such tenant")
    );
    handle.stop().await;
    let letters = broker.dead_letters("user.events", "user-service").list(10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [1]);
}

async fn a_panic_is_a_failed_attempt<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn a_slow_handler_is_a_failed_attempt<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn a_requeued_event_comes_back_and_not_for_ever<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

/// An event whose payload is not what its type promises.
fn misshapen(event_type: &str, version: &str, data: &str) -> RawEvent {
    let json = format!(
        r#"{{"id":"evt_bad","type":"{event_type}","source":"x","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_1","data":{data},"metadata":{{"version":"{version}"}}}}"#
    );
    RawEvent::from_json(json.as_bytes()).unwrap()
}

async fn an_unparsable_event_is_a_dead_letter_and_the_consumer_goes_on<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let bad = misshapen("user.created", "1.0", r#"{"userId":7}"#);
    broker.publish_raw("user.events", bad, EventKind::Domain).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(2));
    let failure = soon(failures.recv()).await.unwrap();
    assert_eq!(failure.data.error.code, "MALFORMED_BODY");
    assert_eq!(failure.correlation_id, "req_1");
    handle.stop().await;
    let letters = broker.dead_letters("user.events", "user-service").list(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("user.created"), "{}", letters[0].reason);
}

async fn a_wrong_version_is_a_dead_letter<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (router, _numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let later = misshapen("user.created", "2.0", "{}");
    broker.publish_raw("user.events", later, EventKind::Domain).await.unwrap();
    let failure = soon(failures.recv()).await.unwrap();
    assert_eq!(failure.data.error.code, "INVALID_ARGUMENT");
    assert!(failure.data.error.message.contains("\"2.0\""), "{}", failure.data.error.message);
}

async fn failed_error_events_are_not_reported<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let router = EventRouter::new()
        .on(|_: Event<EventProcessingFailed>| async { Err(HandlerError::permanent("the reporter fails too")) })
        .on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) });
    let handle = broker.subscribe(Subscription::new("error.events").group("broken"), router).await.unwrap();
    let (other, _numbers) = numbers();
    let failing = other.on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("first")) });
    let _failing = broker.subscribe("user.events", failing).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(failures.recv()).await.unwrap().data.error.message, "first");
    let letters = broker.dead_letters("error.events", "broken");
    soon(async {
        while letters.count().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    handle.stop().await;
    assert!(failures.try_recv().is_err(), "a failure of an error event was reported");
}

async fn dead_letters_are_listed_and_redriven<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("down")) });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..5 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        soon(failures.recv()).await.unwrap();
    }
    handle.stop().await;
    let letters = broker.dead_letters("user.events", "user-service");
    assert_eq!(letters.list(3).await.unwrap().len(), 3);
    let listed = letters.list(100).await.unwrap();
    let numbers_of = |event: &[u8]| RawEvent::from_json(event).unwrap().decode::<UserCreated>().unwrap().data.number;
    let listed: Vec<_> = listed.iter().map(|letter| numbers_of(&letter.event)).collect();
    assert_eq!(listed, [0, 1, 2, 3, 4], "oldest first, and listing takes nothing away");
    assert_eq!(letters.redrive(2).await.unwrap(), 2);
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!((soon(numbers.recv()).await, soon(numbers.recv()).await), (Some(0), Some(1)));
    assert_eq!(letters.redrive(100).await.unwrap(), 3);
    for number in 2..5 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    assert_eq!(letters.count().await.unwrap(), 0);
}

async fn dead_letters_of_an_unknown_group_are_an_error<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    for error in [
        broker.dead_letters("user.events", "nobody").list(1).await.unwrap_err(),
        broker.dead_letters("user.events", "nobody").count().await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("user.events.nobody.dead"), "{error}");
    }
}

async fn an_unroutable_event_is_reported<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn topics_are_separate<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn otherwise_gets_every_other_type<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn the_context_crosses_the_broker<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut contexts) = mpsc::unbounded_channel();
    let publisher = broker.for_service("profile-service");
    let relay = EventRouter::new().on(move |event: Event<UserCreated>| {
        let publisher = publisher.clone();
        async move {
            publisher.publish("user.events", UserDeleted { user_id: event.data.user_id }).await?;
            Ok(())
        }
    });
    let last = EventRouter::new().on(move |event: Event<UserDeleted>| {
        let sent = sender.send((Context::current(), event)).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let _last = broker.subscribe(Subscription::new("user.events").group("last"), last).await.unwrap();
    let _relay = broker.subscribe("user.events", relay).await.unwrap();
    let principal = sap_comm_core::Principal::user("usr_admin", ["admin"]);
    let context = Context::root().with_principal(principal).with_timeout(LIMIT).with_attempt(3);
    context.clone().scope(broker.publish("user.events", UserCreated::numbered(1))).await.unwrap();
    let (arrived, event) = soon(contexts.recv()).await.unwrap();
    assert_eq!(arrived.trace().trace_id(), context.trace().trace_id());
    assert_ne!(arrived.trace().span_id(), context.trace().span_id());
    assert_eq!((arrived.request_id(), arrived.correlation_id()), (context.request_id(), context.correlation_id()));
    assert_eq!(arrived.principal(), context.principal());
    assert_eq!((arrived.deadline(), arrived.attempt()), (None, 1), "those of the publisher's request end with it");
    assert_eq!((event.correlation_id.as_str(), event.source.as_str()), (context.correlation_id(), "profile-service"));
    assert_eq!(event.metadata.user_id.as_deref(), Some("usr_admin"));
}

async fn a_stopped_consumer_finishes_what_it_has_and_the_rest_waits<F: Future<Output = Broker>>(
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

async fn a_new_consumer_gets_what_waited<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn closing_waits_for_handlers_and_publishes<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn a_closed_broker_refuses<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn thousands_of_concurrent_publishes_all_arrive_once<F: Future<Output = Broker>>(
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

async fn many_subscribers_share_thousands_of_events<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
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

async fn concurrent_handlers_are_bounded<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut entered) = mpsc::unbounded_channel();
    let release = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, held) = (sender.clone(), held.clone());
        async move {
            sender.send(event.data.number)?;
            held.acquire().await?.forget();
            Ok(())
        }
    });
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

async fn an_event_over_the_limit_is_refused<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config().max_event_bytes(1_000)).await;
    let large = UserDeleted { user_id: "x".repeat(1_000) };
    let error = broker.publish("user.events", large).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 1_000, .. }), "{error}");
}

async fn names_that_cannot_be_are_refused<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let error = broker.publish("", UserCreated::numbered(1)).await.unwrap_err();
    assert!(matches!(error, PublishError::Name { .. }), "{error}");
    let (router, _numbers) = numbers();
    let error = broker.subscribe(Subscription::new("user.events").group("a b"), router.clone()).await.unwrap_err();
    assert!(error.to_string().contains("\"a b\""), "{error}");
    let error = broker.subscribe(Subscription::new("user.events").concurrency(0), router).await.unwrap_err();
    assert!(error.to_string().contains("concurrency"), "{error}");
    let error = broker.subscribe("user.events", EventRouter::new()).await.unwrap_err();
    assert!(matches!(error, SubscribeError::NoHandlers { .. }), "{error}");
}

#[tokio::test]
async fn a_full_queue_refuses_or_makes_the_publisher_wait() {
    let small = || config().queue_capacity(2).publish_deadline(Duration::from_millis(50));
    for (policy, waited) in [(OverflowPolicy::Refuse, false), (OverflowPolicy::Wait, true)] {
        let broker = in_memory(small().overflow(policy)).await;
        let (router, _numbers) = numbers();
        broker.subscribe("user.events", router).await.unwrap().stop().await;
        for number in 0..2 {
            broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        }
        let start = tokio::time::Instant::now();
        let error = broker.publish("user.events", UserCreated::numbered(2)).await.unwrap_err();
        assert!(matches!(error, PublishError::QueueFull { capacity: 2 }), "{error}");
        assert_eq!(start.elapsed() >= Duration::from_millis(50), waited);
    }
}
