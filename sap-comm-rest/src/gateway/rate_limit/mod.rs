use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use governor::{
    RateLimiter, clock::Clock, middleware::StateInformationMiddleware, nanos::Nanos, state::keyed::DashMapStateStore,
};
use sap_comm_core::{Principal, config::ConfigError};
use tokio::time::Instant;

mod failures;
mod limit;
mod quota;
#[cfg(feature = "redis")]
mod redis;
mod shared;

pub(super) use failures::Failures;
pub(super) use limit::{Denied, RateLimit};
pub use quota::{Quota, RateLimitConfig};
#[cfg(feature = "redis")]
pub(super) use redis::Counter;
pub use shared::{SharedLimits, WhenAway};

/// Nothing counts for several gateways without the feature `redis`.
#[cfg(not(feature = "redis"))]
#[derive(Debug)]
pub(super) enum Counter {}

#[cfg(not(feature = "redis"))]
impl Counter {
    pub(super) fn new(_: &SharedLimits) -> Result<Self, ConfigError> {
        Err(ConfigError::new("shared_limits", "needs the feature `redis` of sap-comm-rest"))
    }
}

/// Counts requests by caller, in bounded memory.
///
/// Callers are told apart by a keyed hash of 64 bits. Past the bound, callers share a fixed number of buckets by hash
/// until enough of the others have been idle.
#[derive(Debug)]
struct Limiter {
    quota: Quota,
    inner: RateLimiter<u64, DashMapStateStore<u64>, TokioClock, StateInformationMiddleware>,
    hasher: RandomState,
    max_callers: usize,
    crowded: AtomicBool,
    since_sweep: AtomicU32,
}

/// What a caller has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Until all is there again.
    pub(super) reset: Duration,
}

/// A caller over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted {
    pub(super) limit: u32,
    pub(super) retry_after: Duration,
}

/// Whom a request is counted for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller<'a> {
    Principal(&'a Principal),
    Address(Option<IpAddr>),
}

/// Requests between two looks at the number of callers; it may pass its bound by as many.
const SWEEP_EVERY: u32 = 4_096;
/// How many buckets callers share once there are too many of them.
const SHARED_BUCKETS: u64 = 4_096;

impl Limiter {
    fn new(field: &str, quota: Quota, max_callers: usize) -> Result<Self, ConfigError> {
        let limits = quota.validate(field)?;
        let clock = TokioClock { start: Instant::now() };
        Ok(Self {
            quota,
            inner: RateLimiter::new(limits, DashMapStateStore::default(), clock),
            hasher: RandomState::new(),
            max_callers,
            crowded: AtomicBool::new(false),
            since_sweep: AtomicU32::new(0),
        })
    }

    #[cfg(feature = "redis")]
    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn counts_like(&self, other: &Self) -> bool {
        self.quota == other.quota && self.max_callers == other.max_callers
    }

    fn check(&self, caller: Caller<'_>) -> Result<Allowance, Exhausted> {
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        let limit = self.quota.at_once();
        match self.inner.check_key(&self.key(caller)) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(limit);
                let spent = limit.saturating_sub(remaining);
                Ok(Allowance { limit, remaining, reset: self.quota.interval() * spent })
            }
            Err(until) => Err(Exhausted { limit, retry_after: until.wait_time_from(self.inner.clock().now()) }),
        }
    }

    fn key(&self, caller: Caller<'_>) -> u64 {
        let hash = match caller {
            Caller::Principal(principal) => self.hasher.hash_one((1_u8, &principal.id, principal.kind as u8)),
            Caller::Address(address) => self.hasher.hash_one((2_u8, address.map(network))),
        };
        if self.crowded.load(Ordering::Relaxed) { hash % SHARED_BUCKETS } else { hash }
    }

    /// Forgets callers that have their whole quota again.
    fn sweep(&self) {
        if self.inner.len() > self.max_callers / 2 {
            self.inner.retain_recent();
        }
        self.crowded.store(self.inner.len() >= self.max_callers, Ordering::Relaxed);
    }
}

/// One client's addresses: an IPv6 client commands a network of 64 bits at least.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & (u128::MAX << 64),
    }
}

impl Exhausted {
    pub(super) fn allowance(self) -> Allowance {
        Allowance { limit: self.limit, remaining: 0, reset: self.retry_after }
    }
}

/// Governor's clock on tokio's, which tests can stop.
#[derive(Debug, Clone)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        // 584 years of running overflow it.
        Nanos::new(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Checked numbers for governor.
fn limits(interval: Duration, burst: NonZeroU32) -> Option<governor::Quota> {
    Some(governor::Quota::with_period(interval)?.allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn limiter(quota: Quota, max_callers: usize) -> Limiter {
        Limiter::new("rate_limit", quota, max_callers).unwrap()
    }

    fn v4(last: u8) -> Caller<'static> {
        Caller::Address(Some(Ipv4Addr::new(127, 0, 0, last).into()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_told_what_is_left_and_when_to_come_back() {
        let limiter = limiter(Quota::per_minute(60).burst(2), 10);
        let first = limiter.check(v4(1)).unwrap();
        assert_eq!(first, Allowance { limit: 2, remaining: 1, reset: Duration::from_secs(1) });
        assert_eq!(limiter.check(v4(1)).unwrap().remaining, 0);
        let refused = limiter.check(v4(1)).unwrap_err();
        assert_eq!(refused, Exhausted { limit: 2, retry_after: Duration::from_secs(1) });
        assert!(limiter.check(v4(2)).is_ok());
        tokio::time::advance(refused.retry_after).await;
        assert!(limiter.check(v4(1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_one_client_share_a_limit() {
        let limiter = limiter(Quota::per_second(1), 10);
        let v6 = |last| Caller::Address(Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last).into()));
        assert!(limiter.check(v6(1)).is_ok());
        assert!(limiter.check(v6(2)).is_err());
        let mapped = Caller::Address(Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
        assert!(limiter.check(mapped).is_ok());
        assert!(limiter.check(v4(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whoever_calls() {
        let limiter = limiter(Quota::per_hour(1), 100);
        let bound = 100 + SWEEP_EVERY as usize + SHARED_BUCKETS as usize;
        for number in 0..100_000_u32 {
            let _ = limiter.check(Caller::Address(Some(Ipv4Addr::from_bits(number).into())));
            assert!(limiter.inner.len() <= bound);
        }
        tokio::time::advance(Duration::from_secs(7_200)).await;
        limiter.sweep();
        assert!(limiter.inner.is_empty() && !limiter.crowded.load(Ordering::Relaxed));
    }
}
