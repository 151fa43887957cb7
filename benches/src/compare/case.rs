use sap_comm_testkit::RabbitNode;

use super::{Metric, Row, child, median::median};
use crate::{
    BenchError, Figures, Load, QueueKind, Setting,
    client::{BATCH, Client},
};

pub(super) const CLASSIC: &str = "e2e-classic";
pub(super) const QUORUM: &str = "e2e-quorum";
pub(super) const LATENCY: &str = "latency-half-load";
pub(super) const MEMORY: &str = "memory-bus";
pub(super) const NAMES: [&str; 4] = [CLASSIC, LATENCY, QUORUM, MEMORY];

const ON_RABBITMQ: &[Client] =
    &[Client::SapComm, Client::LapinPipelined, Client::LapinAwaited, Client::Amqplib, Client::RuststreamLapin];
const IN_MEMORY: &[Client] = &[Client::SapComm, Client::TokioChannel];
const THROUGHPUT: &[Metric] = &[Metric::Rate, Metric::Cpu];

/// Clients under the same load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    name: &'static str,
    /// Ours first.
    clients: &'static [Client],
    metrics: &'static [Metric],
    queue: QueueKind,
    load: Load,
}

/// The runs of each client.
#[derive(Debug)]
pub(super) struct Results {
    case: Case,
    runs: Vec<(Client, Vec<Figures>)>,
}

impl Case {
    pub(super) fn classic(messages: u32) -> Self {
        let (clients, load) = (ON_RABBITMQ, as_fast_as_possible(messages));
        Self { name: CLASSIC, clients, metrics: THROUGHPUT, queue: QueueKind::Classic, load }
    }

    pub(super) fn quorum(messages: u32) -> Self {
        Self { name: QUORUM, queue: QueueKind::Quorum, ..Self::classic(messages) }
    }

    /// At `rate` messages a second.
    pub(super) fn latency(messages: u32, rate: f64) -> Self {
        let load = Load { rate: Some(rate), ..as_fast_as_possible(messages) };
        Self { name: LATENCY, metrics: &[Metric::P50, Metric::P99], load, ..Self::classic(messages) }
    }

    pub(super) fn memory(messages: u32) -> Self {
        Self { name: MEMORY, clients: IN_MEMORY, ..Self::classic(messages) }
    }

    /// Runs every client once a round. Whoever went first goes last in the next one.
    pub(super) async fn run(self, node: Option<&RabbitNode>, rounds: u32) -> Result<Results, BenchError> {
        if let Some(rate) = self.load.rate {
            eprintln!("{}: open loop at {rate:.0} msg/s, half of the slowest client's maximum", self.name);
        }
        let clients = self.clients.iter().filter(|client| child::is_ready(**client));
        let mut runs: Vec<(Client, Vec<Figures>)> = clients.map(|client| (*client, Vec::new())).collect();
        for round in 0..rounds {
            for place in 0..runs.len() {
                let index = (place + round as usize) % runs.len();
                let (client, figures) = &mut runs[index];
                let measured = match node {
                    Some(node) => self.on_rabbitmq(*client, node).await?,
                    // In memory a publish is confirmed at once: a batch at a time.
                    None => child::run(*client, &Setting { window: BATCH, ..self.setting("memory://") }).await?,
                };
                eprintln!("{} {}/{rounds} {:<16}{}", self.name, round + 1, client.name(), self.shown(&measured));
                figures.push(measured);
            }
        }
        Ok(Results { case: self, runs })
    }

    /// In a virtual host of the run's own: a quorum queue may deliver again what was acknowledged just before the end.
    async fn on_rabbitmq(&self, client: Client, node: &RabbitNode) -> Result<Figures, BenchError> {
        let url = node.new_vhost().await?;
        let measured = child::run(client, &self.setting(&url)).await;
        if let Some((_, vhost)) = url.rsplit_once('/') {
            node.eval(&format!("rabbit_vhost:delete(<<\"{vhost}\">>, <<\"bench\">>)")).await?;
        }
        measured
    }

    fn setting(&self, url: &str) -> Setting {
        Setting::new(url, self.queue, self.load)
    }

    fn shown(&self, figures: &Figures) -> String {
        let shown = |metric: &Metric| metric.of(figures).map(|value| format!("{value:>10.2} {}", metric.unit()));
        self.metrics.iter().filter_map(shown).collect::<Vec<_>>().join(" ")
    }
}

/// A sixth of all messages is for warming up.
fn as_fast_as_possible(messages: u32) -> Load {
    Load { warm_up: messages / 5, messages, rate: None }
}

impl Results {
    /// The worst median among all clients, of a metric where more is better.
    pub(super) fn slowest(&self, metric: Metric) -> f64 {
        let medians = self.runs.iter().filter_map(|(_, figures)| of(metric, figures));
        medians.fold(f64::INFINITY, f64::min)
    }

    /// Our median beside each peer's.
    pub(super) fn rows(&self) -> Result<Vec<Row>, BenchError> {
        let Some(((_, ours), peers)) = self.runs.split_first() else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for metric in self.case.metrics {
            for (peer, theirs) in peers {
                if let (Some(ours), Some(theirs)) = (of(*metric, ours), of(*metric, theirs)) {
                    let row = Row::new(self.case.name, *metric, ours, *peer, theirs)?;
                    rows.push(row.noting(self.case.load.rate.map(|rate| format!("open loop at {rate:.0} msg/s"))));
                }
            }
        }
        Ok(rows)
    }
}

fn of(metric: Metric, figures: &[Figures]) -> Option<f64> {
    median(figures.iter().filter_map(|figures| metric.of(figures)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(seconds: f64) -> Figures {
        Figures { messages: 100, seconds, cpu_seconds: 0.001, p50_ms: None, p99_ms: None }
    }

    #[test]
    fn a_row_compares_medians() {
        let case = Case { metrics: &[Metric::Rate, Metric::P99], ..Case::classic(100) };
        let runs = vec![
            (Client::SapComm, vec![figures(1.0), figures(50.0), figures(2.0)]),
            (Client::Amqplib, vec![figures(4.0), figures(1.0), figures(5.0)]),
        ];
        let results = Results { case, runs };
        assert_eq!(results.slowest(Metric::Rate), 25.0);
        let expected = Row::new(CLASSIC, Metric::Rate, 50.0, Client::Amqplib, 25.0).unwrap();
        assert_eq!(results.rows().unwrap(), [expected]);
    }
}
