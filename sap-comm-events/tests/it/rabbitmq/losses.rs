//! Connections that are lost, or cannot go on, one after the other.

use std::num::NonZeroU64;

use sap_comm_core::Event;
use sap_comm_events::{Broker, EventRouter};
use sap_comm_testkit::{RabbitNode, Relay};
use tokio::sync::mpsc;

use super::{config, eventually, soon, vhost};
use crate::{
    conformance::held_back,
    events::{ReportRequested, UserCreated},
    waiting::until,
};

async fn relayed() -> Relay {
    Relay::start(format!("127.0.0.1:{}", RabbitNode::shared().await.unwrap().port())).await.unwrap()
}

/// What comes again is known by what was in hand before, however often the connection is lost meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_over_losses_in_quick_succession() {
    let (relay, uri) = (relayed().await, vhost().await);
    let direct = Broker::connect(&uri, config()).await.unwrap();
    let broker = Broker::connect(&relay.through(&uri), config()).await.unwrap();
    let (router, mut begun, gate) = held_back();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    // What comes over the same connection afterwards tells that all before has come.
    let (marker, mut marked) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |command: Event<ReportRequested>| {
        let sent = marker.send(command.data.number);
        async move { Ok(sent?) }
    });
    let _marks = broker.subscribe("report.commands", router).await.unwrap();
    for number in 0..100 {
        let event = UserCreated { user_id: "x".repeat(10_000), number };
        direct.publish("user.events", event).await.unwrap();
    }
    assert_eq!(soon(begun.recv()).await, Some(0));
    soon(until(async || broker.lag("user.events", "user-service").await.unwrap() == Some(0))).await;
    direct.publish("report.commands", ReportRequested { number: 1 }).await.unwrap();
    soon(marked.recv()).await.unwrap();
    // From now on it takes long until all of it has come.
    relay.bandwidth(NonZeroU64::new(50_000));
    for _ in 0..2 {
        relay.reset().await.unwrap();
        eventually("the loss is noticed", || !broker.health().is_ready()).await;
        gate.add_permits(1);
        assert_eq!(soon(begun.recv()).await, Some(0), "its acknowledgement came too late");
    }
    relay.pass().await.unwrap();
    gate.add_permits(200);
    for number in 1..100 {
        assert_eq!(soon(begun.recv()).await, Some(number));
    }
}
