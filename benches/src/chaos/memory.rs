//! What the processes weigh that nobody kills.

use std::collections::BTreeMap;

use super::{
    stage::{STEADY, Stage},
    worker::resident,
};

/// What a process may weigh more at the end than after it warmed up, KiB: less than a leak of a few bytes an event
/// comes to in ten minutes, more than an allocator's mood.
const ALLOWED: u64 = 16 << 10;

/// Samples of resident memory, KiB, by process.
#[derive(Default)]
pub(super) struct Memory(BTreeMap<String, Vec<u64>>);

/// How one process grew.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    pub(super) process: String,
    /// Median of the second quarter of the run, KiB.
    pub(super) warm: u64,
    /// Median of the last quarter, KiB.
    pub(super) end: u64,
}

impl Memory {
    pub(super) fn sample(&mut self, stage: &Stage) {
        let steady = STEADY.map(|place| &stage.workers[place]);
        let mut weighed: Vec<_> = steady.map(|worker| (worker.name().to_owned(), worker.resident())).into();
        weighed.push(("the run itself".to_owned(), resident("self")));
        for (name, weight) in weighed {
            self.0.entry(name).or_default().extend(weight);
        }
    }

    pub(super) fn growth(&self) -> Vec<Growth> {
        let growth = |(process, samples): (&String, &Vec<u64>)| Growth {
            process: process.clone(),
            warm: median(&samples[samples.len() / 4..samples.len() / 2]),
            end: median(&samples[samples.len() * 3 / 4..]),
        };
        self.0.iter().map(growth).collect()
    }
}

impl Growth {
    pub(super) fn is_flat(&self) -> bool {
        self.end <= self.warm + ALLOWED
    }
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_warming_up() {
        let of = |samples: Vec<u64>| Memory([("x".to_owned(), samples)].into()).growth().remove(0);
        assert!(of([vec![10_000; 10], vec![90_000; 30]].concat()).is_flat());
        assert!(!of((0..40).map(|step| 10_000 + step * 1_000).collect()).is_flat());
    }
}
