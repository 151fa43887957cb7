use std::{
    collections::HashMap,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use sap_comm_core::config::ConfigError;
use tokio::time::Instant;

use super::{Caller, Limiter, Quota, network};

/// Counts the tokens that were refused once their signature was checked, by client address: none is to be checked as often as
/// anybody likes.
#[derive(Debug)]
pub(in crate::gateway) struct Failures {
    limiter: Limiter,
    begun: Instant,
    /// Until when addresses are over the quota, in nanoseconds since the beginning.
    over: Mutex<HashMap<u128, u64>>,
    /// The latest of them; 0 nearly always, when nobody is.
    latest: AtomicU64,
}

/// Addresses over the quota at once that are told apart; each is for as long as one more failure takes to be allowed.
const MAX_OVER: usize = 65_536;

impl Failures {
    pub(in crate::gateway) fn new(quota: Quota, max_callers: usize) -> Result<Self, ConfigError> {
        let limiter = Limiter::new("failed_credentials", quota, max_callers)?;
        Ok(Self { limiter, begun: Instant::now(), over: Mutex::default(), latest: AtomicU64::new(0) })
    }

    /// How long an address has to wait before another of its signatures is checked.
    pub(in crate::gateway) fn wait(&self, address: Option<IpAddr>) -> Option<Duration> {
        let latest = self.latest.load(Ordering::Relaxed);
        if latest == 0 {
            return None;
        }
        let now = self.since_begun(Instant::now());
        if latest <= now {
            // Unless somebody came over the quota meanwhile: the next request needs no clock.
            let _ = self.latest.compare_exchange(latest, 0, Ordering::Relaxed, Ordering::Relaxed);
            return None;
        }
        let until = self.over.lock().get(&network(address?)).copied()?;
        until.checked_sub(now).filter(|left| *left > 0).map(Duration::from_nanos)
    }

    /// A signature from this address was wrong. Clients without one cannot be told apart, and are not held up.
    pub(in crate::gateway) fn count(&self, address: Option<IpAddr>) {
        let (Some(client), Err(exhausted)) = (address, self.limiter.check(Caller::Address(address))) else { return };
        let mut over = self.over.lock();
        let now = Instant::now();
        let (until, now) = (self.since_begun(now + exhausted.retry_after), self.since_begun(now));
        if self.latest.load(Ordering::Relaxed) <= now {
            // All of them are past.
            *over = HashMap::new();
        } else if over.len() >= MAX_OVER {
            over.retain(|_, until| *until > now);
        }
        if over.len() < MAX_OVER {
            over.insert(network(client), until);
            self.latest.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// 584 years of running overflow it.
    fn since_begun(&self, then: Instant) -> u64 {
        u64::try_from(then.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from(Ipv4Addr::new(10, 0, 0, last)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_over_its_failures_waits_and_no_other() {
        let failures = Failures::new(Quota::per_second(2), 10).unwrap();
        for _ in 0..2 {
            failures.count(address(1));
            assert_eq!(failures.wait(address(1)), None);
        }
        failures.count(address(1));
        assert_eq!(failures.wait(address(1)), Some(Duration::from_millis(500)));
        assert_eq!((failures.wait(address(2)), failures.wait(None)), (None, None));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(failures.wait(address(1)), None);
        for _ in 0..5 {
            failures.count(None);
        }
        assert_eq!(failures.wait(None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_comes_back_leaves_nothing_behind() {
        let failures = Failures::new(Quota::per_second(1), 10).unwrap();
        for _ in 0..2 {
            failures.count(address(1));
        }
        assert_ne!(failures.latest.load(Ordering::Relaxed), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(failures.wait(address(2)), None);
        assert_eq!(failures.latest.load(Ordering::Relaxed), 0, "nobody takes the lock any more");
        for _ in 0..2 {
            failures.count(address(3));
        }
        assert_eq!(failures.over.lock().len(), 1, "who is past was forgotten");
        assert_eq!((failures.wait(address(3)), failures.wait(address(1))), (Some(Duration::from_secs(1)), None));
    }
}
