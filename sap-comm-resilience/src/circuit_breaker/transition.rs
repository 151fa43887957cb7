//! The engine's slow half: everything that changes the state, under its lock.

use std::time::Duration;

use super::{
    Cause, CircuitBreakerConfig, Snapshot,
    engine::{Cold, Engine},
    event::Transition,
    pass::Pass,
    state::{Phase, Reading},
    window::Precision,
};
use crate::{
    classify::Outcome,
    clock::nanos,
    config::{ConfigError, check},
    sync::Ordering,
};

impl Engine {
    /// Opens, unless the generation that saw the reason is over.
    pub(super) fn trip(&self, generation: u64, cause: Cause, dead_for: Option<Duration>) {
        let transition = {
            let cold = self.cold.lock();
            self.while_current(generation, |reading| {
                reading.phase().counts().then(|| self.open(&cold, reading, cause, dead_for)).flatten()
            })
        };
        self.announce(transition.as_ref());
    }

    #[cold]
    pub(super) fn settle_probe(&self, pass: Pass, outcome: Outcome) {
        let Some(lease) = pass.lease() else { return };
        let now = self.clock.now();
        let mut cold = self.cold.lock();
        let reading = self.word.load();
        if reading.generation() != pass.generation() {
            return;
        }
        let Some(started) = cold.probes.give_back(lease) else { return };
        self.shut_until.store(0, Ordering::Release);
        let transition = match outcome {
            Outcome::Success if !self.tuning.is_slow(now.saturating_sub(started)) => {
                let enough = cold.probes.succeeded() >= cold.config.probe_successes;
                if enough { self.recover(&mut cold, reading, now) } else { None }
            }
            Outcome::Success | Outcome::Failure => {
                cold.reopenings = cold.reopenings.saturating_add(1);
                self.open(&cold, reading, Cause::ProbeFailed, None)
            }
            Outcome::Ignored | Outcome::Throttled(_) | Outcome::Rejected => None,
        };
        let revived = transition.as_ref().is_some_and(|transition| transition.cause == Cause::Recovered);
        drop(cold);
        if revived {
            self.policy.revived();
        }
        self.announce(transition.as_ref());
    }

    fn open(&self, cold: &Cold, from: Reading, cause: Cause, dead_for: Option<Duration>) -> Option<Transition> {
        let rest = match dead_for {
            Some(dead_for) => nanos(dead_for),
            None => {
                let longest = cold.config.reset_after(cold.reopenings);
                shortened(nanos(longest), cold.config.reset_jitter * self.dice.unit())
            }
        };
        let until = self.clock.now().saturating_add(rest);
        self.shut_until.store(until, Ordering::Release);
        self.advance(from, Phase::Open, cause)
    }

    fn recover(&self, cold: &mut Cold, from: Reading, now: u64) -> Option<Transition> {
        cold.reopenings = 0;
        self.window.clear();
        self.ramp.begin(now, nanos(cold.config.ramp));
        let to = if cold.config.ramp.is_zero() { Phase::Closed } else { Phase::Ramping };
        self.advance(from, to, Cause::Recovered)
    }

    /// Isolates, or closes, by hand.
    pub(super) fn force(&self, to: Phase) {
        let transition = {
            let mut cold = self.cold.lock();
            let reading = self.word.load();
            if reading.phase() == Phase::Isolated && to == Phase::Isolated {
                return;
            }
            cold.reopenings = 0;
            self.window.clear();
            let generation = reading.generation();
            if reading.phase().public() == to.public() {
                // Only a new beginning, no transition.
                self.while_current(generation, |reading| self.word.advance(reading, to));
                None
            } else {
                self.while_current(generation, |reading| self.advance(reading, to, Cause::Manual))
            }
        };
        self.policy.revived();
        self.announce(transition.as_ref());
    }

    pub(super) fn reload(&self, config: CircuitBreakerConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let mut cold = self.cold.lock();
        let fixed = "cannot be changed by a reload";
        let (old, new) = (cold.config.sampling_buckets, config.sampling_buckets);
        check(old == new, "sampling_buckets", new, fixed)?;
        let calls = config.sampling_calls;
        check(cold.config.sampling_calls == calls, "sampling_calls", format_args!("{calls:?}"), fixed)?;
        if cold.config.sampling_window != config.sampling_window {
            self.resize(nanos(config.sampling_window));
        }
        self.tuning.load(&config);
        if self.word.load().phase() == Phase::HalfOpen {
            // There may be more slots now.
            self.shut_until.store(0, Ordering::Release);
        }
        cold.config = config;
        Ok(())
    }

    /// Carries the window's content over to another length. Called with the lock held.
    fn resize(&self, window: u64) {
        let reading = self.word.load();
        if self.window.precision() == Precision::None || !reading.phase().counts() {
            // There is nothing to carry over, and probes in flight keep their say.
            return self.window.stretch(window);
        }
        let generation = reading.generation();
        let totals = self.window.totals(generation, self.clock.now());
        let in_a_row = self.consecutive.get(generation);
        self.window.stretch(window);
        self.window.clear();
        self.window.seed(generation + 1, self.sample_time(), totals);
        self.consecutive.seed(generation + 1, in_a_row);
        // No transition that anybody hears of: the phase stays, only older results are stale from here.
        self.while_current(generation, |reading| self.word.advance(reading, reading.phase()));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let cold = self.cold.lock();
        let reading = self.word.load();
        let totals = self.window.totals(reading.generation(), now);
        let rate = if totals.calls() == 0 { 0.0 } else { totals.failed as f64 / totals.calls() as f64 };
        Snapshot {
            name: self.name.clone(),
            state: reading.phase().public(),
            ramping: reading.phase() == Phase::Ramping,
            generation: reading.generation(),
            succeeded: totals.succeeded,
            failed: totals.failed,
            slow: totals.slow,
            failure_rate: rate,
            consecutive_failures: self.consecutive.get(reading.generation()),
            probes: if reading.phase() == Phase::HalfOpen { cold.probes.in_flight() } else { 0 },
            retry_after: (reading.phase() == Phase::Open).then_some(Duration::from_nanos(self.shut_for(now))),
        }
    }

    /// Tries `change` until it succeeds or the generation is over. Only the end of a ramp can come between, once.
    fn while_current<R>(&self, generation: u64, change: impl Fn(Reading) -> Option<R>) -> Option<R> {
        for _ in 0..2 {
            let reading = self.word.load();
            if reading.generation() != generation {
                return None;
            }
            let changed = change(reading);
            if changed.is_some() {
                return changed;
            }
        }
        None
    }

    fn announce(&self, transition: Option<&Transition>) {
        if let Some(transition) = transition {
            self.announcer.announce(transition);
        }
    }
}

/// A wait in nanoseconds less a share of it.
fn shortened(wait: u64, share: f64) -> u64 {
    wait.saturating_sub((wait as f64 * share) as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_shortened_by_all_of_it() {
        for wait in [0, 3, 30_000_000_000_000_003, u64::MAX - 1, u64::MAX] {
            assert_eq!((shortened(wait, 0.0), shortened(wait, 1.0)), (wait, 0), "{wait}");
        }
        assert_eq!(shortened(1_000, 0.25), 750);
    }
}
