//! Breaking and mending.

use std::time::Duration;

use futures_util::future::try_join_all;
use sap_comm_testkit::Relay;
use tokio::time::sleep;

use super::{
    ORDERED,
    fault::{Fault, Victim, Wire},
    stage::{Stage, queue},
};
use crate::BenchError;

impl Stage {
    /// Breaks something; returns once it is mended.
    pub(super) async fn inflict(&self, fault: &Fault) -> Result<(), BenchError> {
        match fault {
            Fault::NodeKilled { victim, down } => {
                let node = &self.nodes()[self.victim(*victim).await?];
                node.kill().await?;
                sleep(*down).await;
                node.restart().await?;
            }
            Fault::NodeFrozen { victim, frozen } => {
                let node = &self.nodes()[self.victim(*victim).await?];
                node.pause().await?;
                sleep(*frozen).await;
                node.resume().await?;
            }
            Fault::MemoryAlarm { lasting } => {
                self.nodes()[0].set_memory_alarm(true).await?;
                sleep(*lasting).await;
                self.nodes()[0].set_memory_alarm(false).await?;
            }
            Fault::Cut { wire, lasting } => {
                try_join_all(self.wires(*wire).map(Relay::cut)).await?;
                self.mend(*wire, *lasting).await?;
            }
            Fault::Reset { wire } => {
                try_join_all(self.wires(*wire).map(Relay::reset)).await?;
            }
            Fault::HalfOpen { wire, way, lasting } => {
                self.wires(*wire).for_each(|relay| relay.freeze(*way));
                self.mend(*wire, *lasting).await?;
            }
            Fault::HalfClosed { wire, way } => self.wires(*wire).for_each(|relay| relay.half_close(*way)),
            Fault::Delayed { wire, delay, lasting } => {
                self.wires(*wire).for_each(|relay| relay.delay(*delay));
                self.mend(*wire, *lasting).await?;
            }
            Fault::Slow { consumer, each, lasting } => {
                let worker = &self.workers[*consumer];
                worker.order(|orders| orders.slow = u64::try_from(each.as_millis()).unwrap_or(u64::MAX)).await?;
                sleep(*lasting).await;
                worker.order(|orders| orders.slow = 0).await?;
            }
            Fault::WorkerKilled { worker, down } => self.workers[*worker].kill(*down).await?,
            Fault::WorkerFrozen { worker, frozen } => self.workers[*worker].freeze(*frozen).await?,
            Fault::Burst { worker, events } => self.workers[*worker].order(|orders| orders.burst += events).await?,
        }
        Ok(())
    }

    fn wires(&self, wire: Wire) -> impl Iterator<Item = &Relay> {
        let relays = self.relays.iter().enumerate().filter(move |(node, _)| wire.node.is_none_or(|only| only == *node));
        relays.map(move |(_, relays)| &relays[wire.side as usize])
    }

    async fn mend(&self, wire: Wire, after: Duration) -> Result<(), BenchError> {
        sleep(after).await;
        try_join_all(self.wires(wire).map(Relay::pass)).await?;
        Ok(())
    }

    /// The node that leads the first queue, or one that does not.
    async fn victim(&self, victim: Victim) -> Result<usize, BenchError> {
        let leader = self.cluster.leader_of(0, "/", &queue(0, ORDERED)).await?.unwrap_or(0);
        Ok(match victim {
            Victim::Leader => leader,
            Victim::Follower => (leader + 1) % self.nodes().len(),
        })
    }
}
