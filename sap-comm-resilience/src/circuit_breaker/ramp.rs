use crate::sync::{AtomicU64, Ordering};

/// Lets traffic in by steps after a recovery: each step admits twice as many calls as the one before.
///
/// The steps bound calls, not their share, so a client with little traffic never notices.
#[derive(Debug)]
pub(crate) struct Ramp {
    started: AtomicU64,
    length: AtomicU64,
    /// The ramp's number, its current step and how many calls that has admitted.
    admitted: AtomicU64,
}

const STEPS: u64 = 10;
const FIRST_STEP: u64 = 10;
const COUNT_BITS: u32 = 48;
const STEP_BITS: u32 = 4;

/// What a ramp says to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go ahead.
    Admit,
    /// Not in this step; the next one begins after so many nanoseconds.
    Refuse(u64),
    /// The ramp is over.
    Over,
}

impl Ramp {
    pub(crate) fn new() -> Self {
        Self { started: AtomicU64::new(0), length: AtomicU64::new(0), admitted: AtomicU64::new(0) }
    }

    pub(crate) fn begin(&self, now: u64, length: u64) {
        self.started.store(now, Ordering::Relaxed);
        self.length.store(length, Ordering::Relaxed);
        // Another number, so that a caller of the ramp before cannot take it for its own.
        let number = (self.admitted.load(Ordering::Relaxed) >> (COUNT_BITS + STEP_BITS)) + 1;
        self.admitted.store(number << (COUNT_BITS + STEP_BITS), Ordering::Release);
    }

    pub(crate) fn admit(&self, now: u64) -> Admission {
        let mut current = self.admitted.load(Ordering::Acquire);
        loop {
            let next = match self.next(current, now) {
                Ok(next) => next,
                Err(refused) => return refused,
            };
            match self.admitted.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Admission::Admit,
                Err(actual) => current = actual,
            }
        }
    }

    /// The word after one more call. A caller whose clock reads the step before is admitted by the current one.
    fn next(&self, current: u64, now: u64) -> Result<u64, Admission> {
        let elapsed = now.saturating_sub(self.started.load(Ordering::Relaxed));
        let length = self.length.load(Ordering::Relaxed);
        if elapsed >= length {
            return Err(Admission::Over);
        }
        let step_length = (length / STEPS).max(1);
        let reached = current >> COUNT_BITS & ((1 << STEP_BITS) - 1);
        let step = (elapsed / step_length).clamp(reached, STEPS - 1);
        let in_step = if step == reached { current & ((1 << COUNT_BITS) - 1) } else { 0 };
        if in_step >= FIRST_STEP << step {
            // What the division leaves over belongs to the last step.
            let end = if step == STEPS - 1 { length } else { (step + 1) * step_length };
            return Err(Admission::Refuse(end - elapsed));
        }
        let number = current >> (COUNT_BITS + STEP_BITS);
        Ok((((number << STEP_BITS) + step) << COUNT_BITS) + in_step + 1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn admitted(ramp: &Ramp, now: u64) -> usize {
        (0..100_000).take_while(|_| ramp.admit(now) == Admission::Admit).count()
    }

    #[test]
    fn every_step_admits_twice_as_many() {
        let ramp = Ramp::new();
        ramp.begin(0, 1_000);
        assert_eq!(admitted(&ramp, 0), 10);
        assert_eq!(ramp.admit(40), Admission::Refuse(60));
        assert_eq!(admitted(&ramp, 100), 20);
        assert_eq!(admitted(&ramp, 950), 5_120);
        assert_eq!(ramp.admit(1_000), Admission::Over);
    }

    #[test]
    fn the_last_step_lasts_until_the_end() {
        let ramp = Ramp::new();
        ramp.begin(0, 1_009);
        assert_eq!(admitted(&ramp, 1_005), 5_120);
        assert_eq!(ramp.admit(1_005), Admission::Refuse(4));
        assert_eq!(ramp.admit(1_008), Admission::Refuse(1));
        assert_eq!(ramp.admit(1_009), Admission::Over);
    }

    #[test]
    fn a_late_caller_does_not_begin_the_step_anew() {
        let ramp = Ramp::new();
        for begin in [0, 5_000] {
            ramp.begin(begin, 1_000);
            assert_eq!((admitted(&ramp, begin + 99), admitted(&ramp, begin + 100)), (10, 20));
            assert_eq!(ramp.admit(begin + 99), Admission::Refuse(101));
            assert_eq!(ramp.admit(begin + 100), Admission::Refuse(100));
        }
    }

    #[test]
    fn a_short_ramp_has_short_steps() {
        let ramp = Ramp::new();
        ramp.begin(0, 3);
        assert_eq!((admitted(&ramp, 0), admitted(&ramp, 1)), (10, 20));
        assert_eq!(ramp.admit(1), Admission::Refuse(1));
        assert_eq!(ramp.admit(3), Admission::Over);
    }

    #[test]
    fn a_ramp_of_no_length_is_over_at_once() {
        let ramp = Ramp::new();
        ramp.begin(7, 0);
        assert_eq!(ramp.admit(7), Admission::Over);
    }
}
