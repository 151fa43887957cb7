use std::fmt;

use crate::{compare::median, gateway::load::Measured};

/// What honest requests felt, in quiet spells and under each siege.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    /// How many times as long the slowest hundredth may take under siege.
    bound: f64,
    quiet: Vec<f64>,
    sieges: Vec<Siege>,
}

#[derive(Debug)]
struct Siege {
    /// Who besieged, and how many.
    by: String,
    p99_ms: f64,
    peak_mib: f64,
}

impl Report {
    pub(super) fn new(seed: u64, bound: f64) -> Self {
        Self { seed, bound, quiet: Vec::new(), sieges: Vec::new() }
    }

    pub(super) fn quiet(&mut self, measured: &Measured) {
        self.quiet.extend(measured.figures.p99_ms);
    }

    pub(super) fn besieged(&mut self, by: String, measured: &Measured) {
        let (p99_ms, peak_mib) = (measured.figures.p99_ms.unwrap_or(f64::INFINITY), measured.peak_kib as f64 / 1_024.0);
        self.sieges.push(Siege { by, p99_ms, peak_mib });
    }

    fn baseline(&self) -> f64 {
        median(self.quiet.iter().copied()).unwrap_or(0.0)
    }

    /// Whether the slowest hundredth of honest requests took within the bound under every siege.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.sieges.iter().all(|siege| siege.p99_ms <= self.bound * self.baseline())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let baseline = self.baseline();
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "quiet: p99 {baseline:.3} ms, the median of {:.3?}", self.quiet)?;
        for Siege { by, p99_ms, peak_mib } in &self.sieges {
            let ratio = p99_ms / baseline;
            writeln!(f, "{by}: p99 {p99_ms:.3} ms, {ratio:.2} x quiet; peak of memory {peak_mib:.1} MiB")?;
        }
        writeln!(f, "no honest request failed")?;
        if self.holds() {
            return write!(f, "holds");
        }
        write!(f, "does not hold: over {} x the quiet p99", self.bound)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Figures;

    fn measured(micros: u64) -> Measured {
        let latencies = vec![Duration::from_micros(micros)];
        let figures = Figures::new(1, Duration::from_secs(1), Duration::ZERO, latencies);
        Measured { figures, peak_kib: 0, held: None }
    }

    #[test]
    fn one_siege_beyond_the_bound_does_not_hold() {
        let mut report = Report::new(1, 2.0);
        report.quiet(&measured(1_000));
        report.besieged("one".to_owned(), &measured(2_000));
        assert!(report.holds());
        report.besieged("two".to_owned(), &measured(2_001));
        assert!(!report.holds() && report.to_string().ends_with("does not hold: over 2 x the quiet p99"));
    }
}
