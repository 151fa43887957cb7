use parking_lot::Mutex;

use super::{
    Cause, CircuitBreakerConfig, Rejected, State,
    consecutive::Consecutive,
    event::{Announcer, Transition},
    pass::{Answer, Pass, UNTIMED},
    policy::Policy,
    probes::{Lease, Probes},
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
///
/// Aligned so that the reference count before it in its allocation has a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
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
        let now = self.clock.now();
        match self.until_reset(now) {
            wait if wait > 0 && reading.is_open() => Answer::refuse(wait),
            _ => self.admit_otherwise(reading, now),
        }
    }

    /// The rest of the reset timeout.
    #[inline]
    pub(super) fn until_reset(&self, now: u64) -> u64 {
        self.open_until.load(Ordering::Acquire).saturating_sub(now)
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
                Phase::Open => match self.until_reset(now) {
                    0 => self.begin_probing(reading, now),
                    wait => Some(Answer::refuse(wait)),
                },
                Phase::HalfOpen => self.admit_probe(reading, now),
                Phase::Isolated => Some(Answer::refuse(nanos(self.cold.lock().config.reset_timeout))),
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
        let lease = cold.take_probe(now);
        let transition = self.advance(reading, Phase::HalfOpen, Cause::ResetTimeout)?;
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
        Some(Self::probe(reading.generation(), now, cold.take_probe(now)))
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
        let now = if self.window.is_of_time() || started != UNTIMED { self.clock.now() } else { 0 };
        let slow = started != UNTIMED && self.tuning.is_slow(now.saturating_sub(started));
        let sample = Sample { failed, slow };
        self.window.record(generation, now, sample);
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

impl Cold {
    fn take_probe(&mut self, now: u64) -> Result<Lease, u64> {
        let lease = nanos(self.config.probe_lease);
        self.probes.take(now, self.config.probes, lease)
    }
}
