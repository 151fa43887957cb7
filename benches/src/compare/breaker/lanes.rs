//! Threads that walk through the same schedule in step.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::contestant::{Contestant, Runner};
use crate::{BenchError, compare::median::median};

/// How long a contestant warms up, in slices.
const WARM_UP: u32 = 50;

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: u32,
    /// How long a contestant runs in a round: short, so that most slices pass undisturbed on a busy machine.
    pub(super) slice: Duration,
}

/// Nanoseconds a call and thread for each contestant: the median over all rounds. Whoever went first in one round goes
/// last in the next.
pub(super) fn measure(contestants: &[Contestant], threads: usize, plan: Plan) -> Result<Vec<f64>, BenchError> {
    let barrier = Barrier::new(threads);
    let calls: Vec<AtomicU64> = contestants.iter().map(|_| AtomicU64::new(1)).collect();
    let lane = |index| Lane { index, threads, contestants, calls: &calls, barrier: &barrier };
    let lanes: Vec<Lane<'_>> = (0..threads).map(lane).collect();
    let walked: Vec<Result<Vec<Vec<Slice>>, BenchError>> = thread::scope(|scope| {
        let walking: Vec<_> = lanes.iter().map(|lane| scope.spawn(|| lane.walk(plan))).collect();
        walking.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let walked: Vec<Vec<Vec<Slice>>> = walked.into_iter().collect::<Result<_, _>>()?;
    let of = |index: usize| {
        let calls = calls[index].load(Ordering::Relaxed) as f64;
        let lanes = &walked[..contestants[index].threads];
        let rounds =
            (0..plan.rounds as usize).map(|round| lanes.iter().map(|lane| lane[index][round]).collect::<Vec<_>>());
        let (together, apart): (Vec<_>, Vec<_>) = rounds.partition(|slices| ran_together(slices));
        let counted = if together.is_empty() {
            eprintln!("warning: the threads of {} never ran at once", contestants[index].name);
            apart
        } else {
            together
        };
        let cost = |slices: &Vec<Slice>| {
            slices.iter().map(|slice| slice.took.as_nanos() as f64).sum::<f64>() / slices.len() as f64 / calls
        };
        median(counted.iter().map(cost))
    };
    Ok((0..contestants.len()).filter_map(of).collect())
}

/// One contestant on one thread in one round.
#[derive(Clone, Copy, Debug)]
struct Slice {
    began: Instant,
    ended: Instant,
    took: Duration,
}

/// Whether the threads of a round met. On a busy machine one of them may have waited for its core meanwhile, and then
/// the round says nothing about two threads.
fn ran_together(slices: &[Slice]) -> bool {
    let (Some(began), Some(ended)) =
        (slices.iter().map(|slice| slice.began).max(), slices.iter().map(|slice| slice.ended).min())
    else {
        return false;
    };
    let longest = slices.iter().map(|slice| slice.ended - slice.began).max().unwrap_or_default();
    ended.saturating_duration_since(began) >= longest.mul_f64(0.8)
}

/// One for each contestant that runs on this thread.
type Runners = Vec<Option<Runner>>;

/// What one thread does.
struct Lane<'a> {
    index: usize,
    threads: usize,
    contestants: &'a [Contestant],
    /// A slice's calls for each contestant; the first lane finds them out.
    calls: &'a [AtomicU64],
    barrier: &'a Barrier,
}

impl Lane<'_> {
    /// The slices of every round, for each contestant. After an error it goes on to meet the others, and runs
    /// nothing more.
    fn walk(&self, plan: Plan) -> Result<Vec<Vec<Slice>>, BenchError> {
        let mut entered = self.enter();
        if self.index == 0
            && let Ok(runners) = &mut entered
        {
            let warmed: Result<(), BenchError> =
                runners.iter_mut().flatten().zip(self.calls).try_for_each(|(runner, calls)| {
                    calls.store(warm_up(runner, plan.slice)?, Ordering::Relaxed);
                    Ok(())
                });
            entered = warmed.and(entered);
        }
        let mut slices = vec![Vec::with_capacity(plan.rounds as usize); self.contestants.len()];
        // In step for the first time: whoever fights with itself makes fewer calls a slice.
        for index in 0..self.contestants.len() {
            let calls = self.calls[index].load(Ordering::Relaxed);
            let slice = self.step(&mut entered, index, calls);
            if let (0, Some(slice)) = (self.index, slice) {
                let fitting = calls as f64 * plan.slice.as_secs_f64() / slice.took.as_secs_f64();
                self.calls[index].store((fitting as u64).clamp(1, calls), Ordering::Relaxed);
            }
        }
        self.barrier.wait();
        for round in 0..plan.rounds as usize {
            for place in 0..self.contestants.len() {
                let index = (place + round) % self.contestants.len();
                let calls = self.calls[index].load(Ordering::Relaxed);
                slices[index].extend(self.step(&mut entered, index, calls));
            }
        }
        entered.map(|_| slices)
    }

    /// Runs one slice at the same time as the other lanes do.
    fn step(&self, entered: &mut Result<Runners, BenchError>, index: usize, calls: u64) -> Option<Slice> {
        self.barrier.wait();
        let runner = entered.as_mut().ok()?[index].as_mut()?;
        let began = Instant::now();
        let took = runner(calls).map_err(|error| *entered = Err(error)).ok()?;
        Some(Slice { began, ended: Instant::now(), took })
    }

    /// The runners of this thread, none for a contestant that runs on fewer threads.
    fn enter(&self) -> Result<Runners, BenchError> {
        if self.threads > 1 {
            pin(self.index)?;
        }
        let enter =
            |contestant: &Contestant| (self.index < contestant.threads).then(|| (contestant.enter)()).transpose();
        self.contestants.iter().map(enter).collect()
    }
}

/// Finds out how many calls fill a slice.
fn warm_up(runner: &mut Runner, slice: Duration) -> Result<u64, BenchError> {
    let mut calls = 16;
    let mut took = runner(calls)?;
    while took < slice {
        calls *= 2;
        took = runner(calls)?;
    }
    for _ in 0..WARM_UP {
        runner(calls)?;
    }
    Ok(calls)
}

/// Keeps two threads that are to run at once off the same core.
fn pin(index: usize) -> Result<(), BenchError> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).map_err(BenchError::refused("ask for the allowed cores"))?;
    let cores: Vec<usize> = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    let Some(core) = cores.get(index % cores.len().max(1)) else { return Ok(()) };
    let mut one = CpuSet::new();
    one.set(*core).and_then(|()| sched_setaffinity(this_thread, &one)).map_err(BenchError::refused("pin a thread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(origin: Instant, began: u64, ended: u64) -> Slice {
        let at = |ms| origin + Duration::from_millis(ms);
        Slice { began: at(began), ended: at(ended), took: Duration::from_millis(ended - began) }
    }

    #[test]
    fn threads_that_did_not_meet_are_told_apart() {
        let origin = Instant::now();
        assert!(ran_together(&[slice(origin, 0, 10), slice(origin, 1, 11)]));
        assert!(!ran_together(&[slice(origin, 0, 10), slice(origin, 9, 19)]));
        assert!(!ran_together(&[slice(origin, 0, 10), slice(origin, 20, 30)]));
        assert!(ran_together(&[slice(origin, 5, 6)]));
    }
}
