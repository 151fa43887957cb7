//! Events that fail for good: dead letters and error events.

use super::*;

pub(crate) async fn an_exhausted_event_is_a_dead_letter_and_reported<F: Future<Output = Broker>>(
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
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].attempts, letters[0].id.as_str()), (3, event.id.as_str()));
    assert_eq!(letters[0].reason, "User with ID 7 not found");
    assert!(letters[0].at.is_some());
}

pub(crate) async fn a_permanent_failure_is_a_dead_letter_at_once<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
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
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [1]);
}

/// An event whose payload is not what its type promises.
pub(super) fn misshapen(event_type: &str, version: &str, data: &str) -> RawEvent {
    let json = format!(
        r#"{{"id":"evt_bad","type":"{event_type}","source":"x","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_1","data":{data},"metadata":{{"version":"{version}"}}}}"#
    );
    RawEvent::from_json(json.as_bytes()).unwrap()
}

pub(crate) async fn an_unparsable_event_is_a_dead_letter_and_the_consumer_goes_on<F: Future<Output = Broker>>(
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
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("user.created"), "{}", letters[0].reason);
}

/// Leaves a queue that is bound for a type which the next version of the service does not handle.
async fn binds_what_it_no_longer_handles(broker: &Broker) {
    let router =
        EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) }).on(|_: Event<UserDeleted>| async { Ok(()) });
    broker.subscribe("user.events", router).await.unwrap().stop().await;
}

pub(crate) async fn an_unknown_type_is_a_dead_letter_that_a_later_version_takes<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    binds_what_it_no_longer_handles(&broker).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserDeleted { user_id: "usr_1".into() }).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(2), "the consumer goes on");
    let failure = soon(failures.recv()).await.unwrap().data.error;
    assert_eq!(failure.code, "EVENT_TYPE_UNKNOWN");
    assert!(failure.message.contains("\"user.deleted\""), "{}", failure.message);
    handle.stop().await;
    let letters = broker.dead_letters("user.events", "user-service");
    assert_eq!(letters.peek(10).await.unwrap()[0].code, "EVENT_TYPE_UNKNOWN");
    let (sender, mut deleted) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserDeleted>| {
        let sent = sender.send(event.data.user_id);
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!(letters.redrive(10).await.unwrap().done, 1);
    assert_eq!(soon(deleted.recv()).await.as_deref(), Some("usr_1"));
}

pub(crate) async fn an_unknown_type_is_acknowledged_where_the_router_ignores_it<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    binds_what_it_no_longer_handles(&broker).await;
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router.ignore_unknown()).await.unwrap();
    broker.publish("user.events", UserDeleted { user_id: "usr_1".into() }).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(2));
    handle.stop().await;
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 0);
}

pub(crate) async fn failed_error_events_are_not_reported<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
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
    soon(until(async || letters.count().await.unwrap() > 0)).await;
    handle.stop().await;
    assert!(failures.try_recv().is_err(), "a failure of an error event was reported");
}

pub(crate) async fn dead_letters_are_listed_and_redriven<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
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
    assert_eq!(letters.peek(3).await.unwrap().len(), 3);
    let listed = letters.peek(100).await.unwrap();
    let numbers_of = |event: &[u8]| RawEvent::from_json(event).unwrap().decode::<UserCreated>().unwrap().data.number;
    let listed: Vec<_> = listed.iter().map(|letter| numbers_of(&letter.event)).collect();
    assert_eq!(listed, [0, 1, 2, 3, 4], "oldest first, and listing takes nothing away");
    assert_eq!(letters.redrive(2).await.unwrap().done, 2);
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!((soon(numbers.recv()).await, soon(numbers.recv()).await), (Some(0), Some(1)));
    assert_eq!(letters.redrive(100).await.unwrap().done, 3);
    for number in 2..5 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    assert_eq!(letters.count().await.unwrap(), 0);
}

pub(crate) async fn a_redrive_ends_although_its_events_fail_again<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("down")) });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..3 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        soon(failures.recv()).await.unwrap();
    }
    let letters = broker.dead_letters("user.events", "user-service");
    assert_eq!(soon(letters.redrive(usize::MAX)).await.unwrap().done, 3);
    for _ in 0..3 {
        soon(failures.recv()).await.unwrap();
    }
}

pub(crate) async fn dead_letters_of_an_unknown_group_are_an_error<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    for error in [
        broker.dead_letters("user.events", "nobody").peek(1).await.unwrap_err(),
        broker.dead_letters("user.events", "nobody").count().await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("user.events.nobody.dead"), "{error}");
    }
}
