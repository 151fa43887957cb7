use std::time::Duration;

use serde::Serialize;

use super::State;
use crate::{Name, config::optional_duration};

/// A breaker at one moment, for health pages and metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The breaker.
    pub name: Name,
    /// What it does with calls.
    pub state: State,
    /// Whether it is closed and still lets traffic in by steps.
    pub ramping: bool,
    /// Rises with every transition, and whenever the window begins anew: by a reload, or `close` while closed.
    pub generation: u64,
    /// Successful calls in the window.
    pub succeeded: u64,
    /// Failed calls in the window.
    pub failed: u64,
    /// Slow calls in the window.
    pub slow: u64,
    /// Share of failed calls in the window; zero when it is empty.
    pub failure_rate: f64,
    /// Failures in a row.
    pub consecutive_failures: u64,
    /// Probes in flight.
    pub probes: usize,
    /// Time until the next probe, while open.
    #[serde(with = "optional_duration")]
    pub retry_after: Option<Duration>,
}
