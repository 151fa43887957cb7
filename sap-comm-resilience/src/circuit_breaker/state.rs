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
    Closed,
    Ramping,
    Open,
    HalfOpen,
    Isolated,
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

/// One reading of the state word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) phase: Phase,
    pub(crate) generation: u64,
}

const PHASE_BITS: u32 = 3;

impl StateWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(Reading { phase: Phase::Closed, generation: 0 }.pack()))
    }

    #[inline]
    pub(crate) fn load(&self) -> Reading {
        Reading::unpack(self.0.load(Ordering::Acquire))
    }

    /// Begins the next generation, unless `from` is no longer current. Returns the new generation.
    pub(crate) fn advance(&self, from: Reading, phase: Phase) -> Option<u64> {
        let next = Reading { phase, generation: from.generation + 1 };
        self.swap(from, next).then_some(next.generation)
    }

    /// Ends a ramp without a new generation: the window stays.
    pub(crate) fn end_ramp(&self, from: Reading) -> bool {
        self.swap(from, Reading { phase: Phase::Closed, ..from })
    }

    fn swap(&self, from: Reading, to: Reading) -> bool {
        self.0.compare_exchange(from.pack(), to.pack(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Reading {
    fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Closed => 0,
            Phase::Ramping => 1,
            Phase::Open => 2,
            Phase::HalfOpen => 3,
            Phase::Isolated => 4,
        };
        self.generation << PHASE_BITS | phase
    }

    #[inline]
    fn unpack(word: u64) -> Self {
        let phase = match word & ((1 << PHASE_BITS) - 1) {
            0 => Phase::Closed,
            1 => Phase::Ramping,
            2 => Phase::Open,
            3 => Phase::HalfOpen,
            _ => Phase::Isolated,
        };
        Self { phase, generation: word >> PHASE_BITS }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reading_survives_packing() {
        for phase in [Phase::Closed, Phase::Ramping, Phase::Open, Phase::HalfOpen, Phase::Isolated] {
            let reading = Reading { phase, generation: (1 << 61) - 1 };
            assert_eq!(Reading::unpack(reading.pack()), reading);
        }
    }

    #[test]
    fn only_one_of_two_transitions_from_the_same_reading_happens() {
        let word = StateWord::new();
        let seen = word.load();
        assert_eq!(word.advance(seen, Phase::Open), Some(1));
        assert_eq!(word.advance(seen, Phase::Open), None);
        assert_eq!(word.load(), Reading { phase: Phase::Open, generation: 1 });
    }

    #[test]
    fn the_end_of_a_ramp_keeps_the_generation() {
        let word = StateWord::new();
        word.advance(word.load(), Phase::Ramping);
        assert!(word.end_ramp(word.load()));
        assert_eq!(word.load(), Reading { phase: Phase::Closed, generation: 1 });
    }
}
