use serde::Serialize;

use crate::sync::{AtomicU64, Ordering};

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Calls go through and are counted.
    Closed,
    /// Calls are rejected until the reset timeout is over; the next one after it is a probe.
    Open,
    /// A few probes decide.
    HalfOpen,
    /// Calls are rejected until somebody closes the breaker by hand.
    Isolated,
}

/// What the state word tells apart; ramping is a way of being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Closed = 0,
    Ramping = 1,
    Open = 2,
    HalfOpen = 3,
    Isolated = 4,
}

impl Phase {
    pub(crate) fn public(self) -> State {
        match self {
            Self::Closed | Self::Ramping => State::Closed,
            Self::Open => State::Open,
            Self::HalfOpen => State::HalfOpen,
            Self::Isolated => State::Isolated,
        }
    }

    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::Closed | Self::Ramping)
    }
}

/// Phase and generation in one word. Every transition but the end of a ramp begins a generation.
#[derive(Debug)]
pub(crate) struct StateWord(AtomicU64);

/// One reading of the state word: the generation, and the phase in the lowest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading(u64);

const PHASE_BITS: u32 = 3;
const PHASE: u64 = (1 << PHASE_BITS) - 1;

impl StateWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(Reading::new(Phase::Closed, 0).0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Reading {
        Reading(self.0.load(Ordering::Acquire))
    }

    /// Begins the next generation, unless `from` is no longer current. Returns the new generation.
    pub(crate) fn advance(&self, from: Reading, phase: Phase) -> Option<u64> {
        let next = Reading::new(phase, from.generation() + 1);
        self.swap(from, next).then_some(next.generation())
    }

    /// Ends a ramp without a new generation: the window stays.
    pub(crate) fn end_ramp(&self, from: Reading) -> bool {
        self.swap(from, Reading::new(Phase::Closed, from.generation()))
    }

    fn swap(&self, from: Reading, to: Reading) -> bool {
        self.0.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Reading {
    const fn new(phase: Phase, generation: u64) -> Self {
        Self(generation << PHASE_BITS | phase as u64)
    }

    #[inline]
    pub(crate) fn generation(self) -> u64 {
        self.0 >> PHASE_BITS
    }

    #[inline]
    pub(crate) fn phase(self) -> Phase {
        [Phase::Closed, Phase::Ramping, Phase::Open, Phase::HalfOpen]
            .get((self.0 & PHASE) as usize)
            .copied()
            .unwrap_or(Phase::Isolated)
    }

    /// Closed, and not ramping: what a call asks first.
    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & PHASE == Phase::Closed as u64
    }

    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 & PHASE == Phase::Open as u64
    }

    /// Open or half-open: mostly, nobody gets in.
    #[inline]
    pub(crate) fn is_shut(self) -> bool {
        self.0 & PHASE & !1 == Phase::Open as u64
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reading_survives_packing() {
        for phase in [Phase::Closed, Phase::Ramping, Phase::Open, Phase::HalfOpen, Phase::Isolated] {
            let reading = Reading::new(phase, (1 << 61) - 1);
            assert_eq!((reading.phase(), reading.generation()), (phase, (1 << 61) - 1));
            assert_eq!((reading.is_closed(), reading.is_open()), (phase == Phase::Closed, phase == Phase::Open));
            assert_eq!(reading.is_shut(), [Phase::Open, Phase::HalfOpen].contains(&phase));
        }
    }

    #[test]
    fn calls_count_while_closed_or_ramping() {
        let phases = [Phase::Closed, Phase::Ramping, Phase::Open, Phase::HalfOpen, Phase::Isolated];
        assert_eq!(phases.map(Phase::counts), [true, true, false, false, false]);
        let states = [State::Closed, State::Closed, State::Open, State::HalfOpen, State::Isolated];
        assert_eq!(phases.map(Phase::public), states);
    }

    #[test]
    fn only_one_of_two_transitions_from_the_same_reading_happens() {
        let word = StateWord::new();
        let seen = word.load();
        assert_eq!(word.advance(seen, Phase::Open), Some(1));
        assert_eq!(word.advance(seen, Phase::Open), None);
        assert_eq!(word.load(), Reading::new(Phase::Open, 1));
    }

    #[test]
    fn the_end_of_a_ramp_keeps_the_generation() {
        let word = StateWord::new();
        word.advance(word.load(), Phase::Ramping);
        let ramping = word.load();
        assert!(word.end_ramp(ramping) && !word.end_ramp(ramping));
        assert_eq!(word.load(), Reading::new(Phase::Closed, 1));
    }
}
