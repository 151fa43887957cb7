use sap_comm_core::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::options::check;

/// When a gateway asks another endpoint.
///
/// A connect that failed is repeated whatever the method, since nothing was sent. What was sent is repeated only for
/// idempotent methods, when the connection broke before an answer, or the answer was 502, 503 or 504 and there is another
/// endpoint. Silence is never repeated: it took the caller's time already.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UpstreamRetry {
    /// Further attempts of one request; 0 for none. Default 1: the second endpoint works, or it is no matter of endpoints.
    pub max_retries: u32,
    /// Retries to one service, as a share of its requests. Default 0.2, so that an outage is not multiplied.
    pub budget_share: f64,
    /// Retries a second beside, for services that are seldom asked. Default 10.
    pub budget_per_second: u32,
    /// Bytes of a body that are kept until the answer begins, so that it can be sent again; a longer one is sent once.
    /// Default 64 KiB.
    pub max_replay: u64,
}

impl Default for UpstreamRetry {
    fn default() -> Self {
        Self { max_retries: 1, budget_share: 0.2, budget_per_second: 10, max_replay: 64 * 1024 }
    }
}

impl UpstreamRetry {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check(self.max_retries <= 10, "max_retries", self.max_retries, "must be at most 10")?;
        let share = (0.0..=1.0).contains(&self.budget_share);
        check(share, "budget_share", self.budget_share, "must lie within 0..=1")?;
        let few = self.budget_per_second <= 1_000_000;
        check(few, "budget_per_second", self.budget_per_second, "must be at most 1000000")?;
        let most = 16 << 20;
        check(
            self.max_replay <= most,
            "max_replay",
            self.max_replay,
            "must be at most 16 MiB, which each request may take",
        )
    }
}
