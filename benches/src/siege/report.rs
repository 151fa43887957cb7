use std::fmt;

use crate::{compare::median, gateway::load::Measured};

/// How much longer the slowest hundredth may take under siege.
const BOUND: f64 = 2.0;

/// What honest requests felt, in quiet spells and under each siege.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    quiet: Vec<f64>,
    sieges: Vec<Siege>,
}

#[derive(Debug)]
struct Siege {
    by: &'static str,
    /// How many besieged at the end.
    count: u32,
    p99_ms: f64,
    peak_mib: f64,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, quiet: Vec::new(), sieges: Vec::new() }
    }

    pub(super) fn quiet(&mut self, measured: &Measured) {
        self.quiet.extend(measured.figures.p99_ms);
    }

    pub(super) fn besieged(&mut self, by: &'static str, count: u32, measured: &Measured) {
        let (p99_ms, peak_mib) =
            (measured.figures.p99_ms.unwrap_or(f64::INFINITY), measured.peak_kib as f64 / 1_024.0);
        self.sieges.push(Siege { by, count, p99_ms, peak_mib });
    }

    fn baseline(&self) -> f64 {
        median(self.quiet.iter().copied()).unwrap_or(0.0)
    }

    /// Whether the slowest hundredth of honest requests took at most twice as long under every siege.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.sieges.iter().all(|siege| siege.p99_ms <= BOUND * self.baseline())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let baseline = self.baseline();
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "quiet: p99 {baseline:.3} ms, the median of {:.3?}", self.quiet)?;
        for Siege { by, count, p99_ms, peak_mib } in &self.sieges {
            let ratio = p99_ms / baseline;
            writeln!(f, "{count} {by}: p99 {p99_ms:.3} ms, {ratio:.2} x quiet; peak of memory {peak_mib:.1} MiB")?;
        }
        writeln!(f, "no honest request failed")?;
        write!(f, "{}", if self.holds() { "holds" } else { "does not hold: over twice the quiet p99" })
    }
}
