use serde::Serialize;

use crate::Name;

/// An adaptive throttle at one moment, for health pages and metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ThrottleSnapshot {
    /// The adaptive throttle.
    pub name: Name,
    /// Requests in the window: those that ended, and those held back.
    pub requests: u64,
    /// Those of them that the dependency accepted.
    pub accepts: u64,
    /// The share of requests that is held back.
    pub rejection_rate: f64,
}
