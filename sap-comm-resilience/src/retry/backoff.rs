use std::{fmt, sync::Arc, time::Duration};

use super::{RetryConfig, ScheduleKind};
use crate::random::Dice;

/// A schedule of your own: how long to wait before each retry.
pub trait Backoff: Send + Sync + 'static {
    /// The delays of one call, from its first retry on; when they end, so do the retries.
    fn delays(&self) -> Box<dyn Iterator<Item = Duration> + Send>;
}

impl<F, I> Backoff for F
where
    F: Fn() -> I + Send + Sync + 'static,
    I: Iterator<Item = Duration> + Send + 'static,
{
    fn delays(&self) -> Box<dyn Iterator<Item = Duration> + Send> {
        Box::new(self())
    }
}

/// Where one call stands in its schedule.
pub(crate) enum Delays {
    Exponential { step: i32 },
    Decorrelated { last: Duration },
    Fixed,
    Custom(Box<dyn Iterator<Item = Duration> + Send>),
}

impl Delays {
    pub(super) fn begin(config: &RetryConfig, custom: Option<&Arc<dyn Backoff>>) -> Self {
        match (custom, config.schedule) {
            (Some(custom), _) => Self::Custom(custom.delays()),
            (None, ScheduleKind::Exponential) => Self::Exponential { step: 0 },
            (None, ScheduleKind::Decorrelated) => Self::Decorrelated { last: config.min_delay },
            (None, ScheduleKind::Fixed) => Self::Fixed,
        }
    }

    /// The next delay, without jitter but for the decorrelated schedule, which is nothing else.
    pub(super) fn next(&mut self, config: &RetryConfig, dice: &Dice) -> Option<Duration> {
        match self {
            Self::Exponential { step } => {
                let delay = exponential(config, *step);
                *step = step.saturating_add(1);
                Some(delay)
            }
            Self::Decorrelated { last } => {
                let high = last.saturating_mul(3).min(config.max_delay);
                *last = dice.between(config.min_delay, high);
                Some(*last)
            }
            Self::Fixed => Some(config.min_delay),
            Self::Custom(delays) => delays.next(),
        }
    }

    /// Whether jitter applies: a custom schedule and the decorrelated one bring their own.
    pub(super) fn takes_jitter(&self) -> bool {
        matches!(self, Self::Exponential { .. } | Self::Fixed)
    }
}

/// When the attempts of a call would start if each failed at once: without jitter, from zero on.
pub(crate) fn attempt_starts(config: &RetryConfig, custom: Option<&Arc<dyn Backoff>>) -> Vec<Duration> {
    let mut starts = vec![Duration::ZERO];
    let mut at = Duration::ZERO;
    let mut delays = Delays::begin(config, custom);
    for _ in 0..config.max_retries {
        let delay = match &mut delays {
            Delays::Decorrelated { .. } => Some(config.min_delay),
            delays => delays.next(config, &Dice::new(Some(0))),
        };
        let Some(delay) = delay else { break };
        at = at.saturating_add(delay);
        starts.push(at);
    }
    starts
}

fn exponential(config: &RetryConfig, step: i32) -> Duration {
    let seconds = config.min_delay.as_secs_f64() * config.factor.powi(step);
    Duration::try_from_secs_f64(seconds).map_or(config.max_delay, |delay| delay.min(config.max_delay))
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delays")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn seconds(config: &RetryConfig) -> Vec<u64> {
        attempt_starts(config, None).iter().map(Duration::as_secs).collect()
    }

    #[test]
    fn the_specifications_schedule_starts_at_0_1_3_and_7() {
        let config = RetryConfig { min_delay: Duration::from_secs(1), ..RetryConfig::default() };
        assert_eq!(seconds(&config), [0, 1, 3, 7]);
        assert_eq!(seconds(&RetryConfig { max_retries: 5, ..config }), [0, 1, 3, 7, 12, 17]);
    }

    #[test]
    fn a_long_schedule_does_not_overflow() {
        let config = RetryConfig { max_retries: 1000, factor: 1000.0, ..RetryConfig::default() };
        assert_eq!(attempt_starts(&config, None).len(), 1001);
    }

    #[test]
    fn decorrelated_delays_stay_within_their_bounds() {
        let config = RetryConfig { schedule: ScheduleKind::Decorrelated, ..RetryConfig::default() };
        let mut delays = Delays::begin(&config, None);
        let dice = Dice::new(Some(3));
        for _ in 0..100 {
            let delay = delays.next(&config, &dice).unwrap();
            assert!(delay >= config.min_delay && delay <= config.max_delay);
        }
    }
}
