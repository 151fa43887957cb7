//! What the engine answers to a call that wants to be made. It fits into two registers.

use super::{probes::Lease, state::Reading};

/// What an admitted call carries: which generation admitted it, and either since when or its probe slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// The generation; the lowest bit is set for a probe.
    ticket: u64,
    /// When a call began, or the lease of a probe.
    mark: u64,
}

/// The beginning of a call that nobody times.
pub(super) const UNTIMED: u64 = u64::MAX;

impl Pass {
    #[inline]
    pub(super) fn call(reading: Reading, started: u64) -> Self {
        Self { ticket: reading.generation() << 1, mark: started }
    }

    pub(super) fn probe(generation: u64, lease: Lease) -> Self {
        Self { ticket: (generation << 1) + 1, mark: lease.0 }
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.ticket >> 1
    }

    #[inline]
    pub(super) fn lease(self) -> Option<Lease> {
        (self.ticket & 1 == 1).then_some(Lease(self.mark))
    }

    /// When the call began, or [`UNTIMED`]. Says nothing about a probe.
    #[inline]
    pub(super) fn started(self) -> u64 {
        self.mark
    }
}

/// A pass, or how many nanoseconds to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer(Pass);

/// No generation grows that large.
const REFUSED: u64 = u64::MAX;

impl Answer {
    #[inline]
    pub(super) fn refuse(after: u64) -> Self {
        Self(Pass { ticket: REFUSED, mark: after })
    }

    #[inline]
    pub(super) fn into_result(self) -> Result<Pass, u64> {
        if self.0.ticket == REFUSED { Err(self.0.mark) } else { Ok(self.0) }
    }
}

impl From<Pass> for Answer {
    #[inline]
    fn from(pass: Pass) -> Self {
        Self(pass)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit_breaker::state::StateWord;

    #[test]
    fn a_pass_tells_a_call_from_a_probe() {
        let word = StateWord::new();
        let generation = word.advance(word.load(), super::super::state::Phase::Ramping).unwrap();
        let call = Pass::call(word.load(), 77);
        assert_eq!((call.generation(), call.lease(), call.started()), (generation, None, 77));
        let probe = Pass::probe(6, Lease(9));
        assert_eq!((probe.generation(), probe.lease()), (6, Some(Lease(9))));
    }

    #[test]
    fn an_answer_is_a_pass_or_a_wait() {
        assert_eq!(Answer::refuse(9).into_result().unwrap_err(), 9);
        let probe = Answer::from(Pass::probe(6, Lease(9))).into_result().unwrap();
        assert_eq!((probe.generation(), probe.lease()), (6, Some(Lease(9))));
    }
}
