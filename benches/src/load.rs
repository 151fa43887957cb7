use std::{ops::Range, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Arrivals, BenchError, CpuTime, Figures, client::Publisher};

/// What is published: so many messages after a warm-up, at once or at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Messages that are not measured.
    pub warm_up: u32,
    /// Messages that are measured.
    pub messages: u32,
    /// Messages a second, whatever becomes of earlier ones (open loop). As fast as the window allows when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// The grain of a paced run: what falls due within it is published together.
const GRAIN: Duration = Duration::from_millis(1);
/// A timer may be this late by itself. What is later is the client's own delay, and counts as latency.
const TIMER: Duration = Duration::from_millis(2);

impl Load {
    /// All messages, the warm-up included.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.warm_up.saturating_add(self.messages)
    }

    /// Room for all messages; the times of a paced run are kept.
    pub(crate) fn arrivals(&self) -> Arrivals {
        let arrivals = Arrivals::of(self.total());
        if self.rate.is_some() { arrivals.timed() } else { arrivals }
    }

    /// Publishes through `publisher` and waits until all is confirmed and has arrived.
    pub(crate) async fn drive<P: Publisher>(
        &self,
        publisher: &mut P,
        arrivals: &Arrivals,
    ) -> Result<Figures, BenchError> {
        arrivals.expect(self.warm_up);
        publisher.send(0..self.warm_up).await?;
        publisher.settle().await?;
        arrivals.all().await?;

        let measured = self.warm_up..self.total();
        arrivals.expect(measured.end);
        let (cpu, start) = (CpuTime::now()?, Instant::now());
        let sent = match self.rate {
            Some(rate) => pace(publisher, measured, rate).await?,
            None => {
                publisher.send(measured).await?;
                Vec::new()
            }
        };
        publisher.settle().await?;
        arrivals.all().await?;
        let (elapsed, cpu) = (start.elapsed(), CpuTime::now()?.since(cpu));
        let latencies = sent.into_iter().filter_map(|(number, at)| Some(arrivals.at(number)?.duration_since(at)));
        Ok(Figures::new(self.messages, elapsed, cpu, latencies.collect()))
    }
}

/// Publishes at `rate` and says from when each message's latency counts.
async fn pace<P: Publisher>(
    publisher: &mut P,
    numbers: Range<u32>,
    rate: f64,
) -> Result<Vec<(u32, Instant)>, BenchError> {
    let (start, mut next) = (Instant::now(), numbers.start);
    let mut sent = Vec::with_capacity(numbers.len());
    let mut tick = start;
    while next < numbers.end {
        tick += GRAIN;
        // Confirms are taken in while nothing is due.
        if let Ok(settled) = timeout_at(tick, publisher.settle()).await {
            settled?;
        }
        sleep_until(tick).await;
        let now = Instant::now();
        let from = if now.duration_since(tick) > TIMER { tick } else { now };
        let due = (tick.duration_since(start).as_secs_f64() * rate) as u32;
        let end = numbers.start.saturating_add(due).min(numbers.end);
        sent.extend((next..end).map(|number| (number, from)));
        publisher.send(next..end).await?;
        next = end;
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands over at once.
    struct Direct<'a>(&'a Arrivals);

    impl Publisher for Direct<'_> {
        async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError> {
            numbers.for_each(|number| {
                self.0.record(number);
            });
            Ok(())
        }

        async fn settle(&mut self) -> Result<(), BenchError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_paced_run_takes_its_time() {
        let load = Load { warm_up: 5, messages: 300, rate: Some(1_000.0) };
        let arrivals = load.arrivals();
        let figures = load.drive(&mut Direct(&arrivals), &arrivals).await.unwrap();
        assert_eq!(figures.messages, 300);
        assert!((0.299..0.302).contains(&figures.seconds), "{figures:?}");
        assert_eq!(figures.p50_ms, Some(0.0));
    }

    #[tokio::test]
    async fn a_run_without_a_rate_has_no_latencies() {
        let load = Load { warm_up: 1, messages: 10, rate: None };
        let arrivals = load.arrivals();
        let figures = load.drive(&mut Direct(&arrivals), &arrivals).await.unwrap();
        assert_eq!((figures.messages, figures.p50_ms), (10, None));
    }
}
