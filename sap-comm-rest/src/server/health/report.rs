use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether a service or a part of it can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CheckStatus {
    /// It works.
    Up,
    /// It does not; the reason is in the log.
    Down,
    /// It did not say within its time.
    Timeout,
    /// It is going away.
    Draining,
}

/// What `/health/ready` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HealthReport {
    /// `up` when every check is.
    pub status: CheckStatus,
    /// The checks by name.
    pub checks: BTreeMap<String, CheckStatus>,
}

impl HealthReport {
    pub(super) fn new(draining: bool, checks: BTreeMap<String, CheckStatus>) -> Self {
        let status = match () {
            () if draining => CheckStatus::Draining,
            () if checks.values().all(|check| *check == CheckStatus::Up) => CheckStatus::Up,
            () => CheckStatus::Down,
        };
        Self { status, checks }
    }

    /// Whether requests should be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status == CheckStatus::Up
    }
}
