//! Resilience for calls between services: circuit breaker, retry, timeout and deadline, bulkhead, rate limit, adaptive
//! concurrency limit and throttle, hedge, fallback.
//!
//! Each strategy is a folder with the same set of files, and comes as a plain call, `strategy.call(async || …)`, and as
//! a tower layer, `strategy.layer()`. A [`Pipeline`] stacks them. Time is tokio's, so that tests may pause it.

mod adaptive_concurrency;
mod adaptive_throttle;
mod bulkhead;
mod circuit_breaker;
mod classify;
mod clock;
mod config;
mod contain;
mod deadline;
mod fallback;
mod hedge;
mod name;
mod numbering;
mod pipeline;
mod random;
mod rate_limit;
mod retry;
mod scoped;
mod service;
mod sync;
mod thread_number;
mod timeout;
mod timer;

pub use adaptive_concurrency::{
    AdaptiveConcurrency, AdaptiveConcurrencyBuilder, AdaptiveConcurrencyConfig, AdaptiveConcurrencyError,
    AdaptiveConcurrencyFuture, AdaptiveConcurrencyLayer, AdaptiveConcurrencyService, ConcurrencyLimited,
    ConcurrencyPermit, ConcurrencySnapshot,
};
pub use adaptive_throttle::{
    AdaptiveThrottle, AdaptiveThrottleBuilder, AdaptiveThrottleConfig, AdaptiveThrottleError, AdaptiveThrottleFuture,
    AdaptiveThrottleLayer, AdaptiveThrottleService, LocallyThrottled, ThrottlePermit, ThrottleSnapshot,
};
pub use bulkhead::{
    Bulkhead, BulkheadBuilder, BulkheadConfig, BulkheadError, BulkheadFull, BulkheadFuture, BulkheadLayer,
    BulkheadService, Slot,
};
pub use circuit_breaker::{
    BreakerError, BreakerFuture, BreakerLayer, BreakerRegistry, BreakerService, Cause, CircuitBreaker,
    CircuitBreakerBuilder, CircuitBreakerConfig, Comparison, Events, OpossumBuilder, OwnedPermit, Permit, Rejected,
    Snapshot, State, Transition, TripPolicy, TripReason,
};
#[cfg(feature = "failsafe")]
pub use circuit_breaker::{FailsafePolicy, WindowPolicy};
pub use classify::{Classify, HttpStatus, Outcome, Standard, is_rejection, parse_retry_after};
pub use deadline::{Deadline, DeadlineError, DeadlineExceeded, DeadlineFuture, DeadlineLayer, DeadlineService};
pub use fallback::{Answer, Fallback, FallbackFuture, FallbackLayer, FallbackService, ForResults, NoFallback};
pub use hedge::{Hedge, HedgeBuilder, HedgeConfig, HedgeFuture, HedgeLayer, HedgeService};
pub use name::Name;
pub use pipeline::{
    Bound, Lint, Pipeline, PipelineBuilder, PipelineError, PipelineFuture, PipelineLayer, PipelineService,
};
pub use rate_limit::{
    RateLimit, RateLimitBuilder, RateLimitConfig, RateLimitError, RateLimitFuture, RateLimitLayer, RateLimitService,
    RateLimited,
};
pub use retry::{
    AllIdempotent, Backoff, HttpReplay, Jitter, Replay, ReplayBody, ReplayBodyError, ReplayBodyLayer,
    ReplayBodyService, Retry, RetryBudget, RetryBuilder, RetryConfig, RetryEvent, RetryFuture, RetryLayer,
    RetryService, ScheduleKind, UpstreamRetries,
};
#[cfg(feature = "backoff")]
pub use retry::{BackoffCrate, ScheduleBackoff};
pub use timeout::{Elapsed, Timeout, TimeoutError, TimeoutFuture, TimeoutLayer, TimeoutService};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
