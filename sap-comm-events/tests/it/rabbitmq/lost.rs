//! What was in hand, and in no handler, as its channel ended.

use std::{collections::BTreeSet, time::Duration};

use sap_comm_core::Event;
use sap_comm_events::{Batching, Broker, EventRouter, HandlerError, OrderingKey, PublishOptions, Subscription};
use sap_comm_testkit::{RabbitNode, Relay};
use tokio::sync::mpsc;

use super::{config, numbers, soon, vhost};
use crate::{conformance::held_back, events::UserCreated, waiting::until};

const HOUR: Duration = Duration::from_secs(3_600);

async fn relay() -> Relay {
    let node = RabbitNode::shared().await.unwrap();
    Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap()
}

async fn nothing_waits(broker: &Broker) {
    soon(until(async || broker.lag("user.events", "user-service").await.unwrap() == Some(0))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_handler_had_begun_is_left_to_whoever_takes_over() {
    let (uri, relay) = (vhost().await, relay().await);
    let cut_off = Broker::connect(&relay.through(&uri), config()).await.unwrap();
    let standby = Broker::connect(&uri, config()).await.unwrap();
    let subscription = || {
        let single = Subscription::new("user.events").single_active();
        single.concurrency(2).ordered_by(OrderingKey::queue())
    };
    let (router, mut begun, release) = held_back();
    let _handle = cut_off.subscribe(subscription(), router).await.unwrap();
    let (router, mut numbers) = numbers();
    let next = standby.subscribe(subscription(), router).await.unwrap();
    for number in 0..20 {
        standby.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(soon(begun.recv()).await, Some(0));
    nothing_waits(&standby).await;
    relay.cut().await.unwrap();
    for number in 0..20 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    release.add_permits(100);
    relay.pass().await.unwrap();
    soon(next.stop()).await;
    standby.publish("user.events", UserCreated::numbered(20)).await.unwrap();
    assert_eq!(soon(begun.recv()).await, Some(20), "the others were handled elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fills_begins_anew_with_its_channel() {
    let (uri, relay) = (vhost().await, relay().await);
    let broker = Broker::connect(&relay.through(&uri), config()).await.unwrap();
    let (sender, mut batches) = mpsc::unbounded_channel();
    let batching = Batching::of(4).linger(HOUR);
    let router = EventRouter::new().on_batch(batching, move |events: Vec<Event<UserCreated>>| {
        let sent = sender.send(events.iter().map(|event| event.data.number).collect::<Vec<_>>());
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..3 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    nothing_waits(&broker).await;
    relay.reset().await.unwrap();
    soon(broker.publish("user.events", UserCreated::numbered(3))).await.unwrap();
    let mut batch = soon(batches.recv()).await.unwrap();
    // The last may be there before the broker knows that the first connection is gone.
    batch.sort_unstable();
    assert_eq!(batch, [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_in_hand_ends_with_its_channel_and_is_counted() {
    // With as many in hand as may be, nothing is taken that would tell of the lost connection.
    for prefetch in [2, 100] {
        let (uri, relay) = (vhost().await, relay().await);
        let config = config().retry_delays([HOUR]).max_redeliveries(1);
        let broker = Broker::connect(&relay.through(&uri), config).await.unwrap();
        let (sender, mut attempts) = mpsc::unbounded_channel();
        let router = EventRouter::new().on(move |event: Event<UserCreated>| {
            let sent = sender.send(event.data.number);
            async move {
                sent?;
                Err(HandlerError::retry("not yet"))
            }
        });
        let subscription = Subscription::new("user.events").concurrency(2).prefetch(prefetch).ordered_by_key();
        let _handle = broker.subscribe(subscription, router).await.unwrap();
        for number in 0..2 {
            let keyed = PublishOptions::new().ordering_key(number.to_string());
            broker.publish_with("user.events", UserCreated::numbered(number), keyed).await.unwrap();
        }
        for _ in 0..2 {
            let mut seen = [soon(attempts.recv()).await, soon(attempts.recv()).await];
            seen.sort_unstable();
            assert_eq!(seen, [Some(0), Some(1)]);
            relay.reset().await.unwrap();
        }
        let letters = broker.dead_letters("user.events", "user-service");
        soon(until(async || {
            // One may have come again before its loss was counted.
            if std::iter::from_fn(|| attempts.try_recv().ok()).count() > 0 {
                relay.reset().await.unwrap();
            }
            // One whose letter or copy is confirmed and whose acknowledgement is lost comes again, and is two.
            let found = letters.peek(10).await.unwrap_or_default();
            let ids: BTreeSet<_> = found.iter().map(|letter| letter.id.clone()).collect();
            assert!(found.iter().all(|letter| letter.reason.contains("more than 1 times")), "{found:?}");
            // In the end both are dead letters, and no handler has anything.
            ids.len() == 2 && attempts.is_empty()
        }))
        .await;
    }
}
