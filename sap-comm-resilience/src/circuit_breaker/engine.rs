use parking_lot::Mutex;

use super::{
    Cause, CircuitBreakerConfig, Rejected, State, TripReason,
    consecutive::Consecutive,
    event::{Announcer, Transition},
    pass::{Answer, Pass, UNTIMED},
    policy::Policy,
    probes::{Lease, Probes},
    ramp::{Admission, Ramp},
    state::{Phase, Reading, StateWord},
    tuning::Tuning,
    window::{Precision, Sample, Window},
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
/// before the state word that makes them look at it, but for `shut_until` while half-open: an old value of that sends
/// callers to the lock, or away as if they had come earlier.
///
/// Aligned so that the reference count before it in its allocation has a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Engine {
    pub(super) word: StateWord,
    pub(super) tuning: Tuning,
    pub(super) window: Window,
    pub(super) consecutive: Consecutive,
    /// Before this nobody gets in: the end of the reset timeout while open, that of the first lease while half-open and
    /// every slot is taken.
    pub(super) shut_until: AtomicU64,
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
    #[inline(always)]
    pub(crate) fn admit(&self) -> Result<Pass, u64> {
        let reading = self.word.load();
        if reading.is_closed() && !self.tuning.times_calls() {
            return Ok(Pass::call(reading, UNTIMED));
        }
        self.admit_at(reading).into_result()
    }

    /// A leaf of its own: a dependency that is down costs its callers one reading of the clock and little more.
    #[inline(never)]
    fn admit_at(&self, reading: Reading) -> Answer {
        if reading.is_shut() {
            let wait = self.shut_for(self.clock.recent());
            if wait > Clock::LAG && self.word.load() == reading {
                return Answer::refuse(if reading.is_open() { wait } else { wait.min(HALF_OPEN_RETRY) });
            }
        }
        self.admit_otherwise(reading, self.clock.now())
    }

    /// How long nobody gets in yet.
    #[inline]
    pub(super) fn shut_for(&self, now: u64) -> u64 {
        self.shut_until.load(Ordering::Acquire).saturating_sub(now)
    }

    fn pass(&self, reading: Reading, now: u64) -> Pass {
        Pass::call(reading, if self.tuning.times_calls() { now } else { UNTIMED })
    }

    #[inline(never)]
    fn admit_otherwise(&self, mut reading: Reading, now: u64) -> Answer {
        loop {
            let answer = match reading.phase() {
                Phase::Closed => Some(self.pass(reading, now).into()),
                Phase::Ramping => match self.ramp.admit(now) {
                    Admission::Admit => Some(self.pass(reading, now).into()),
                    Admission::Refuse(after) => Some(Answer::refuse(after)),
                    Admission::Over => {
                        self.word.end_ramp(reading);
                        None
                    }
                },
                Phase::Open => match self.shut_for(now) {
                    0 => self.begin_probing(reading, now),
                    wait => (self.word.load() == reading).then(|| Answer::refuse(wait)),
                },
                Phase::HalfOpen => self.admit_probe(reading, now),
                Phase::Isolated => Some(Answer::refuse(self.tuning.reset_timeout())),
            };
            match answer {
                Some(answer) => return answer,
                // The state changed under our eyes: look again.
                None => reading = self.word.load(),
            }
        }
    }

    /// What a caller that has to wait is told.
    #[inline]
    pub(crate) fn rejected(&self, after: u64) -> Rejected {
        Rejected { name: self.name.clone(), after }
    }

    /// Open to half-open, with the caller as first probe. `None` if somebody was quicker.
    fn begin_probing(&self, reading: Reading, now: u64) -> Option<Answer> {
        let mut cold = self.cold.lock();
        if self.word.load() != reading {
            return None;
        }
        cold.probes.reset();
        let transition = self.advance(reading, Phase::HalfOpen, Cause::ResetTimeout)?;
        let lease = self.lend(&mut cold, now);
        drop(cold);
        let generation = transition.generation;
        self.announcer.announce(&transition);
        Some(Self::probe(generation, now, lease))
    }

    fn admit_probe(&self, reading: Reading, now: u64) -> Option<Answer> {
        let mut cold = self.cold.lock();
        if self.word.load() != reading {
            return None;
        }
        let lease = self.lend(&mut cold, now);
        Some(Self::probe(reading.generation(), now, lease))
    }

    /// A probe slot, or when the first one in use expires.
    fn lend(&self, cold: &mut Cold, now: u64) -> Result<Lease, u64> {
        let CircuitBreakerConfig { probes, probe_lease, .. } = cold.config;
        let lease = cold.probes.take(now, probes, nanos(probe_lease));
        self.shut_until.store(cold.probes.taken_until(probes).unwrap_or(0), Ordering::Release);
        lease
    }

    fn probe(generation: u64, now: u64, lease: Result<Lease, u64>) -> Answer {
        match lease {
            Ok(lease) => Pass::probe(generation, lease).into(),
            Err(expires) => Answer::refuse(expires.saturating_sub(now).min(HALF_OPEN_RETRY)),
        }
    }

    /// Records what became of a call. Called once a pass.
    #[inline]
    pub(crate) fn settle(&self, pass: Pass, outcome: Outcome) {
        match outcome {
            _ if pass.lease().is_some() => self.settle_probe(pass, outcome),
            Outcome::Success => self.count(pass.generation(), pass.started(), false),
            Outcome::Failure => self.count(pass.generation(), pass.started(), true),
            Outcome::Ignored | Outcome::Throttled(_) | Outcome::Rejected => {}
        }
    }

    fn count(&self, generation: u64, started: u64, failed: bool) {
        if self.word.load().generation() != generation {
            return;
        }
        if !failed {
            self.consecutive.succeeded(generation);
            self.policy.succeeded();
        }
        let now = if started == UNTIMED { self.sample_time() } else { self.clock.now() };
        let slow = started != UNTIMED && self.tuning.is_slow(now.saturating_sub(started));
        let sample = Sample { failed, slow };
        self.window.record(generation, now, sample);
        if failed || slow {
            self.judge(generation, now, sample);
        }
    }

    /// Now, as well as the window needs to know it.
    #[inline]
    pub(super) fn sample_time(&self) -> u64 {
        match self.window.precision() {
            Precision::None => 0,
            Precision::Coarse => self.clock.recent(),
            Precision::Fine => self.clock.now(),
        }
    }

    #[cold]
    fn judge(&self, generation: u64, now: u64, sample: Sample) {
        let (in_a_row, dead_for) = match sample.failed {
            true => (self.consecutive.failed(generation), self.policy.failed()),
            false => (0, None),
        };
        let totals = self.window.totals(generation, now);
        let reason = self.tuning.verdict(sample, totals, in_a_row);
        if let Some(reason) = reason.or(dead_for.map(|_| TripReason::Policy)) {
            self.trip(generation, Cause::Tripped(reason), dead_for);
        }
    }

    /// Goes from one generation to the next; everybody else's reading is stale from then on. Called with the lock held.
    pub(super) fn advance(&self, from: Reading, to: Phase, cause: Cause) -> Option<Transition> {
        let generation = self.word.advance(from, to)?;
        let (from, to) = (from.phase().public(), to.public());
        let transition = Transition { name: self.name.clone(), from, to, cause, generation };
        self.announcer.record(&transition);
        Some(transition)
    }

    pub(super) fn state(&self) -> State {
        self.word.load().phase().public()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::CircuitBreaker;

    /// On the clocks that programs have, and tests have not.
    fn unpaused() -> CircuitBreaker {
        let builder = CircuitBreaker::builder("test").failure_rate(0.5).minimum_throughput(4).reset_jitter(0.0);
        let mut breaker = builder.ramp(Duration::ZERO).build().unwrap();
        Arc::get_mut(&mut breaker.engine).unwrap().clock = Clock::unpaused();
        breaker
    }

    #[test]
    #[cfg_attr(miri, ignore = "its clock goes by steps, not by time")]
    fn a_clock_that_lags_opens_and_closes_a_breaker_all_the_same() {
        let breaker = unpaused();
        for failed in [false, false, true] {
            let permit = breaker.try_acquire().unwrap();
            if failed { permit.failure() } else { permit.success() }
        }
        assert_eq!(breaker.state(), State::Closed);
        breaker.try_acquire().unwrap().failure();
        assert_eq!((breaker.state(), breaker.snapshot().retry_after.is_some()), (State::Open, true));
        let reset = breaker.config().reset_timeout;
        let retry_after = breaker.try_acquire().unwrap_err().retry_after();
        assert!(retry_after <= reset + Duration::from_nanos(Clock::LAG), "{retry_after:?}");
        assert!(retry_after > reset / 2, "{retry_after:?}");
        // The rest of the reset timeout is over.
        breaker.engine.shut_until.store(breaker.engine.clock.now(), Ordering::Release);
        let probe = breaker.try_acquire().unwrap();
        assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), Duration::from_nanos(HALF_OPEN_RETRY));
        probe.success();
        assert_eq!(breaker.state(), State::Closed);
    }
}
