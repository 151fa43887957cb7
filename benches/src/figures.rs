use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one run of one client or proxy cost; the warm-up is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Figures {
    /// Messages published, confirmed and handled; requests answered.
    pub messages: u32,
    /// From the first publish or request until all are done with.
    pub seconds: f64,
    /// User and system time of the client's or proxy's process within these seconds.
    pub cpu_seconds: f64,
    /// Half of the messages took no longer from publish to handler, or to the answer; only of paced runs.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// 99 of 100 messages took no longer from publish to handler, or to the answer; only of paced runs.
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

impl Figures {
    /// The figures of a run; `latencies` may be empty.
    pub(crate) fn new(messages: u32, elapsed: Duration, cpu: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let millis = |share| percentile(&latencies, share).map(|latency| latency.as_secs_f64() * 1_000.0);
        let (p50_ms, p99_ms) = (millis(0.50), millis(0.99));
        Self { messages, seconds: elapsed.as_secs_f64(), cpu_seconds: cpu.as_secs_f64(), p50_ms, p99_ms }
    }

    /// Messages a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from(self.messages) / self.seconds
    }

    /// The client's CPU time a message, in microseconds.
    #[must_use]
    pub fn cpu_us_per_message(&self) -> f64 {
        self.cpu_seconds * 1e6 / f64::from(self.messages)
    }
}

/// The smallest value that `share` of the sorted values do not exceed.
fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (sorted.len() as f64 * share).ceil().max(1.0);
    sorted.get(rank as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let millis: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let figures = Figures::new(200, Duration::from_secs(2), Duration::from_millis(20), millis);
        assert_eq!((figures.p50_ms, figures.p99_ms), (Some(100.0), Some(198.0)));
        assert_eq!((figures.rate(), figures.cpu_us_per_message()), (100.0, 100.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
