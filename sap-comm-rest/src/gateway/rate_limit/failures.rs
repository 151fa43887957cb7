use std::{
    collections::HashMap,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use sap_comm_core::config::ConfigError;
use tokio::time::Instant;

use super::{Caller, Limiter, Quota, network};

/// Counts the credentials that were refused, by client address: a signature is not to be checked as often as anybody likes.
#[derive(Debug)]
pub(in crate::gateway) struct Failures {
    limiter: Limiter,
    /// Until when addresses are over the quota.
    over: Mutex<HashMap<u128, Instant>>,
    /// Nearly always nobody is.
    any: AtomicBool,
}

/// Addresses over the quota at once that are told apart; each is for as long as one more failure takes to be allowed.
const MAX_OVER: usize = 65_536;

impl Failures {
    pub(in crate::gateway) fn new(quota: Quota, max_callers: usize) -> Result<Self, ConfigError> {
        let limiter = Limiter::new("failed_credentials", quota, max_callers)?;
        Ok(Self { limiter, over: Mutex::default(), any: AtomicBool::new(false) })
    }

    /// How long an address has to wait before another of its credentials is looked at.
    pub(in crate::gateway) fn wait(&self, address: Option<IpAddr>) -> Option<Duration> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut over = self.over.lock();
        let now = Instant::now();
        let client = network(address?);
        let left = over.get(&client)?.saturating_duration_since(now);
        if left.is_zero() {
            over.remove(&client);
            self.any.store(!over.is_empty(), Ordering::Relaxed);
            return None;
        }
        Some(left)
    }

    /// A credential of this address was refused. Clients without one cannot be told apart, and are not held up.
    pub(in crate::gateway) fn count(&self, address: Option<IpAddr>) {
        let (Some(client), Err(exhausted)) = (address, self.limiter.check(Caller::Address(address))) else { return };
        let mut over = self.over.lock();
        let now = Instant::now();
        if over.len() >= MAX_OVER {
            over.retain(|_, until| *until > now);
        }
        if over.len() < MAX_OVER {
            over.insert(network(client), now + exhausted.retry_after);
            self.any.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_over_its_failures_waits_and_no_other() {
        let failures = Failures::new(Quota::per_second(2), 10).unwrap();
        let address = |last| Some(IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        for _ in 0..2 {
            failures.count(address(1));
            assert_eq!(failures.wait(address(1)), None);
        }
        failures.count(address(1));
        assert_eq!(failures.wait(address(1)), Some(Duration::from_millis(500)));
        assert_eq!((failures.wait(address(2)), failures.wait(None)), (None, None));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(failures.wait(address(1)), None);
        assert!(!failures.any.load(Ordering::Relaxed));
        for _ in 0..5 {
            failures.count(None);
        }
        assert_eq!(failures.wait(None), None);
    }
}
