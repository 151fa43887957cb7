use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    CircuitBreaker, CircuitBreakerConfig, Comparison, Transition, TripPolicy,
    consecutive::Consecutive,
    engine::{Cold, Engine},
    event::{Announcer, Listener},
    policy::Policy,
    probes::Probes,
    ramp::Ramp,
    state::StateWord,
    tuning::Tuning,
    window::Window,
};
use crate::{Name, clock::Clock, config::ConfigError, random::Dice, sync::AtomicU64};

/// Builds a [`CircuitBreaker`]; every method sets the field of [`CircuitBreakerConfig`] of the same name.
#[must_use = "nothing is built before `build`"]
pub struct CircuitBreakerBuilder {
    name: Name,
    config: CircuitBreakerConfig,
    listeners: Vec<Listener>,
    policy: Option<Box<dyn TripPolicy>>,
    seed: Option<u64>,
}

impl CircuitBreakerBuilder {
    pub(super) fn new(name: Name) -> Self {
        Self { name, config: CircuitBreakerConfig::default(), listeners: Vec::new(), policy: None, seed: None }
    }

    /// Takes all fields from a configuration.
    pub fn config(mut self, config: CircuitBreakerConfig) -> Self {
        self.config = config;
        self
    }

    /// Opens when this share of the calls fails; `None` turns the rule off.
    pub fn failure_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.config.failure_rate = rate.into();
        self
    }

    /// Calls that the window must hold before a rate counts.
    pub fn minimum_throughput(mut self, calls: u32) -> Self {
        self.config.minimum_throughput = calls;
        self
    }

    /// Whether reaching a threshold is enough.
    pub fn comparison(mut self, comparison: Comparison) -> Self {
        self.config.comparison = comparison;
        self
    }

    /// Opens after so many failures in a row.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.config.consecutive_failures = Some(failures);
        self
    }

    /// Opens when this share of the calls takes `duration` or longer, counted from the breaker's leave: in a pipeline,
    /// waits in what stands below the breaker count too.
    pub fn slow_calls(mut self, duration: Duration, rate: f64) -> Self {
        self.config.slow_call_duration = Some(duration);
        self.config.slow_call_rate = rate;
        self
    }

    /// Looks back over this much time.
    pub fn sampling_window(mut self, window: Duration) -> Self {
        self.config.sampling_window = window;
        self
    }

    /// Steps in which old calls leave the window.
    pub fn sampling_buckets(mut self, buckets: u32) -> Self {
        self.config.sampling_buckets = buckets;
        self
    }

    /// Looks back over this many calls, not over time.
    pub fn sampling_calls(mut self, calls: u32) -> Self {
        self.config.sampling_calls = Some(calls);
        self
    }

    /// The longest time in the open state before a probe.
    pub fn reset_timeout(mut self, timeout: Duration) -> Self {
        self.config.reset_timeout = timeout;
        self
    }

    /// Lets the reset timeout grow by `factor` with every failed probe, up to `max`.
    pub fn reset_backoff(mut self, factor: f64, max: Duration) -> Self {
        self.config.reset_factor = factor;
        self.config.max_reset_timeout = max;
        self
    }

    /// Share of the reset timeout that is cut at random.
    pub fn reset_jitter(mut self, share: f64) -> Self {
        self.config.reset_jitter = share;
        self
    }

    /// Probes in flight at once while half-open.
    pub fn probes(mut self, probes: u32) -> Self {
        self.config.probes = probes;
        self
    }

    /// Successful probes that close.
    pub fn probe_successes(mut self, successes: u32) -> Self {
        self.config.probe_successes = successes;
        self
    }

    /// After this a probe that has not ended gives its slot up.
    pub fn probe_lease(mut self, lease: Duration) -> Self {
        self.config.probe_lease = lease;
        self
    }

    /// How long traffic is let in by steps after recovery.
    pub fn ramp(mut self, ramp: Duration) -> Self {
        self.config.ramp = ramp;
        self
    }

    /// Calls `listener` after every transition, with no lock held. One that panics is logged.
    ///
    /// It runs on the thread that made the transition, so two that follow fast may arrive in either order: their
    /// generation tells which was first, and [`CircuitBreaker::events`] keeps them in order.
    pub fn on_transition(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Lets a rule of your own open the breaker too.
    pub fn trip_policy(mut self, policy: impl TripPolicy) -> Self {
        self.policy = Some(Box::new(policy));
        self
    }

    /// Makes the jitter repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The finished breaker, closed.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        let Self { name, config, listeners, policy, seed } = self;
        config.validate()?;
        let engine = Engine {
            word: StateWord::new(),
            tuning: Tuning::new(&config),
            window: Window::of(&config),
            consecutive: Consecutive::new(),
            shut_until: AtomicU64::new(0),
            ramp: Ramp::new(),
            clock: Clock::new(),
            name,
            policy: Policy::new(policy),
            announcer: Announcer::new(listeners),
            dice: Dice::new(seed),
            cold: Mutex::new(Cold { config, probes: Probes::default(), reopenings: 0 }),
        };
        Ok(CircuitBreaker { engine: Arc::new(engine) })
    }
}

impl std::fmt::Debug for CircuitBreakerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CircuitBreakerBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
