//! Consumers that die with an event in hand.

use sap_comm_core::Event;
use sap_comm_events::{Broker, EventProcessingFailed, EventRouter, Subscription};
use tokio::sync::mpsc;

use super::{config, numbers, soon, vhost};
use crate::events::UserCreated;

/// Consumes in a runtime of its own and kills that runtime once the handler has an event, as a crash of the process
/// would end it: nothing is settled, nothing is closed in order.
async fn die_with_an_event_in_hand(uri: &str, subscription: Subscription) -> u32 {
    let (sender, mut taken) = mpsc::unbounded_channel();
    let (uri, runtime) =
        (uri.to_owned(), tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    runtime.spawn(async move {
        let broker = Broker::connect(&uri, config().max_redeliveries(2)).await.unwrap();
        let router = EventRouter::new().on(move |event: Event<UserCreated>| {
            let sent = sender.send(event.data.number);
            async move {
                sent?;
                std::future::pending().await
            }
        });
        let _handle = broker.subscribe(subscription, router).await.unwrap();
        std::future::pending::<()>().await;
    });
    let number = soon(taken.recv()).await.unwrap();
    runtime.shutdown_background();
    number
}

async fn ends_an_event_that_kills_its_consumers(subscription: Subscription) {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config().max_redeliveries(2)).await.unwrap();
    let (sender, mut failures) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<EventProcessingFailed>| {
        let sent = sender.send(event.data.error.message);
        async move { Ok(sent?) }
    });
    let _watcher = broker.for_service("watcher").subscribe("error.events", router).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe(subscription.clone(), router).await.unwrap().stop().await;
    broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(die_with_an_event_in_hand(&uri, subscription.clone()).await, 7);
    }
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    let failure = soon(failures.recv()).await.unwrap();
    assert!(failure.contains("more than 2 times"), "{failure}");
    assert!(numbers.try_recv().is_err());
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_its_consumers_becomes_a_dead_letter() {
    ends_an_event_that_kills_its_consumers("user.events".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_its_consumers_becomes_a_dead_letter_on_a_quorum_queue() {
    ends_an_event_that_kills_its_consumers(Subscription::new("user.events").quorum()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_in_order_when_the_active_consumer_dies() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let subscription = || Subscription::new("user.events").single_active();
    let (router, _gone) = numbers();
    broker.subscribe(subscription(), router).await.unwrap().stop().await;
    for number in 0..50 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(die_with_an_event_in_hand(&uri, subscription()).await, 0);
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(subscription(), router).await.unwrap();
    for number in 0..50 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_in_hand_of_a_dead_consumer_is_handled_by_another() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    assert_eq!(die_with_an_event_in_hand(&uri, "user.events".into()).await, 7);
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(7));
}
