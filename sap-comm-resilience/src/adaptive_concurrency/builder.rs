use std::{sync::Arc, sync::atomic::AtomicU32, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    AdaptiveConcurrency, AdaptiveConcurrencyConfig,
    slots::{Slots, State},
};
use crate::{
    Name,
    classify::{ErrorRules, Outcome},
    clock::Clock,
    config::ConfigError,
    random::Dice,
};

/// Builds an [`AdaptiveConcurrency`]; the plain setters set the field of [`AdaptiveConcurrencyConfig`] of the same name.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct AdaptiveConcurrencyBuilder {
    name: Name,
    config: AdaptiveConcurrencyConfig,
    rules: ErrorRules,
    seed: Option<u64>,
}

impl AdaptiveConcurrencyBuilder {
    pub(super) fn new(name: Name) -> Self {
        Self { name, config: AdaptiveConcurrencyConfig::default(), rules: ErrorRules::default(), seed: None }
    }

    /// Takes all fields from a configuration.
    pub fn config(mut self, config: AdaptiveConcurrencyConfig) -> Self {
        self.config = config;
        self
    }

    /// Calls in flight to begin with.
    pub fn initial_limit(mut self, calls: u32) -> Self {
        self.config.initial_limit = calls;
        self
    }

    /// The limit never falls below this.
    pub fn min_limit(mut self, calls: u32) -> Self {
        self.config.min_limit = calls;
        self
    }

    /// The limit never rises above this.
    pub fn max_limit(mut self, calls: u32) -> Self {
        self.config.max_limit = calls;
        self
    }

    /// Calls that wait for a slot.
    pub fn max_queue(mut self, calls: u32) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// How long a call waits for a slot.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.config.max_wait = Some(wait);
        self
    }

    /// How much slower than the baseline calls may be, as a share of it.
    pub fn tolerance(mut self, share: f64) -> Self {
        self.config.tolerance = share;
        self
    }

    /// What is left of the limit when a call is throttled or times out.
    pub fn backoff_ratio(mut self, ratio: f64) -> Self {
        self.config.backoff_ratio = ratio;
        self
    }

    /// How long latencies are gathered before the limit moves.
    pub fn sampling_window(mut self, window: Duration) -> Self {
        self.config.sampling_window = window;
        self
    }

    /// How many calls are gathered before the limit moves.
    pub fn minimum_throughput(mut self, calls: u32) -> Self {
        self.config.minimum_throughput = calls;
        self
    }

    /// How long a baseline that was not seen again is trusted.
    pub fn baseline_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.baseline_lifetime = lifetime;
        self
    }

    /// Takes an error of type `E` for a sign of overload if `overloaded` says so: a timeout or refusal of your client's
    /// own. Timeouts of this crate are known without.
    pub fn overload_if<E: 'static>(mut self, overloaded: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.rules.add(move |error: &E| overloaded(error).then_some(Outcome::Throttled(None)));
        self
    }

    /// Makes what is left to chance repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The finished limit.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<AdaptiveConcurrency, ConfigError> {
        let Self { name, config, rules, seed } = self;
        config.validate()?;
        let slots = Slots {
            name,
            rules,
            clock: Clock::new(),
            free: Semaphore::new(config.initial_limit as usize),
            queued: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            dice: Dice::new(seed),
            state: Mutex::new(State::new(&config)),
            config,
        };
        Ok(AdaptiveConcurrency { slots: Arc::new(slots) })
    }
}
