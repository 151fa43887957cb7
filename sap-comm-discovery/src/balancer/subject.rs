use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sap_comm_core::Resolver;

use super::{BalancerConfig, clock::Clock};

/// What endpoints are picked for, and how.
pub(super) struct Subject {
    resolver: Arc<dyn Resolver>,
    service: String,
    config: BalancerConfig,
    clock: Clock,
    /// When the next hint may go to the resolver.
    next_hint: AtomicU64,
}

/// At most one hint in this many milliseconds reaches the resolver.
const HINT_INTERVAL: u64 = 1_000;

impl Subject {
    pub(super) fn new(resolver: Arc<dyn Resolver>, service: &str, config: BalancerConfig) -> Self {
        Self { resolver, service: service.to_owned(), config, clock: Clock::new(), next_hint: AtomicU64::new(0) }
    }

    pub(super) fn resolver(&self) -> &Arc<dyn Resolver> {
        &self.resolver
    }

    pub(super) fn service(&self) -> &str {
        &self.service
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
            self.resolver.refresh(&self.service);
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("service", &self.service).finish_non_exhaustive()
    }
}
