use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    tcp::{OwnedIdentity, OwnedTLSConfig},
    types::FieldTable,
};
use sap_comm_testkit::{RabbitCluster, RabbitNode, TestkitError};
use tokio::time::{sleep, timeout};

use crate::is_alive;

async fn connect(uri: &str) -> lapin::Result<Connection> {
    Connection::connect(uri, ConnectionProperties::default()).await
}

/// A confirm channel with a durable queue.
async fn with_queue(connection: &Connection, queue: &str) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, FieldTable::default()).await.unwrap();
    channel
}

async fn publish(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let confirm =
        channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), b"hello", persistent).await?;
    assert!(confirm.await?.is_ack());
    Ok(())
}

#[tokio::test]
async fn every_test_gets_a_vhost_of_its_own_on_the_shared_node() {
    let node = RabbitNode::shared().await.unwrap();
    let (one, other) = (node.new_vhost().await.unwrap(), node.new_vhost().await.unwrap());
    assert_ne!(one, other);
    let connection = connect(&one).await.unwrap();
    let channel = with_queue(&connection, "orders").await;
    publish(&channel, "orders").await.unwrap();
    assert_eq!(node.queue_depth(&one, "orders").await.unwrap(), Some(1));
    assert_eq!(node.queue_depth(&other, "orders").await.unwrap(), None);
}

#[tokio::test]
async fn connections_of_one_vhost_are_closed_and_no_others() {
    let node = RabbitNode::shared().await.unwrap();
    let (one, other) = (node.new_vhost().await.unwrap(), node.new_vhost().await.unwrap());
    let (closed, kept) = (connect(&one).await.unwrap(), connect(&other).await.unwrap());
    assert_eq!(node.close_connections_of(&one).await.unwrap(), 1);
    let channel = timeout(Duration::from_secs(10), async {
        while closed.status().connected() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    channel.await.expect("the client learns of it");
    kept.create_channel().await.unwrap();
}

#[tokio::test]
async fn rabbitmqctl_and_eval_speak_to_the_node() {
    let node = RabbitNode::shared().await.unwrap();
    assert!(node.ctl(&["list_vhosts", "--quiet"]).await.unwrap().contains('/'));
    assert_eq!(node.eval("X = \"a\\\"b\", length(X) + 1").await.unwrap(), "4");
    let error = node.eval("erlang:error(oops)").await.unwrap_err().to_string();
    assert!(error.contains("oops"), "{error}");
    let error = node.ctl(&["no_such_command"]).await.unwrap_err();
    assert!(matches!(error, TestkitError::Command { .. }), "{error}");
}

#[tokio::test]
async fn a_node_survives_kill_pause_and_restart_with_its_messages() {
    let node = RabbitNode::start().await.unwrap();
    let uri = node.new_vhost().await.unwrap();
    let connection = connect(&uri).await.unwrap();
    publish(&with_queue(&connection, "kept").await, "kept").await.unwrap();
    // The node's database keeps what it was told last in memory for a moment; messages that are confirmed are on the disk.
    assert_eq!(node.eval("mnesia:sync_log()").await.unwrap(), "ok");
    let first = node.pid().unwrap();
    node.kill().await.unwrap();
    assert!(!node.is_running() && !is_alive(first));
    assert!(connect(&uri).await.is_err());

    node.restart().await.unwrap();
    recovered(&node, &uri).await;
    connect(&uri).await.unwrap();

    node.pause().await.unwrap();
    assert!(node.is_running());
    assert!(timeout(Duration::from_millis(500), connect(&uri)).await.is_err());
    node.resume().await.unwrap();
    connect(&uri).await.unwrap();

    node.stop().await.unwrap();
    assert!(!node.is_running());
    node.restart().await.unwrap();
    recovered(&node, &uri).await;
}

/// Waits until the node has found its queue again, which may take it longer than to listen.
async fn recovered(node: &RabbitNode, uri: &str) {
    let found = async {
        while node.queue_depth(uri, "kept").await.unwrap().is_none() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(30), found).await.expect("the queue is there again");
    assert_eq!(node.queue_depth(uri, "kept").await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_memory_alarm_blocks_publishers_until_it_is_cleared() {
    let node = RabbitNode::start().await.unwrap();
    let connection = connect(&node.uri()).await.unwrap();
    let channel = with_queue(&connection, "blocked").await;
    assert!(node.connection_count().await.unwrap() >= 1);
    node.set_memory_alarm(true).await.unwrap();
    let mut publishing = Box::pin(async {
        // The first message tells the node that this connection publishes.
        publish(&channel, "blocked").await.unwrap();
        publish(&channel, "blocked").await.unwrap();
    });
    assert!(timeout(Duration::from_secs(1), &mut publishing).await.is_err());
    node.set_memory_alarm(false).await.unwrap();
    timeout(Duration::from_secs(20), publishing).await.expect("unblocked");
    assert_eq!(node.queue_depth("/", "blocked").await.unwrap(), Some(2));
    assert_eq!(node.close_connections().await.unwrap(), 1);
}

#[tokio::test]
async fn a_tls_node_is_trusted_through_its_authority_and_asks_for_a_client_certificate() {
    let node = RabbitNode::builder().verify_peer().config("channel_max = 100").start().await.unwrap();
    let uri = node.tls_uri().unwrap();
    let connect_with = |identity: Option<OwnedIdentity>, trusted: bool| {
        let chain = trusted.then(|| node.ca_pem().unwrap().to_owned());
        let config = OwnedTLSConfig { identity, cert_chain: chain };
        let runtime = lapin::runtime::default_runtime().unwrap();
        Connection::connect_with_config(&uri, ConnectionProperties::default(), config, runtime)
    };
    let client = node.client_identity("tester").unwrap().unwrap();
    let identity = || {
        Some(OwnedIdentity::PKCS8 {
            pem: client.certificate.clone().into_bytes(),
            key: client.key.clone().into_bytes(),
        })
    };
    let connection = connect_with(identity(), true).await.unwrap();
    publish(&with_queue(&connection, "secure").await, "secure").await.unwrap();
    assert!(connect_with(None, true).await.is_err(), "no client certificate");
    assert!(connect_with(identity(), false).await.is_err(), "an authority that nobody trusts");
    assert_eq!(node.eval("{ok, M} = application:get_env(rabbit, channel_max), M").await.unwrap(), "100");
}

#[tokio::test]
async fn nodes_join_into_a_cluster() {
    let cluster = RabbitCluster::start(2).await.unwrap();
    let [one, other] = cluster.nodes() else { panic!("two nodes") };
    assert_eq!(one.eval("length([node() | nodes()])").await.unwrap(), "2");
    let uris = cluster.new_vhost().await.unwrap();
    let connection = Arc::new(connect(&uris[1]).await.unwrap());
    with_queue(&connection, "anywhere").await;
    assert_eq!(one.queue_depth(&uris[0], "anywhere").await.unwrap(), Some(0));
    assert_eq!(cluster.leader_of(0, &uris[0], "anywhere").await.unwrap(), Some(1), "{}", other.name());
    assert_eq!(cluster.leader_of(0, &uris[0], "nowhere").await.unwrap(), None);
    assert_eq!(cluster.members_of(0, &uris[0], "nowhere").await.unwrap(), 0);
}
