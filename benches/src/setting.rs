use serde::{Deserialize, Serialize};

use crate::Load;

/// What all clients of a case have in common; travels to their processes as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// The broker, in a virtual host of the run's own.
    pub url: String,
    /// The kind of the durable queue.
    pub queue: QueueKind,
    /// How many messages are sent ahead of their confirms.
    pub window: usize,
    /// How many deliveries are held ahead of the handler.
    pub prefetch: u16,
    /// How many deliveries one acknowledgement settles.
    pub ack_every: usize,
    /// What is published.
    pub load: Load,
}

/// Kinds of queues on RabbitMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// Durable, on one node.
    Classic,
    /// Replicated; here on a single node.
    Quorum,
}

impl Setting {
    /// The setting of the comparison: window and prefetch 1,000, an acknowledgement for every 250.
    #[must_use]
    pub fn new(url: impl Into<String>, queue: QueueKind, load: Load) -> Self {
        Self { url: url.into(), queue, window: 1_000, prefetch: 1_000, ack_every: 250, load }
    }
}
