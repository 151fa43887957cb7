//! Connections that are lost, or cannot go on, one after the other.

use std::num::NonZeroU64;

use sap_comm_core::Event;
use sap_comm_events::{Broker, EventRouter, SubscribeError, Subscription};
use sap_comm_testkit::{Direction, RabbitNode, Relay};
use tokio::sync::mpsc;

use super::{config, eventually, numbers, soon, vhost};
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
        let event = UserCreated { user_id: "x".repeat(1_000), number };
        direct.publish("user.events", event).await.unwrap();
    }
    assert_eq!(soon(begun.recv()).await, Some(0));
    soon(until(async || broker.lag("user.events", "user-service").await.unwrap() == Some(0))).await;
    direct.publish("report.commands", ReportRequested { number: 1 }).await.unwrap();
    soon(marked.recv()).await.unwrap();
    // From now on it takes long until all of it has come.
    relay.bandwidth(NonZeroU64::new(10_000));
    for _ in 0..2 {
        let connected = relay.accepted() + 2;
        relay.reset().await.unwrap();
        eventually("both connections are made anew", || relay.accepted() >= connected).await;
        gate.add_permits(1);
        assert_eq!(soon(begun.recv()).await, Some(0), "its acknowledgement came too late");
    }
    relay.pass().await.unwrap();
    gate.add_permits(200);
    for number in 1..100 {
        assert_eq!(soon(begun.recv()).await, Some(number));
    }
}

/// A broker that is there and says nothing is not waited for longer than one that is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_consumes_or_looks_does_not_wait_for_a_silent_broker_beyond_the_connect_timeout() {
    let limit = std::time::Duration::from_secs(3);
    let relay = relayed().await;
    let broker = Broker::connect(&relay.through(&vhost().await), config().connect_timeout(limit)).await.unwrap();
    relay.freeze(Direction::Both);
    let (router, _numbers) = numbers();
    let error = soon(broker.subscribe(Subscription::new("user.events"), router)).await.unwrap_err();
    let SubscribeError::Unavailable { reason } = &error else { panic!("{error:?}") };
    assert_eq!(reason, "the broker has not answered for 3s");
    let error = soon(broker.dead_letters("user.events", "user-service").count()).await.unwrap_err();
    assert!(error.to_string().contains("the broker has not answered for 3s"), "{error}");
}
