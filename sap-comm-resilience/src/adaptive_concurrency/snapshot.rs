use std::time::Duration;

use serde::Serialize;

use crate::{Name, config::optional_duration};

/// An adaptive concurrency limit at one moment, for health pages and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConcurrencySnapshot {
    /// The adaptive concurrency limit.
    pub name: Name,
    /// Calls in flight that it allows.
    pub limit: u32,
    /// Calls in flight.
    pub in_flight: u32,
    /// Calls that wait for a slot.
    pub queued: u32,
    /// How long a call takes without a queue, once that is known.
    #[serde(with = "optional_duration")]
    pub baseline: Option<Duration>,
    /// How long calls took in the last window, by their median.
    #[serde(with = "optional_duration")]
    pub latency: Option<Duration>,
}
