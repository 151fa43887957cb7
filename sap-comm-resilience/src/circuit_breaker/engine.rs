use std::time::Duration;

use parking_lot::Mutex;

use super::{
    Cause, CircuitBreakerConfig, Rejected, State,
    consecutive::Consecutive,
    event::{Announcer, Transition},
    permit::Pass,
    policy::Policy,
    probes::Probes,
    ramp::{Admission, Ramp},
    state::{Phase, Reading, StateWord},
    tuning::Tuning,
    window::{Sample, Window},
};
use crate::{
    Name,
    classify::Outcome,
    clock::{Clock, nanos},
    random::Dice,
    sync::{AtomicU64, Ordering},
};

/// The breaker itself: admission and recording, without a lock while closed or open.
///
/// Transitions, probes and the configuration sit behind one lock. All state that the lock-free paths read is written
/// before the state word that makes them look at it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) word: StateWord,
    pub(super) tuning: Tuning,
    pub(super) window: Window,
    pub(super) consecutive: Consecutive,
    pub(super) open_until: AtomicU64,
    pub(super) ramp: Ramp,
    pub(super) clock: Clock,
    pub(super) name: Name,
    pub(super) policy: Policy,
    pub(super) announcer: Announcer,
    pub(super) dice: Dice,
    pub(super) cold: Mutex<Cold>,
}

/// What only transitions and probes touch.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(super) config: CircuitBreakerConfig,
    pub(super) probes: Probes,
    pub(super) reopenings: u32,
}

/// What a caller that came too early while half-open is told: probes mostly end soon.
const HALF_OPEN_RETRY: u64 = 1_000_000_000;

impl Engine {
    /// A pass, or the nanoseconds to wait.
    #[inline]
    pub(crate) fn admit(&self) -> Result<Pass, u64> {
        let reading = self.word.load();
        if reading.phase == Phase::Closed { Ok(self.pass(reading)) } else { self.admit_otherwise(reading) }
    }

    #[inline]
    fn pass(&self, reading: Reading) -> Pass {
        let started = if self.tuning.times_calls() { self.clock.now() } else { u64::MAX };
        Pass::call(reading.generation, started)
    }

    #[inline(never)]
    fn admit_otherwise(&self, mut reading: Reading) -> Result<Pass, u64> {
        let now = self.clock.now();
        loop {
            let verdict = match reading.phase {
                Phase::Closed => return Ok(self.pass(reading)),
                Phase::Ramping => match self.ramp.admit(now) {
                    Admission::Admit => return Ok(self.pass(reading)),
                    Admission::Refuse(after) => return Err(after),
                    Admission::Over => {
                        self.word.end_ramp(reading);
                        None
                    }
                },
                Phase::Open => {
                    let until = self.open_until.load(Ordering::Acquire);
                    if now < until { Some(Err(until - now)) } else { self.begin_probing(reading, now) }
                }
                Phase::HalfOpen => self.admit_probe(reading, now),
                Phase::Isolated => return Err(nanos(self.cold.lock().config.reset_timeout)),
            };
            match verdict {
                Some(verdict) => return verdict,
                // The state changed under our eyes: look again.
                None => reading = self.word.load(),
            }
        }
    }

    /// What a caller that has to wait is told.
    #[inline]
    pub(crate) fn rejected(&self, after: u64) -> Rejected {
        Rejected { name: self.name.clone(), retry_after: Duration::from_nanos(after) }
    }

    /// Open to half-open, with the caller as first probe. `None` if somebody was quicker.
    fn begin_probing(&self, reading: Reading, now: u64) -> Option<Result<Pass, u64>> {
        let mut cold = self.cold.lock();
        if self.word.load() != reading {
            return None;
        }
        cold.probes.reset();
        let lease = cold.take_probe(now);
        let transition = self.advance(reading, Phase::HalfOpen, Cause::ResetTimeout)?;
        drop(cold);
        let generation = transition.generation;
        self.announcer.announce(transition);
        Some(lease.map(|lease| Pass::probe(generation, now, lease)))
    }

    fn admit_probe(&self, reading: Reading, now: u64) -> Option<Result<Pass, u64>> {
        let mut cold = self.cold.lock();
        if self.word.load() != reading {
            return None;
        }
        let verdict = cold.take_probe(now);
        drop(cold);
        Some(match verdict {
            Ok(lease) => Ok(Pass::probe(reading.generation, now, lease)),
            Err(expires) => Err(expires.saturating_sub(now).min(HALF_OPEN_RETRY)),
        })
    }

    /// Records what became of a call. Called once a pass.
    #[inline]
    pub(crate) fn settle(&self, pass: Pass, outcome: Outcome) {
        match outcome {
            _ if pass.lease.is_some() => self.settle_probe(pass, outcome),
            Outcome::Success => self.count(pass.generation, pass.started, false),
            Outcome::Failure => self.count(pass.generation, pass.started, true),
            Outcome::Ignored | Outcome::Throttled(_) | Outcome::Rejected => {}
        }
    }

    fn count(&self, generation: u64, started: u64, failed: bool) {
        if self.word.load().generation != generation {
            return;
        }
        let now = self.clock.now();
        let slow = started != u64::MAX && self.tuning.is_slow(now.saturating_sub(started));
        let sample = Sample { failed, slow };
        self.window.record(generation, now, sample);
        if !failed {
            self.consecutive.succeeded(generation);
            self.policy.succeeded();
        }
        if failed || slow {
            self.judge(generation, now, sample);
        }
    }

    #[cold]
    fn judge(&self, generation: u64, now: u64, sample: Sample) {
        let (in_a_row, dead_for) = match sample.failed {
            true => (self.consecutive.failed(generation), self.policy.failed()),
            false => (0, None),
        };
        let totals = self.window.totals(generation, now);
        if let Some(reason) = self.tuning.verdict(sample, totals, in_a_row) {
            self.trip(generation, Cause::Tripped(reason), None);
        } else if dead_for.is_some() {
            self.trip(generation, Cause::Tripped(super::TripReason::Policy), dead_for);
        }
    }

    /// Counts transitions from one generation to the next; everybody else's reading is stale from then on.
    pub(super) fn advance(&self, from: Reading, to: Phase, cause: Cause) -> Option<Transition> {
        let generation = self.word.advance(from, to)?;
        let (from, to) = (from.phase.public(), to.public());
        Some(Transition { name: self.name.clone(), from, to, cause, generation })
    }

    pub(super) fn state(&self) -> State {
        self.word.load().phase.public()
    }
}

impl Cold {
    fn take_probe(&mut self, now: u64) -> Result<super::probes::Lease, u64> {
        let lease = nanos(self.config.probe_lease);
        self.probes.take(now, self.config.probes, lease)
    }
}
