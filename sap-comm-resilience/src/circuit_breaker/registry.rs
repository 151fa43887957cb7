use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

use super::{CircuitBreaker, Snapshot};
use crate::{
    Name,
    config::{ConfigError, check},
};

/// Breakers by name, for health pages and metrics. Clones share one registry.
///
/// It grows with every new name: name breakers after dependencies, not after requests.
#[derive(Debug, Clone, Default)]
pub struct BreakerRegistry {
    breakers: Arc<RwLock<BTreeMap<String, CircuitBreaker>>>,
}

impl BreakerRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a breaker; returns the one that had its name before.
    pub fn register(&self, breaker: CircuitBreaker) -> Option<CircuitBreaker> {
        self.breakers.write().insert(breaker.name().to_string(), breaker)
    }

    /// The breaker of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        self.breakers.read().get(name).cloned()
    }

    /// The breaker of this name, built on first use.
    ///
    /// # Errors
    /// What `build` fails with, or `name` if the breaker it built has another one; nothing is added then.
    pub fn get_or_build(
        &self,
        name: &str,
        build: impl FnOnce(Name) -> Result<CircuitBreaker, ConfigError>,
    ) -> Result<CircuitBreaker, ConfigError> {
        if let Some(breaker) = self.get(name) {
            return Ok(breaker);
        }
        let built = build(Name::from(name.to_owned()))?;
        check(*built.name() == *name, "name", built.name(), "must be the name that was asked for")?;
        Ok(self.breakers.write().entry(name.to_owned()).or_insert(built).clone())
    }

    /// Takes a breaker out.
    pub fn remove(&self, name: &str) -> Option<CircuitBreaker> {
        self.breakers.write().remove(name)
    }

    /// All breakers at this moment, by name.
    #[must_use]
    pub fn snapshot_all(&self) -> Vec<Snapshot> {
        let breakers: Vec<CircuitBreaker> = self.breakers.read().values().cloned().collect();
        breakers.iter().map(CircuitBreaker::snapshot).collect()
    }
}
