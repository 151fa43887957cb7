use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check, check_duration, check_ratio, duration};

/// Everything about a [`Hedge`](crate::Hedge) that can stand in a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// How long the call before may take until another is made: about the 95th percentile. Default 100 ms.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// Extra calls at most, 1 to 10. Default 1.
    pub max_hedges: u32,
    /// Extra calls at most, as a share of all calls, 0 to 1. Default 0.1: a slow dependency must not get double load.
    pub budget: f64,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self { delay: Duration::from_millis(100), max_hedges: 1, budget: 0.1 }
    }
}

impl HedgeConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_duration("delay", self.delay)?;
        check((1..=10).contains(&self.max_hedges), "max_hedges", self.max_hedges, "must lie within 1..=10")?;
        check_ratio("budget", self.budget)
    }
}
