//! The nodes, the relays before them and the workers behind those.

use std::{path::Path, time::Duration};

use futures_util::future::try_join_all;
use sap_comm_testkit::{RabbitCluster, RabbitNode, Relay};
use tokio::time::sleep;

use super::{
    ORDERED, RETRIED, RETRY_MS, exchange,
    role::{Role, Work},
    worker::Worker,
};
use crate::BenchError;

/// What the broker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// One node with durable classic queues.
    #[default]
    Single,
    /// Three nodes with quorum queues.
    Cluster,
}

/// How many exchanges there are, each with a queue of each group.
pub(super) const PARTITIONS: u32 = 2;
/// Dead peers are noticed after twice as many seconds.
const HEARTBEAT: u32 = 2;
const POLL: Duration = Duration::from_millis(20);

pub(super) struct Stage {
    pub(super) cluster: RabbitCluster,
    /// Before each node, one for the publishers and one for the consumers.
    pub(super) relays: Vec<[Relay; 2]>,
    pub(super) workers: Vec<Worker>,
}

/// Which of a node's relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Publishers,
    Consumers,
}

/// Which processes are killed and frozen; the others are weighed.
pub(super) const BREAKABLE: [usize; 4] = [1, 2, 4, 5];
pub(super) const STEADY: [usize; 2] = [0, 3];
/// The process that is told to publish too much at once.
pub(super) const BURSTING: usize = 3;

impl Stage {
    pub(super) async fn set(mode: Mode, directory: &Path) -> Result<Self, BenchError> {
        let size = match mode {
            Mode::Single => 1,
            Mode::Cluster => 3,
        };
        let cluster = RabbitCluster::start(size).await?;
        let relays = try_join_all(cluster.nodes().iter().map(|node| async {
            let target = format!("127.0.0.1:{}", node.port());
            Ok::<_, BenchError>([Relay::start(target.clone()).await?, Relay::start(target).await?])
        }))
        .await?;
        let url = |side: Side| {
            let through =
                cluster.nodes().iter().zip(&relays).map(|(node, relays)| {
                    format!("{}?heartbeat={HEARTBEAT}", relays[side as usize].through(&node.uri()))
                });
            through.collect::<Vec<_>>().join(",")
        };
        let quorum = mode == Mode::Cluster;
        let role = |name: &str, side, work| Role {
            name: name.to_owned(),
            url: url(side),
            directory: directory.to_owned(),
            work,
        };
        let consumes = |partition| Work::Consume { partition, quorum };
        let consumers = [
            role("consumer-0", Side::Consumers, consumes(0)),
            role("consumer-1", Side::Consumers, consumes(1)),
            role("audit-0", Side::Consumers, Work::Audit { partitions: PARTITIONS, quorum }),
        ];
        let mut workers = try_join_all(consumers.map(Worker::start)).await?;
        // What is published before would reach one group and not the other.
        while !workers.iter().all(Worker::is_subscribed) {
            sleep(POLL).await;
        }
        let publishes = Work::Publish { partitions: PARTITIONS };
        let publishers = [
            role("publisher-0", Side::Publishers, publishes),
            role("publisher-1", Side::Publishers, publishes),
            role("outbox-0", Side::Publishers, Work::Outbox { partitions: PARTITIONS }),
        ];
        workers.extend(try_join_all(publishers.map(Worker::start)).await?);
        Ok(Self { cluster, relays, workers })
    }

    pub(super) fn nodes(&self) -> &[RabbitNode] {
        self.cluster.nodes()
    }

    /// How many messages wait in all queues together, and how many are dead letters.
    pub(super) async fn depth(&self) -> Result<(u64, u64), BenchError> {
        let (mut waiting, mut dead) = (0, 0);
        for queue in queues() {
            let depth = async |name: String| self.nodes()[0].queue_depth("/", &name).await;
            waiting += depth(queue.clone()).await?.unwrap_or(0);
            waiting += depth(format!("{queue}.retry.{RETRY_MS}")).await?.unwrap_or(0);
            dead += depth(format!("{queue}.dead")).await?.unwrap_or(0);
        }
        Ok((waiting, dead))
    }
}

/// The queues of every group.
fn queues() -> impl Iterator<Item = String> {
    [ORDERED, RETRIED].into_iter().flat_map(|group| (0..PARTITIONS).map(move |partition| queue(partition, group)))
}

/// The queue of a group for a partition.
pub(super) fn queue(partition: u32, group: &str) -> String {
    format!("{}.{group}", exchange(partition))
}
