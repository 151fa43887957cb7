//! What only the in-memory broker can show: time that does not pass.

use std::time::Duration;

use sap_comm_core::Event;
use sap_comm_events::{Broker, BrokerConfig, EventRouter, HandlerError};
use tokio::{sync::mpsc, time::Instant};

use crate::events::UserCreated;

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
