//! What tests of services rely on: assertions, and faults that lose nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use sap_comm_core::{Event, EventPayload};
use sap_comm_events::{
    Batching, BrokerConfig, EventRouter, HandlerError, PublishError, Subscription, SubscriptionHandle,
    test_util::{Faults, Ledger, MemoryBroker},
};
use serde::{Deserialize, Serialize};

use crate::events::{UserCreated, UserDeleted};

const LIMIT: Duration = Duration::from_secs(60);

fn panic_of(what: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(what)).unwrap_err();
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_was_published_handled_and_given_up() {
    let broker = MemoryBroker::new("user-service").unwrap();
    let publisher = broker.broker();
    let router = EventRouter::new()
        .on(move |event: Event<UserCreated>| {
            let publisher = publisher.clone();
            async move {
                if event.data.number == 2 {
                    return Err(HandlerError::retry("never"));
                }
                publisher.publish("user.events", UserDeleted { user_id: event.data.user_id }).await?;
                Ok(())
            }
        })
        .on(|_: Event<UserDeleted>| async { Ok(()) });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 1..=2 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    broker.wait_until_idle(LIMIT).await.unwrap();
    assert_eq!(broker.published::<UserCreated>().len(), 2);
    assert_eq!(broker.one_published::<UserDeleted>().data.user_id, "usr_1");
    assert_eq!(broker.one_handled::<UserCreated>().data.number, 1);
    assert_eq!(broker.handled::<UserDeleted>().len(), 1);
    assert_eq!(broker.published_to("user.events").len(), 3);
    let dead = broker.dead_lettered::<UserCreated>();
    assert_eq!((dead.len(), dead[0].event.data.number, dead[0].attempts), (1, 2, 4));
    assert_eq!((dead[0].reason.as_str(), dead[0].queue.as_str()), ("never", "user.events.user-service"));
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
    broker.forget();
    broker.assert_none_published::<UserCreated>();
    broker.assert_no_dead_letters();
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_was_handled_in_batches() {
    let broker = MemoryBroker::new("user-service").unwrap();
    let batching = Batching::of(3).linger(Duration::from_secs(1));
    let router = EventRouter::new().on_batch(batching, |_: Vec<Event<UserCreated>>| async { Ok(()) });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..4 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    broker.wait_until_idle(LIMIT).await.unwrap();
    let handled: Vec<_> = broker.handled::<UserCreated>().iter().map(|event| event.data.number).collect();
    assert_eq!(handled, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_assertion_tells_the_story() {
    let broker = MemoryBroker::new("user-service").unwrap();
    assert!(panic_of(|| drop(broker.one_published::<UserCreated>())).contains("nothing happened"));
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("no tenant")) });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert!(broker.publish("user.events", UserDeleted { user_id: "usr_1".into() }).await.is_err());
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    broker.wait_until_idle(LIMIT).await.unwrap();
    let story = panic_of(|| drop(broker.one_handled::<UserCreated>()));
    for part in
        ["0 events of type \"user.created\" were handled instead of one", "published to user.events", "no tenant"]
    {
        assert!(story.contains(part), "{part:?} is not in {story}");
    }
    assert!(!story.contains("user.deleted"), "what was not confirmed was not published: {story}");
    assert!(panic_of(|| broker.assert_no_dead_letters()).contains("1 events became dead letters"));
    assert!(panic_of(|| broker.assert_none_published::<UserCreated>()).contains("1 events of type"));
}

#[tokio::test(start_paused = true)]
async fn it_is_idle_once_retries_are_over_and_says_what_is_not_done() {
    let broker = MemoryBroker::new("user-service").unwrap();
    broker.wait_until_idle(LIMIT).await.unwrap();
    let router = EventRouter::new().on(|_: Event<UserCreated>| std::future::pending());
    let handle = broker.subscribe(Subscription::new("user.events").timeout(Duration::from_secs(10)), router).await;
    let _handle = handle.unwrap();
    for number in 0..2 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let error = broker.wait_until_idle(Duration::from_secs(5)).await.unwrap_err().to_string();
    assert!(error.contains("user.events.user-service") && error.contains("in hand"), "{error}");
    broker.wait_until_idle(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(broker.dead_lettered::<UserCreated>().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_nobody_is_idle() {
    let broker = MemoryBroker::new("user-service").unwrap();
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) });
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    broker.wait_until_idle(LIMIT).await.unwrap();
}

#[test]
fn a_rate_beyond_one_is_named() {
    let faults = Faults::seeded(1).nack(1.5);
    let error = MemoryBroker::builder(BrokerConfig::new("a")).faults(faults).build().unwrap_err();
    assert!(error.to_string().contains("nack"), "{error}");
}

#[derive(Debug, Serialize, Deserialize, EventPayload)]
#[event(type = "step.taken")]
struct StepTaken {
    key: String,
    number: u64,
}

/// Handles steps, and fails some of them once.
async fn consumer(broker: &MemoryBroker, ledger: &Ledger, fails: bool) -> SubscriptionHandle {
    let seen = ledger.clone();
    let router = EventRouter::new().on(move |event: Event<StepTaken>| {
        let seen = seen.clone();
        async move {
            tokio::task::yield_now().await;
            if fails && event.data.number % 5 == 3 && sap_comm_core::Context::current().attempt() == 1 {
                return Err(HandlerError::retry("once"));
            }
            seen.received(&event.data.key, event.data.number);
            Ok(())
        }
    });
    broker.subscribe("step.events", router).await.unwrap()
}

/// Publishes as a service does that sends the same event again while that may help.
async fn publish(broker: &MemoryBroker, ledger: &Ledger, key: &str, number: u64) {
    let event = Event::new("walker", StepTaken { key: key.to_owned(), number });
    ledger.sent(key, number).unwrap();
    for _ in 0..20 {
        match broker.publish_event("step.events", &event).await {
            Ok(_) => return ledger.confirmed(key, number),
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_fault_loses_a_confirmed_event() {
    for seed in 0..8 {
        let faults = Faults::seeded(seed)
            .unavailable(0.05)
            .nack(0.05)
            .blocked(0.05)
            .unknown(0.05)
            .duplicate(0.05)
            .delay(0.05, Duration::from_millis(20))
            .drop_connection(0.02);
        let config = BrokerConfig::new("walker").retry_delays([Duration::from_millis(10)]).queue_capacity(50);
        let broker = MemoryBroker::builder(config).faults(faults).build().unwrap();
        let ledger = Ledger::new().seed(seed);
        let _handles = [consumer(&broker, &ledger, true).await, consumer(&broker, &ledger, true).await];
        let publishers = (0..4).map(|key| {
            let (broker, ledger, key) = (&broker, &ledger, format!("k{key}"));
            async move {
                for number in 0..100 {
                    publish(broker, ledger, &key, number).await;
                }
            }
        });
        futures_util::future::join_all(publishers).await;
        broker.wait_until_idle(Duration::from_secs(3_600)).await.unwrap();
        let report = ledger.report();
        assert!(report.is_lossless() && report.sent == 400, "{report}\n{}", broker.fault_counts());
        let counts = broker.fault_counts();
        assert!(counts.nacked > 0 && counts.unknown > 0 && counts.duplicated > 0 && counts.connections > 0, "{counts}");
        broker.assert_no_dead_letters();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_brings_back_what_was_in_hand_and_settles_nothing() {
    let faults = Faults::seeded(3).drop_connection(0.2);
    let broker = MemoryBroker::builder(BrokerConfig::new("walker")).faults(faults).build().unwrap();
    let ledger = Ledger::new();
    let _handle = consumer(&broker, &ledger, false).await;
    for number in 0..100 {
        publish(&broker, &ledger, "k", number).await;
    }
    broker.wait_until_idle(LIMIT).await.unwrap();
    let (report, counts) = (ledger.report(), broker.fault_counts());
    assert!(report.is_lossless(), "{report}");
    // One handler at a time: each loss brings back the event in hand, and no other has been handled.
    assert_eq!((report.duplicated, report.reordered), (counts.connections, 0), "{report}\n{counts}");
    assert!(counts.connections > 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_fails_the_same_publishes() {
    let outcomes = |seed| async move {
        let faults = Faults::seeded(seed).unavailable(0.2).nack(0.2).blocked(0.2).unknown(0.2);
        let broker = MemoryBroker::builder(BrokerConfig::new("walker")).faults(faults).build().unwrap();
        let _handle = consumer(&broker, &Ledger::new(), false).await;
        let mut outcomes = Vec::new();
        for number in 0..50 {
            let published = broker.publish("step.events", StepTaken { key: "k".into(), number }).await;
            outcomes.push(match published {
                Ok(_) => "confirmed",
                Err(PublishError::Unavailable { .. }) => "unavailable",
                Err(PublishError::Nacked { .. }) => "nacked",
                Err(PublishError::Blocked { .. }) => "blocked",
                Err(PublishError::Unknown { .. }) => "unknown",
                Err(error) => panic!("{error}"),
            });
        }
        outcomes
    };
    let first = outcomes(7).await;
    assert_eq!(first, outcomes(7).await);
    assert_ne!(first, outcomes(8).await);
}
