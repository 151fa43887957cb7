use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sap_comm_core::Resolver;

use super::{BalancerConfig, clock::Clock};

/// What endpoints are picked for.
pub(super) struct Service {
    resolver: Arc<dyn Resolver>,
    name: String,
    config: BalancerConfig,
    clock: Clock,
    /// When the next hint may go to the resolver.
    next_hint: AtomicU64,
}

/// At most one hint in this many milliseconds reaches the resolver.
const HINT_INTERVAL: u64 = 1_000;

impl Service {
    pub(super) fn new(resolver: Arc<dyn Resolver>, name: &str, config: BalancerConfig) -> Self {
        Self { resolver, name: name.to_owned(), config, clock: Clock::new(), next_hint: AtomicU64::new(0) }
    }

    pub(super) fn resolver(&self) -> &Arc<dyn Resolver> {
        &self.resolver
    }

    pub(super) fn service(&self) -> &str {
        &self.name
    }

    pub(super) fn config(&self) -> &BalancerConfig {
        &self.config
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Tells the resolver that its answer may be out of date.
    pub(super) fn hint_refresh(&self) {
        let now = self.clock.now();
        let due = self.next_hint.load(Ordering::Relaxed);
        let next = now.saturating_add(HINT_INTERVAL);
        if now >= due && self.next_hint.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.resolver.refresh(&self.name);
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
