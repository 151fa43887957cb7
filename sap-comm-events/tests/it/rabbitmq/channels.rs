//! Publishing over several channels at once.

use sap_comm_events::Broker;
use sap_comm_testkit::RabbitNode;

use super::{config, in_a_vhost_of_its_own, vhost};
use crate::{conformance, waiting::until};

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
    super::soon(until(async || confirming().await == 3)).await;
    broker.close(std::time::Duration::from_secs(5)).await;
    super::soon(until(async || confirming().await == 0)).await;
}
