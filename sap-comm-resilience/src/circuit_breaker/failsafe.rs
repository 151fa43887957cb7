//! The crate `failsafe` as a vocabulary of trip policies, in both directions.

use std::{fmt, time::Duration};

use failsafe::FailurePolicy;

use super::{
    CircuitBreakerConfig, TripPolicy,
    tuning::Tuning,
    window::{Sample, Window},
};
use crate::{clock::Clock, config::ConfigError};

/// Lets any `failsafe::FailurePolicy` open a [`CircuitBreaker`](crate::CircuitBreaker).
#[derive(Debug, Clone)]
pub struct FailsafePolicy<P>(pub P);

impl<P: FailurePolicy + Send + 'static> TripPolicy for FailsafePolicy<P> {
    fn succeeded(&mut self) {
        self.0.record_success();
    }

    fn failed(&mut self) -> Option<Duration> {
        self.0.mark_dead_on_failure()
    }

    fn revived(&mut self) {
        self.0.revived();
    }
}

/// Our sampling window and rules as a `failsafe::FailurePolicy`.
///
/// Slow calls are not seen, since failsafe does not time them.
pub struct WindowPolicy {
    config: CircuitBreakerConfig,
    tuning: Tuning,
    window: Window,
    clock: Clock,
    in_a_row: u64,
    reopenings: u32,
    generation: u64,
}

impl WindowPolicy {
    /// A policy with the window and the rules of `config`.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn new(config: CircuitBreakerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let (tuning, window) = (Tuning::new(&config), Window::of(&config));
        Ok(Self { config, tuning, window, clock: Clock::new(), in_a_row: 0, reopenings: 0, generation: 0 })
    }

    fn forget(&mut self) {
        self.window.clear();
        self.generation += 1;
        self.in_a_row = 0;
    }
}

impl FailurePolicy for WindowPolicy {
    fn record_success(&mut self) {
        self.in_a_row = 0;
        self.window.record(self.generation, self.clock.now(), Sample { failed: false, slow: false });
    }

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        let (now, sample) = (self.clock.now(), Sample { failed: true, slow: false });
        self.in_a_row += 1;
        self.window.record(self.generation, now, sample);
        let totals = self.window.totals(self.generation, now);
        self.tuning.verdict(sample, totals, self.in_a_row)?;
        let dead_for = self.config.reset_after(self.reopenings);
        self.reopenings = self.reopenings.saturating_add(1);
        self.forget();
        Some(dead_for)
    }

    fn revived(&mut self) {
        self.reopenings = 0;
        self.forget();
    }
}

impl fmt::Debug for WindowPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowPolicy").field("config", &self.config).finish_non_exhaustive()
    }
}
