use std::time::Duration;

use super::{
    super::{median::median, row::Row},
    CONNECTIONS, Contestant, Figure, GatewayOptions, SUBJECT,
    stage::{Running, Stage, load},
};
use crate::{
    BenchError,
    gateway::{ITEM, Load, Pace, STREAM, UPLOAD, load::Measured},
};

/// How much more a proxy may hold in the last quarter of a stream than in the first, MiB: less than one percent of 1 GiB.
const FLAT: f64 = 8.0;

const MIB: u64 = 1_024 * 1_024;

/// Proxies under the same load.
#[derive(Clone, Debug)]
pub(super) struct Case {
    name: &'static str,
    /// Ours first.
    contestants: Vec<Contestant>,
    figures: &'static [Figure],
    pace: Pace,
    rounds: u32,
    note: Option<String>,
}

/// The runs of each contestant.
#[derive(Debug)]
pub(super) struct Results {
    name: &'static str,
    figures: &'static [Figure],
    note: Option<String>,
    runs: Vec<(Contestant, Vec<Measured>)>,
}

impl Case {
    pub(super) fn closed(name: &'static str, contestants: &[Contestant], options: &GatewayOptions) -> Self {
        let (warm_up, measured) = times(options);
        let pace = Pace::Closed { warm_up, measured };
        let figures = &[Figure::Cpu, Figure::Rate];
        Self { name, contestants: contestants.to_vec(), figures, pace, rounds: options.rounds, note: None }
    }

    /// At `rate` requests a second.
    pub(super) fn open(name: &'static str, contestants: &[Contestant], rate: f64, options: &GatewayOptions) -> Self {
        let (warm_up, measured) = times(options);
        let pace = Pace::Open { rate, warm_up, measured };
        let note = Some(format!("at {rate:.0} req/s"));
        Self { figures: &[Figure::P99], pace, note, ..Self::closed(name, contestants, options) }
    }

    pub(super) fn download(name: &'static str, contestants: &[Contestant], options: &GatewayOptions) -> Self {
        Self::stream(name, contestants, Pace::Download { bytes: options.stream * MIB }, options)
    }

    pub(super) fn upload(name: &'static str, contestants: &[Contestant], options: &GatewayOptions) -> Self {
        Self::stream(name, contestants, Pace::Upload { bytes: options.stream * MIB }, options)
    }

    fn stream(name: &'static str, contestants: &[Contestant], pace: Pace, options: &GatewayOptions) -> Self {
        Self { figures: &[Figure::Peak], pace, ..Self::closed(name, contestants, options) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// One round only.
    pub(super) fn once(self) -> Self {
        Self { rounds: 1, ..self }
    }

    /// Runs everybody once a round, each in a process that began with this case. Whoever went first goes last in the next
    /// round.
    pub(super) async fn run(self, stage: &Stage) -> Result<Results, BenchError> {
        let mut running = Vec::new();
        for contestant in &self.contestants {
            running.push((*contestant, stage.start(*contestant).await?, Vec::new()));
        }
        for round in 0..self.rounds {
            for place in 0..running.len() {
                let index = (place + round as usize) % running.len();
                let (contestant, proxy, runs) = &mut running[index];
                let measured = load(contestant.name(), self.load(stage, *contestant, proxy)).await?;
                let (name, peer) = (self.name, contestant.name());
                eprintln!("{name} {}/{} {peer:<21}{}", round + 1, self.rounds, self.shown(&measured));
                runs.push(measured);
            }
        }
        let runs = running.into_iter().map(|(contestant, _, runs)| (contestant, runs)).collect();
        Ok(Results { name: self.name, figures: self.figures, note: self.note, runs })
    }

    fn load(&self, stage: &Stage, contestant: Contestant, proxy: &Running) -> Load {
        let path = match self.pace {
            Pace::Download { bytes } => format!("{STREAM}{bytes}"),
            Pace::Upload { .. } => UPLOAD.to_owned(),
            Pace::Closed { .. } | Pace::Open { .. } => ITEM.to_owned(),
        };
        let (port, pid, tokens) = (proxy.port, proxy.pid, stage.tokens(contestant));
        Load { port, pid, path, connections: CONNECTIONS, tokens, pace: self.pace, refusals: false, body: 0 }
    }

    /// What the rows are about, and what explains them.
    fn shown(&self, measured: &Measured) -> String {
        let figures: &[Figure] = match self.pace {
            Pace::Closed { .. } => &[Figure::Cpu, Figure::Rate, Figure::Peak],
            Pace::Open { .. } => &[Figure::Cpu, Figure::P99],
            Pace::Download { .. } | Pace::Upload { .. } => &[Figure::Cpu, Figure::Peak, Figure::Growth],
        };
        let shown = |figure: &Figure| Some(format!("{:>12.2} {}", figure.of(measured)?, figure.unit()));
        figures.iter().filter_map(shown).collect()
    }
}

fn times(options: &GatewayOptions) -> (Duration, Duration) {
    (Duration::from_millis(options.millis / 3), Duration::from_millis(options.millis))
}

impl Results {
    /// The worst median among these, of a figure where more is better.
    pub(super) fn slowest(&self, contestants: &[Contestant], figure: Figure) -> f64 {
        let runs = self.runs.iter().filter(|(contestant, _)| contestants.contains(contestant));
        runs.filter_map(|(_, runs)| of(figure, runs)).fold(f64::INFINITY, f64::min)
    }

    /// What each adds to the p99 of the origin alone, to stderr.
    pub(super) fn tell_added(&self) {
        let p99 = |runs| of(Figure::P99, runs);
        let direct = self.runs.iter().find(|(contestant, _)| *contestant == Contestant::Direct);
        let Some(direct) = direct.and_then(|(_, runs)| p99(runs)) else { return };
        for (contestant, runs) in self.runs.iter().filter(|(contestant, _)| *contestant != Contestant::Direct) {
            if let Some(theirs) = p99(runs) {
                eprintln!(
                    "{} {} adds {:.2} ms to a p99 of {direct:.2} ms",
                    self.name,
                    contestant.name(),
                    theirs - direct
                );
            }
        }
    }

    /// Whether memory was flat in every stream, ours beside each peer.
    pub(super) fn flat_rows(&self) -> Vec<Row> {
        let Some(((_, ours), peers)) = self.runs.split_first() else { return Vec::new() };
        let row = |(peer, theirs): &(Contestant, Vec<Measured>)| {
            Row::is(SUBJECT, self.name, "flat", flat(ours), peer.name(), flat(theirs))
        };
        peers.iter().map(row).collect()
    }

    /// Fails when ours held more and more.
    pub(super) fn require_flat(&self) -> Result<(), BenchError> {
        let ours = self.runs.first().map_or(&[][..], |(_, runs)| runs);
        if flat(ours) {
            return Ok(());
        }
        let name = self.name;
        let reason = match growth(ours) {
            Some(grown) => {
                format!("the gateway held {grown:.1} MiB more at the end of {name}, where {FLAT} are allowed")
            }
            None => format!("what the gateway held was not seen at the beginning and at the end of {name}"),
        };
        Err(BenchError::refused("stream in flat memory")(reason))
    }

    /// Our median beside each peer's.
    pub(super) fn rows(&self) -> Result<Vec<Row>, BenchError> {
        let Some(((_, ours), peers)) = self.runs.split_first() else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for figure in self.figures {
            for (peer, theirs) in peers {
                if let (Some(ours), Some(theirs)) = (of(*figure, ours), of(*figure, theirs)) {
                    let row = Row::of(figure.measure(self.name), ours, peer.name(), theirs)?;
                    rows.push(row.noting(self.note.clone()));
                }
            }
        }
        Ok(rows)
    }
}

fn flat(runs: &[Measured]) -> bool {
    growth(runs).is_some_and(|grown| grown <= FLAT)
}

/// The worst, since memory that one stream took may serve the next; `None` when it was not seen in every run.
fn growth(runs: &[Measured]) -> Option<f64> {
    let all: Option<Vec<_>> = runs.iter().map(|measured| Figure::Growth.of(measured)).collect();
    all?.into_iter().reduce(f64::max)
}

fn of(figure: Figure, runs: &[Measured]) -> Option<f64> {
    median(runs.iter().filter_map(|measured| figure.of(measured)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Figures, gateway::load::Held};

    fn run(held: Option<Held>) -> Measured {
        let figures = Figures::new(1, Duration::from_secs(1), Duration::ZERO, Vec::new());
        Measured { figures, peak_kib: 0, held }
    }

    #[test]
    fn what_grew_in_one_run_or_was_not_seen_in_one_is_not_flat() {
        let within = || run(Some(Held::of(50_000, 50_000 + 8 * 1_024)));
        let beyond = || run(Some(Held::of(50_000, 50_001 + 8 * 1_024)));
        assert!(flat(&[within(), within()]));
        assert!(!flat(&[within(), beyond()]) && !flat(&[beyond(), within()]));
        assert!(!flat(&[within(), run(None)]) && !flat(&[]));
        assert!(!flat(&[run(Some(Held::of(50_000, 0)))]) && !flat(&[run(Some(Held::of(0, 50_000)))]));
    }
}
