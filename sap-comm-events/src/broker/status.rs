//! What an admin page shows of a broker.

use futures_util::future::join_all;
use serde::Serialize;

use super::{Broker, BrokerHealth, BrokerState};
use crate::{DeadLetterError, topology::dead_queue};

/// How a broker is, and how far this process's consumer groups are behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BrokerStatus {
    /// How the broker is.
    #[serde(flatten)]
    pub health: BrokerHealth,
    /// The queues that subscriptions of any clone have consumed so far, ephemeral ones left out. `None` while the broker does
    /// not tell.
    pub queues: Option<Vec<QueueStatus>>,
}

/// What waits in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct QueueStatus {
    /// Its name.
    pub queue: String,
    /// Events that are with no consumer: the lag. Of a stream, all that it keeps.
    pub lag: u64,
    /// Events that could not be handled.
    pub dead_letters: u64,
}

impl Broker {
    /// The broker's health, and the lag and dead letters of every queue that a subscription of any clone has consumed so
    /// far: for health checks and admin pages. It asks the broker, unless that is away, and waits for a connection up to the
    /// connect timeout, and ten seconds for each answer. A queue that was deleted is left out.
    pub async fn status(&self) -> BrokerStatus {
        let answers = matches!(self.health().state, BrokerState::Connected | BrokerState::Blocked);
        let queues = if answers { self.queues().await } else { None };
        BrokerStatus { health: self.health(), queues }
    }

    /// `None` where the broker does not tell.
    async fn queues(&self) -> Option<Vec<QueueStatus>> {
        let topology = self.topology();
        let queues = join_all(topology.queues_with_dead_letters().map(|queue| self.queue_status(queue)));
        let queues: Option<Vec<_>> = queues.await.into_iter().collect();
        Some(queues?.into_iter().flatten().collect())
    }

    /// `None` where the broker does not tell, and `Some(None)` where there is no such queue.
    async fn queue_status(&self, queue: &str) -> Option<Option<QueueStatus>> {
        let dead = dead_queue(queue);
        let (lag, dead_letters) = tokio::join!(self.backend().depth(queue), self.backend().depth(&dead));
        match (lag, none_as_zero(dead_letters)) {
            (Ok(lag), Ok(dead_letters)) => Some(Some(QueueStatus { queue: queue.to_owned(), lag, dead_letters })),
            (Err(DeadLetterError::NoQueue { .. }), _) => Some(None),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, queue, "the broker does not tell how long the queue is");
                None
            }
        }
    }
}

/// Where there is no queue, nothing waits.
fn none_as_zero(depth: Result<u64, DeadLetterError>) -> Result<u64, DeadLetterError> {
    match depth {
        Err(DeadLetterError::NoQueue { .. }) => Ok(0),
        depth => depth,
    }
}
