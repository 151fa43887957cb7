//! A broker of several nodes, each with its address.

use std::time::Duration;

use sap_comm_events::{Broker, ConnectError};
use sap_comm_testkit::{RabbitNode, Relay, free_port};

use super::{config, eventually, numbers, soon, vhost};
use crate::events::UserCreated;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_is_passed_over() {
    let away = format!("amqp://guest:guest@127.0.0.1:{}/", free_port().unwrap());
    let here = vhost().await;
    for _ in 0..4 {
        let broker = soon(Broker::connect(&format!("{away}, {away},{here}"), config())).await.unwrap();
        assert!(broker.health().is_ready());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_is_left_for_the_next() {
    let node = RabbitNode::shared().await.unwrap();
    let target = format!("127.0.0.1:{}", node.port());
    let relays = [Relay::start(&target).await.unwrap(), Relay::start(&target).await.unwrap()];
    let uri = vhost().await;
    let urls = relays.each_ref().map(|relay| relay.through(&uri)).join(",");
    let broker = Broker::connect(&urls, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for (number, [lost, other]) in [(1, [0, 1]), (2, [1, 0]), (3, [0, 1])] {
        relays[lost].cut().await.unwrap();
        soon(broker.publish("user.events", UserCreated::numbered(number))).await.unwrap();
        soon(async { while numbers.recv().await != Some(number) {} }).await;
        eventually("both connections are with the other", || relays[other].open_connections() == 2).await;
        relays[lost].pass().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_the_configuration_are_tried_with_the_url() {
    let here = vhost().await;
    let port = RabbitNode::shared().await.unwrap().port();
    let away = here.replace(&format!(":{port}/"), &format!(":{}/", free_port().unwrap()));
    let nodes = config().nodes([format!("127.0.0.1:{}", free_port().unwrap()), format!("127.0.0.1:{port}")]);
    for _ in 0..4 {
        let broker = soon(Broker::connect(&away, nodes.clone())).await.unwrap();
        assert!(broker.health().is_ready());
    }
    for node in ["amqp://a", "u:secret@a", "a/vhost", ""] {
        let error = Broker::connect(&here, config().nodes([node])).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("nodes") && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn what_every_node_refuses_is_said_at_once() {
    let wrong = vhost().await.replace("guest:guest@", "guest:secret@");
    let limit = config().connect_timeout(Duration::from_secs(3_600));
    let error = soon(Broker::connect(&format!("{wrong},{wrong}"), limit)).await.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Credentials { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
