//! Publishing over several channels at once, and channels that run out.

use std::time::Duration;

use sap_comm_events::{Broker, PublishError, PublishOptions, SubscribeError};
use sap_comm_testkit::RabbitNode;

use super::{breakable, config, eventually, in_a_vhost_of_its_own, numbers, soon, vhost};
use crate::{conformance, events::UserCreated, waiting::until};

#[tokio::test]
async fn a_key_keeps_its_order_over_several_channels() {
    conformance::ordering::events_of_a_key_are_handled_one_at_a_time_in_order(|config| {
        in_a_vhost_of_its_own(config.channels(4))
    })
    .await;
}

#[tokio::test]
async fn a_broker_publishes_over_as_many_channels_as_it_is_told() {
    let uri = vhost().await;
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let broker = Broker::connect(&uri, config().channels(3)).await.unwrap();
    let confirming = async || {
        let listed = node.ctl(&["list_channels", "--silent", "vhost", "confirm"]).await.unwrap();
        listed.lines().filter(|line| line.starts_with(vhost) && line.ends_with("true")).count()
    };
    soon(until(async || confirming().await == 3)).await;
    broker.close(Duration::from_secs(5)).await;
    soon(until(async || confirming().await == 0)).await;
}

/// Of a connection that may have two channels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_that_run_out_are_told_of_and_used_once_there_are_some_again() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let at_most = async |channels: u16| {
        node.eval(&format!("application:set_env(rabbit, channel_max, {channels})")).await.unwrap();
    };
    at_most(2).await;
    let broker = Broker::connect(&uri, config().channels(2)).await;
    // Only connections that are there keep to it.
    at_most(2_047).await;
    let broker = broker.unwrap();

    let (router, mut handled) = numbers();
    let subscribing = async |topic: &str| soon(broker.subscribe(topic, router.clone())).await;
    let (first, _second) = (subscribing("user.events").await.unwrap(), subscribing("other.events").await.unwrap());
    let error = subscribing("more.events").await.unwrap_err();
    let SubscribeError::Unavailable { reason } = &error else { panic!("{error:?}") };
    assert_eq!(reason, "the broker allows no more than 2 channels");
    soon(first.stop()).await;
    let _third = subscribing("more.events").await.unwrap();

    // Both are used for publishing, and the exchange is yet to be declared over another.
    let event = UserCreated::numbered(1);
    let briefly = PublishOptions::new().deadline(Duration::from_secs(1));
    let error = soon(broker.publish_with("other.events", event.clone(), briefly)).await.unwrap_err();
    let PublishError::Unavailable { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("the broker allows no more than 2 channels"), "{reason}");
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish("other.events", event).await }
    });
    eventually("it waits", || broker.health().pending > 0).await;
    node.close_connections_of(&uri).await.unwrap();
    soon(publishing).await.unwrap().unwrap();
    assert_eq!(soon(handled.recv()).await, Some(1));
    let _first = subscribing("user.events").await.unwrap();
}
