//! Several relays on a broker whose connections are cut again and again.

use std::{collections::HashMap, time::Duration};

use sap_comm_events::{Broker, BrokerConfig};
use sap_comm_testkit::{RabbitNode, Relay};

use crate::{
    rabbitmq::vhost,
    sql::stage::{LIMIT, Sink, Stage, all_sent, brisk, on_both_databases},
};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const EACH: u32 = 60;
/// So many events arrive between two cuts.
const BETWEEN_CUTS: usize = 40;

on_both_databases! {
    async fn relays_lose_and_reorder_nothing_when_their_connections_are_cut(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let uri = vhost().await;
        let config = || BrokerConfig::new("note-service").publish_deadline(LIMIT);
        let consuming = Broker::connect(&uri, config()).await.unwrap();
        let mut sink = Sink::new(&consuming).await;
        let node = RabbitNode::shared().await.unwrap();
        let (mut wires, mut relays) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let wire = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
            let broker = Broker::connect(&wire.through(&uri), config()).await.unwrap();
            let (_, outbox) = stage.outbox().await;
            let config = brisk().batch(7).poll_interval(Duration::from_millis(5));
            relays.push(outbox.relay(broker.clone(), config).unwrap());
            wires.push((wire, broker));
        }
        let (mut next, mut arrived, mut cuts, mut interrupted) = (HashMap::new(), 0, 0, 0);
        stage.notes(&pool, &outbox, &KEYS, EACH).await;
        while next.len() < KEYS.len() || next.values().any(|next| *next < EACH) {
            let data = sink.next().await.0.data;
            let next = next.entry(data.key.clone()).or_insert(0);
            // An event may come twice, with those behind it; never before one that has not come.
            assert!(data.number <= *next, "of key {}: {} where {next} is next", data.key, data.number);
            *next = (*next).max(data.number + 1);
            arrived += 1;
            if arrived % BETWEEN_CUTS == 0 {
                let (wire, _) = &wires[cuts % wires.len()];
                wire.cut().await.unwrap();
                wire.pass().await.unwrap();
                cuts += 1;
                interrupted += usize::from(outbox.pending().await.unwrap() > 0);
            }
        }
        all_sent(&outbox).await;
        assert!(interrupted >= 3, "of {cuts} cuts {interrupted} came while there was something to send");
        for relay in relays {
            relay.stop().await.unwrap();
        }
    }
}
