use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use super::store::Most;

/// Options of a relay; checked when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    pub(super) batch: u32,
    pub(super) batch_bytes: usize,
    pub(super) key_window: usize,
    #[serde(with = "duration")]
    pub(super) poll_interval: Duration,
    #[serde(with = "duration")]
    pub(super) lease: Duration,
    #[serde(with = "duration")]
    pub(super) backoff: Duration,
    #[serde(with = "duration")]
    pub(super) max_backoff: Duration,
    pub(super) unroutable: Unroutable,
    #[serde(with = "duration")]
    pub(super) retention: Duration,
    #[serde(with = "duration")]
    pub(super) drain_timeout: Duration,
}

/// What a relay does with an event that no queue wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Unroutable {
    /// It keeps the event and tries again, ever more rarely: the consumer may not have been there yet.
    #[default]
    Keep,
    /// It gives the event up.
    Discard,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            batch: 100,
            batch_bytes: 16 << 20,
            key_window: 1,
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(15),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            unroutable: Unroutable::Keep,
            retention: Duration::from_secs(86_400),
            drain_timeout: Duration::from_secs(3),
        }
    }
}

/// The longest pause of a relay: what is away comes back for every event at once, and is not noticed otherwise.
const MAX_AWAY: Duration = Duration::from_secs(5);
/// The longest duration taken: a year.
const MAX: Duration = Duration::from_secs(365 * 86_400);

impl RelayConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events are claimed at once. 100: a claim costs a transaction, and what is claimed is in memory.
    #[must_use]
    pub fn batch(mut self, events: u32) -> Self {
        self.batch = events;
        self
    }

    /// How many bytes the events have that are claimed at once; one that is larger is claimed alone. 16 MiB.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// How many events of one ordering key are sent ahead of their confirms. 1: strictly one after the other, which is as many
    /// a second as the broker confirms one by one; RabbitMQ takes up to some hundred milliseconds for one on a busy queue.
    ///
    /// With more, the order still holds over lost connections, and where the broker refuses all for a time: an event that failed is
    /// tried again alone. Only an event whose publish fails among others, since it is unroutable, or refused or not confirmed in time
    /// while the broker takes those that were sent after it, may then come behind them.
    #[must_use]
    pub fn key_window(mut self, events: usize) -> Self {
        self.key_window = events;
        self
    }

    /// How often other processes' events are looked for. 1 s; this process's own are seen at once.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// After how long the events claimed by a relay that died are free again. 15 s: a living relay renews its claims every
    /// 5 s, so it may miss two.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The pause after a failure; it doubles with every further one. 1 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The longest pause of an event that fails. 60 s. A relay whose broker or database is away looks again every 5 s at
    /// the latest.
    #[must_use]
    pub fn max_backoff(mut self, backoff: Duration) -> Self {
        self.max_backoff = backoff;
        self
    }

    /// What happens to an event that no queue wants. It is kept.
    #[must_use]
    pub fn unroutable(mut self, policy: Unroutable) -> Self {
        self.unroutable = policy;
        self
    }

    /// How long sent events stay in the table. A day; zero removes them at once.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long [`RelayHandle::stop`](super::RelayHandle::stop) keeps publishing what is there. 3 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Checks every option.
    ///
    /// # Errors
    /// Names the first option that cannot be, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=10_000).contains(&self.batch) {
            return Err(ConfigError::new("batch", format_args!("{} must lie within 1 and 10000", self.batch)));
        }
        if self.batch_bytes == 0 {
            return Err(ConfigError::new("batch_bytes", "0 must be greater than zero"));
        }
        if !(1..=10_000).contains(&self.key_window) {
            return Err(ConfigError::new(
                "key_window",
                format_args!("{} must lie within 1 and 10000", self.key_window),
            ));
        }
        let least = Duration::from_millis(1);
        for (name, value, least) in [
            ("poll_interval", self.poll_interval, least),
            ("lease", self.lease, Duration::from_millis(100)),
            ("backoff", self.backoff, least),
            ("max_backoff", self.max_backoff, self.backoff),
            ("retention", self.retention, Duration::ZERO),
            ("drain_timeout", self.drain_timeout, Duration::ZERO),
        ] {
            if value < least || value > MAX {
                return Err(ConfigError::new(name, format_args!("{value:?} must lie within {least:?} and a year")));
            }
        }
        Ok(())
    }

    /// How much one claim takes.
    pub(super) fn most(&self) -> Most {
        Most { events: self.batch, bytes: i64::try_from(self.batch_bytes).unwrap_or(i64::MAX) }
    }

    /// The pause after `failures` in a row, from 1.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let pause = self.backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        pause.mul_f64(1.0 - 0.1 * fastrand::f64())
    }

    /// The pause of a relay whose broker or database was away `failures` times in a row.
    pub(super) fn pause_while_away(&self, failures: u32) -> Duration {
        self.pause(failures).min(MAX_AWAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_option_is_named() {
        for (json, name) in [
            (r#"{"batch": 0}"#, "batch: 0"),
            (r#"{"batch_bytes": 0}"#, "batch_bytes: 0"),
            (r#"{"key_window": 0}"#, "key_window: 0"),
            (r#"{"lease": "1ms"}"#, "lease: 1ms"),
            (r#"{"max_backoff": "10ms"}"#, "max_backoff: 10ms"),
            (r#"{"poll": "1s"}"#, "poll"),
            (r#"{"unroutable": "drop"}"#, "drop"),
        ] {
            let config: Result<RelayConfig, _> = serde_json::from_str(json);
            let error = match config {
                Ok(config) => config.validate().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(name), "{error}");
        }
        RelayConfig::default().validate().unwrap();
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let config = RelayConfig::new();
        assert!(config.pause(1) <= Duration::from_secs(1));
        assert!(config.pause(3) > Duration::from_millis(3_500));
        assert!(config.pause(u32::MAX) <= Duration::from_secs(60));
        assert!(config.pause_while_away(1) <= Duration::from_secs(1));
        assert_eq!(config.pause_while_away(u32::MAX), Duration::from_secs(5));
    }
}
