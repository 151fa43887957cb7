use std::{fmt::Display, time::Duration};

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

/// How a [`Balancer`](crate::Balancer) chooses; valid by construction. Deserializes from its options by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Options", into = "Options")]
pub struct BalancerConfig(Options);

/// Builds a [`BalancerConfig`].
#[derive(Debug, Clone, Default)]
pub struct BalancerConfigBuilder(Options);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    #[serde(with = "duration")]
    initial_latency: Duration,
    #[serde(with = "duration")]
    latency_decay: Duration,
    #[serde(with = "duration")]
    failure_penalty: Duration,
    panic_threshold: f64,
    #[serde(with = "duration")]
    slow_start: Duration,
    ejection_failures: u32,
    #[serde(with = "duration")]
    ejection_time: Duration,
    #[serde(with = "duration")]
    max_ejection_time: Duration,
    #[serde(with = "duration")]
    staleness: Duration,
    #[serde(with = "duration")]
    empty_grace: Duration,
    #[serde(with = "duration")]
    resolve_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            initial_latency: Duration::from_millis(30),
            latency_decay: Duration::from_secs(10),
            failure_penalty: Duration::from_secs(1),
            panic_threshold: 0.5,
            slow_start: Duration::from_secs(10),
            ejection_failures: 5,
            ejection_time: Duration::from_secs(10),
            max_ejection_time: Duration::from_secs(300),
            staleness: Duration::from_secs(300),
            empty_grace: Duration::ZERO,
            resolve_timeout: Duration::from_secs(5),
        }
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        impl BalancerConfigBuilder {
            $($(#[$doc])* #[must_use] pub fn $name(mut self, $name: $type) -> Self {
                self.0.$name = $name;
                self
            })*
        }

        impl BalancerConfig {
            $(pub(super) fn $name(&self) -> $type {
                self.0.$name
            })*
        }
    };
}

options! {
    /// The latency assumed of an endpoint that was not asked yet. Default 30 ms.
    initial_latency: Duration,
    /// How fast old latencies are forgotten. Default 10 s.
    latency_decay: Duration,
    /// A failed call counts as one that took this long, so that failing fast attracts nothing. Default 1 s.
    failure_penalty: Duration,
    /// When less than this share of the endpoints is left, ejections are ignored. Default 0.5.
    panic_threshold: f64,
    /// How long an endpoint that joins takes to get its full share. Default 10 s; zero turns it off.
    slow_start: Duration,
    /// Failures in a row that eject an endpoint. Default 5; zero turns ejection off.
    ejection_failures: u32,
    /// How long the first ejection lasts; each further one lasts twice as long. Default 10 s.
    ejection_time: Duration,
    /// The longest ejection. Default 5 min.
    max_ejection_time: Duration,
    /// How long the last endpoints serve while the resolver's source cannot be asked. Default 5 min.
    staleness: Duration,
    /// How long an empty answer is doubted before it empties the set. Default zero: it is believed at once.
    empty_grace: Duration,
    /// How long [`Balancer::ready`](crate::Balancer::ready) waits for the first answer. Default 5 s.
    resolve_timeout: Duration,
}

/// The longest duration taken: a year.
const MAX: Duration = Duration::from_secs(365 * 86_400);

impl BalancerConfigBuilder {
    /// Checks every option.
    ///
    /// # Errors
    /// Names the first option that cannot be used, and its value.
    pub fn build(self) -> Result<BalancerConfig, ConfigError> {
        BalancerConfig::try_from(self.0)
    }
}

impl BalancerConfig {
    /// Starts from the defaults.
    #[must_use]
    pub fn builder() -> BalancerConfigBuilder {
        BalancerConfigBuilder::default()
    }
}

impl TryFrom<Options> for BalancerConfig {
    type Error = ConfigError;

    fn try_from(options: Options) -> Result<Self, ConfigError> {
        for (name, value) in [
            ("initial_latency", options.initial_latency),
            ("latency_decay", options.latency_decay),
            ("ejection_time", options.ejection_time),
            ("resolve_timeout", options.resolve_timeout),
        ] {
            check(!value.is_zero(), name, humantime(value), "must be longer than zero")?;
        }
        for (name, value) in [
            ("initial_latency", options.initial_latency),
            ("latency_decay", options.latency_decay),
            ("failure_penalty", options.failure_penalty),
            ("slow_start", options.slow_start),
            ("ejection_time", options.ejection_time),
            ("max_ejection_time", options.max_ejection_time),
            ("staleness", options.staleness),
            ("empty_grace", options.empty_grace),
            ("resolve_timeout", options.resolve_timeout),
        ] {
            check(value <= MAX, name, humantime(value), "must be at most a year")?;
        }
        let threshold = options.panic_threshold;
        check((0.0..=1.0).contains(&threshold), "panic_threshold", threshold, "must lie within 0 and 1")?;
        let ordered = options.max_ejection_time >= options.ejection_time;
        let value = humantime(options.max_ejection_time);
        check(ordered, "max_ejection_time", value, "must be at least `ejection_time`")?;
        Ok(Self(options))
    }
}

impl From<BalancerConfig> for Options {
    fn from(config: BalancerConfig) -> Self {
        config.0
    }
}

fn humantime(value: Duration) -> String {
    format!("{value:?}")
}

fn check(holds: bool, name: &str, value: impl Display, reason: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(name, format_args!("{value}: {reason}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_option_is_named_with_its_value() {
        let builder = BalancerConfig::builder();
        let error = builder.clone().panic_threshold(f64::NAN).build().unwrap_err().to_string();
        assert!(error.contains("panic_threshold: NaN"), "{error}");
        let error = builder.clone().latency_decay(Duration::ZERO).build().unwrap_err().to_string();
        assert!(error.contains("latency_decay: 0ns"), "{error}");
        let error = builder.max_ejection_time(Duration::from_secs(1)).build().unwrap_err().to_string();
        assert!(error.contains("max_ejection_time: 1s"), "{error}");
    }

    #[test]
    fn options_are_read_by_name_and_checked() {
        let config: BalancerConfig = serde_json::from_str(r#"{"staleness": "1m", "ejection_failures": 3}"#).unwrap();
        assert_eq!((config.staleness(), config.ejection_failures()), (Duration::from_secs(60), 3));
        for text in [r#"{"panic_threshold": 2}"#, r#"{"stalenes": "1m"}"#] {
            assert!(serde_json::from_str::<BalancerConfig>(text).is_err(), "{text}");
        }
    }
}
