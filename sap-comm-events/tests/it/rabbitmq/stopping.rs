//! What is settled, and what goes back, as a consumer stops.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sap_comm_core::Event;
use sap_comm_events::{Broker, EventRouter, Outcome, StreamOffset, Subscription};
use tokio::sync::{Semaphore, mpsc};

use super::{assert_undisturbed, config, foreign, in_a_vhost_of_its_own, numbers, soon, vhost};
use crate::{conformance::ending::Published, events::UserCreated};

const QUEUE: &str = "user.events.user-service";

fn quorum() -> Subscription {
    Subscription::new("user.events").quorum()
}

async fn publish(broker: &Broker, numbers: std::ops::Range<u32>) {
    let all = numbers.map(|number| broker.publish("user.events", UserCreated::numbered(number)));
    soon(futures_util::future::try_join_all(all)).await.unwrap();
}

/// What is ready in a queue, in its order.
async fn left(uri: &str, queue: &str) -> Vec<u32> {
    let channel = foreign(uri).await;
    let mut numbers = Vec::new();
    while let Some(got) = soon(channel.basic_get(queue.into(), Default::default())).await.unwrap() {
        let event: serde_json::Value = serde_json::from_slice(&got.delivery.data).unwrap();
        numbers.push(u32::try_from(event["data"]["number"].as_u64().unwrap()).unwrap());
    }
    numbers
}

/// RabbitMQ's channel passes some thirty settlements on ahead of a quorum queue; the others go with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_handled_is_settled_when_many_end_at_once() {
    for subscription in [quorum(), quorum().single_active(), Subscription::new("user.events")] {
        let uri = vhost().await;
        let broker = Broker::connect(&uri, config()).await.unwrap();
        let (gate, (sender, mut handled)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
        let router = EventRouter::new().on({
            let gate = Arc::clone(&gate);
            move |event: Event<UserCreated>| {
                let (gate, sender) = (Arc::clone(&gate), sender.clone());
                async move {
                    // Every second one ends first, so that no acknowledgement speaks for its neighbours.
                    gate.acquire_many(1 + event.data.number % 2).await?.forget();
                    Ok(sender.send(event.data.number)?)
                }
            }
        });
        let subscription = subscription.concurrency(100).prefetch(150);
        let handle = broker.subscribe(subscription.clone(), router).await.unwrap();
        publish(&broker, 0..200).await;
        let stopping = tokio::spawn(handle.stop());
        gate.add_permits(1_000);
        soon(stopping).await.unwrap();
        assert_undisturbed(&broker);
        let mut all = Vec::new();
        while let Ok(number) = handled.try_recv() {
            all.push(number);
        }
        let next = Broker::connect(&uri, config()).await.unwrap();
        let (router, mut rest) = numbers();
        let handle = next.subscribe(subscription, router).await.unwrap();
        while all.len() < 200 {
            all.extend(soon(rest.recv()).await);
        }
        soon(handle.stop()).await;
        while let Ok(number) = rest.try_recv() {
            all.push(number);
        }
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_keeps_the_order_of_a_quorum_queue() {
    let broker = in_a_vhost_of_its_own(config()).await;
    let (gate, (sender, mut begun)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
    let router = EventRouter::new().on({
        let gate = Arc::clone(&gate);
        move |event: Event<UserCreated>| {
            let (gate, sent) = (Arc::clone(&gate), sender.send(event.data.number));
            async move {
                gate.acquire().await?.forget();
                Ok(sent?)
            }
        }
    });
    let handle = broker.subscribe(quorum().prefetch(100), router).await.unwrap();
    publish(&broker, 0..100).await;
    for number in 0..4 {
        assert_eq!(soon(begun.recv()).await, Some(number));
        tokio::join!(soon(handle.pause()), async {
            // The consumer stops with an event in its handler, and the others behind it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            gate.add_permits(1);
        });
        soon(handle.resume()).await;
    }
    gate.add_permits(100);
    let mut seen = Vec::new();
    while seen.len() < 96 {
        seen.push(soon(begun.recv()).await.unwrap());
    }
    assert_eq!(seen, (4..100).collect::<Vec<_>>());
    assert_undisturbed(&broker);
}

/// A consumer that gets its first event makes room for more; RabbitMQ's channel broke down when it stopped before the queue knew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_consumer_that_stops_as_it_begins_leaves_its_neighbours_alone() {
    let broker = in_a_vhost_of_its_own(config()).await;
    for round in 0..20 {
        let (router, mut begun) = numbers();
        let handle = broker.subscribe(quorum().concurrency(2).prefetch(50), router).await.unwrap();
        publish(&broker, round * 3..(round + 1) * 3).await;
        soon(begun.recv()).await.unwrap();
        soon(handle.stop()).await;
    }
    assert_undisturbed(&broker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_stops_with_events_in_hand_leaves_its_neighbours_alone() {
    let broker = in_a_vhost_of_its_own(config()).await;
    let (router, mut others) = numbers();
    let _beside = broker.subscribe("user.events", router).await.unwrap();
    let (sender, mut begun) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let router = EventRouter::new().on_outcome({
        let gate = Arc::clone(&gate);
        move |event: Event<UserCreated>| {
            let (gate, sent) = (Arc::clone(&gate), sender.send(event.data.number));
            async move {
                let passes = gate.acquire().await;
                if sent.is_ok() && passes.is_ok() { Outcome::Ack } else { Outcome::Requeue }
            }
        }
    });
    let log = Subscription::new("user.events").group("log").stream(StreamOffset::First).prefetch(50);
    let handle = broker.subscribe(log, router).await.unwrap();
    publish(&broker, 0..100).await;
    assert_eq!(soon(begun.recv()).await, Some(0));
    tokio::join!(soon(handle.pause()), async { gate.add_permits(1) });
    soon(handle.resume()).await;
    while soon(begun.recv()).await != Some(99) {}
    soon(handle.stop()).await;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.push(soon(others.recv()).await.unwrap());
    }
    assert_eq!((seen, broker.health().last_error), ((0..100).collect::<Vec<_>>(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_redriven_or_purged_is_gone_from_a_quorum_queue() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let router = EventRouter::new().on_outcome(move |event: Event<UserCreated>| {
        let _ = sender.send(event.data.number);
        async move { Outcome::DeadLetter { reason: "not today".into() } }
    });
    let handle = broker.subscribe(quorum().concurrency(8), router).await.unwrap();
    let letters = broker.dead_letters("user.events", "user-service");
    publish(&broker, 0..150).await;
    for round in 1..=3 {
        for _ in 0..150 {
            soon(seen.recv()).await.unwrap();
        }
        soon(crate::waiting::until(async || letters.count().await.unwrap() == 150)).await;
        if round < 3 {
            assert_eq!(soon(letters.redrive(1_000)).await.unwrap().done, 150);
        }
    }
    soon(handle.stop()).await;
    assert_eq!(soon(letters.purge(1_000)).await.unwrap().done, 150);
    assert_eq!(left(&uri, &format!("{QUEUE}.dead")).await, [0_u32; 0]);
    assert!(seen.try_recv().is_err(), "nothing was sent back twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_while_the_broker_closes_is_handled_or_waits() {
    let uri = vhost().await;
    let published = Published::while_closing(&Broker::connect(&uri, config()).await.unwrap()).await;
    let waits: HashSet<_> = left(&uri, QUEUE).await.into_iter().collect();
    let mut lost = published.waiting();
    lost.retain(|number| !waits.contains(number));
    assert_eq!(lost, [0_u32; 0]);
}
