//! Events between two attempts, while the broker is killed.

use sap_comm_core::{Context, Event};
use sap_comm_events::{Broker, EventRouter, HandlerError, Subscription};
use tokio::sync::mpsc;

use super::{LIMIT, breakable, config, soon};
use crate::events::UserCreated;

/// How often the broker is killed.
const KILLS: u32 = 2;
/// Events published between two kills.
const EACH: u32 = 1_000;
/// So many failed attempts after they were published, the broker is killed: their delays are ending then.
const FAILED: usize = 600;

async fn survive(subscription: Subscription) {
    let node = breakable().await;
    let broker = Broker::connect(&node.new_vhost().await.unwrap(), config().publish_deadline(LIMIT)).await.unwrap();
    let (tell_failed, mut failed) = mpsc::unbounded_channel();
    let (tell_done, mut done) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let last = Context::current().attempt() > 2;
        // An error means that the test has ended.
        let _ = if last { tell_done.send(event.data.number) } else { tell_failed.send(event.data.number) };
        async move { if last { Ok(()) } else { Err(HandlerError::retry("once more")) } }
    });
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    // RabbitMQ 3.10 may never elect a leader for a quorum queue that was made a second or two before the kill. It is known for good
    // once its node has stopped in good order.
    node.stop().await.unwrap();
    node.restart().await.unwrap();
    for kill in 0..KILLS {
        let users = (kill * EACH..(kill + 1) * EACH).map(UserCreated::numbered);
        assert!(broker.publish_batch("user.events", users).await.iter().all(Result::is_ok));
        for _ in 0..FAILED {
            soon(failed.recv()).await.unwrap();
        }
        node.kill().await.unwrap();
        node.restart().await.unwrap();
        while failed.try_recv().is_ok() {}
    }
    let mut missing: std::collections::BTreeSet<u32> = (0..KILLS * EACH).collect();
    let arriving = async {
        while !missing.is_empty() {
            missing.remove(&done.recv().await.unwrap());
        }
    };
    let arrived = tokio::time::timeout(LIMIT, arriving).await;
    assert!(arrived.is_ok(), "{} events are lost, such as {:?}", missing.len(), missing.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_between_two_attempts_survive_the_kill_of_their_broker() {
    survive("user.events".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_between_two_attempts_survive_the_kill_of_their_broker_on_quorum_queues() {
    survive(Subscription::new("user.events").quorum()).await;
}
