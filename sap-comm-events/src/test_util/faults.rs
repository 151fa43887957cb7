use std::{fmt, time::Duration};

use parking_lot::Mutex;
use sap_comm_core::config::ConfigError;
use serde::{Deserialize, Serialize};

/// What goes wrong on purpose in a [`MemoryBroker`](super::MemoryBroker), as it does with RabbitMQ. Nothing by default.
///
/// Each rate is a share of publishes or deliveries, from 0 to 1. The settlements of failed events are publishes too: they are written to
/// their next queue. The same seed makes the same decisions about the first publish, the second, and so on, and likewise about
/// deliveries; which event is the first is up to the runtime, unless it has one thread. No fault loses a confirmed event.
///
/// ```
/// use sap_comm_events::test_util::Faults;
///
/// let faults = Faults::seeded(42).nack(0.01).unknown(0.01).drop_connection(0.001);
/// assert_eq!(faults.seed(), 42);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Faults {
    seed: u64,
    unavailable: f64,
    nack: f64,
    blocked: f64,
    unknown: f64,
    duplicate: f64,
    delay: (f64, Duration),
    drop_connection: f64,
}

/// How many faults there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FaultCounts {
    /// Publishes that failed as unavailable.
    pub unavailable: u64,
    /// Publishes that were nacked.
    pub nacked: u64,
    /// Publishes that the broker was too short of memory for.
    pub blocked: u64,
    /// Publishes whose outcome stayed unknown.
    pub unknown: u64,
    /// Publishes that were taken twice.
    pub duplicated: u64,
    /// Publishes that took their time.
    pub delayed: u64,
    /// Connections lost.
    pub connections: u64,
}

impl Faults {
    /// No faults yet, decided by this seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            unavailable: 0.0,
            nack: 0.0,
            blocked: 0.0,
            unknown: 0.0,
            duplicate: 0.0,
            delay: (0.0, Duration::ZERO),
            drop_connection: 0.0,
        }
    }

    /// No faults yet, decided by another seed each time, which is printed on standard error: a test that fails shows it.
    pub fn random() -> Self {
        let seed = fastrand::u64(..);
        eprintln!("Faults::seeded({seed})");
        Self::seeded(seed)
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Publishes that fail at once as [`PublishError::Unavailable`](crate::PublishError::Unavailable); the broker has not got them.
    pub fn unavailable(mut self, rate: f64) -> Self {
        self.unavailable = rate;
        self
    }

    /// Publishes that fail as [`PublishError::Nacked`](crate::PublishError::Nacked); the broker has not got them.
    pub fn nack(mut self, rate: f64) -> Self {
        self.nack = rate;
        self
    }

    /// Publishes that fail as [`PublishError::Blocked`](crate::PublishError::Blocked); the broker gets
    /// about half of them nevertheless.
    pub fn blocked(mut self, rate: f64) -> Self {
        self.blocked = rate;
        self
    }

    /// Publishes that fail as [`PublishError::Unknown`](crate::PublishError::Unknown); the broker has about half of them. They fail at
    /// once, which spares tests the wait for their deadline.
    pub fn unknown(mut self, rate: f64) -> Self {
        self.unknown = rate;
        self
    }

    /// Publishes that are taken twice, as those are that a client sends again after a lost confirm.
    pub fn duplicate(mut self, rate: f64) -> Self {
        self.duplicate = rate;
        self
    }

    /// Publishes that take up to `longest` before the broker has them.
    pub fn delay(mut self, rate: f64, longest: Duration) -> Self {
        self.delay = (rate, longest);
        self
    }

    /// Deliveries with which the connection is lost: every event in hand goes back to its place and comes again, whatever its handler
    /// does with it now.
    pub fn drop_connection(mut self, rate: f64) -> Self {
        self.drop_connection = rate;
        self
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let rates = [
            ("unavailable", self.unavailable),
            ("nack", self.nack),
            ("blocked", self.blocked),
            ("unknown", self.unknown),
            ("duplicate", self.duplicate),
            ("delay", self.delay.0),
            ("drop_connection", self.drop_connection),
        ];
        match rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            Some((name, rate)) => Err(ConfigError::new(name, format_args!("must be between 0 and 1, not {rate}"))),
            None => Ok(()),
        }
    }
}

/// Decides about publishes and deliveries, in their order.
pub(crate) struct Dice {
    faults: Faults,
    state: Mutex<State>,
}

struct State {
    publishes: fastrand::Rng,
    deliveries: fastrand::Rng,
    counts: FaultCounts,
}

/// What becomes of a publish.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Fate {
    pub(crate) delay: Option<Duration>,
    pub(crate) failure: Option<Failure>,
    pub(crate) twice: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Failure {
    Unavailable,
    Nacked,
    Blocked { taken: bool },
    Unknown { taken: bool },
}

impl Dice {
    pub(crate) fn new(faults: Faults) -> Self {
        let seeded = |salt| fastrand::Rng::with_seed(faults.seed ^ salt);
        let state = State { publishes: seeded(0), deliveries: seeded(SALT), counts: FaultCounts::default() };
        Self { faults, state: Mutex::new(state) }
    }

    /// What becomes of the next publish. Every publish takes the same number of throws, so that rates do not shift others.
    pub(crate) fn publish(&self) -> Fate {
        let State { publishes, counts, .. } = &mut *self.state.lock();
        let mut throw = |rate: f64| publishes.f64() < rate;
        let unavailable = throw(self.faults.unavailable);
        let nacked = throw(self.faults.nack);
        let blocked = throw(self.faults.blocked);
        let unknown = throw(self.faults.unknown);
        let taken = throw(0.5);
        let twice = throw(self.faults.duplicate);
        let delayed = throw(self.faults.delay.0);
        let share = publishes.f64();
        let (failure, count) = if unavailable {
            (Some(Failure::Unavailable), &mut counts.unavailable)
        } else if nacked {
            (Some(Failure::Nacked), &mut counts.nacked)
        } else if blocked {
            (Some(Failure::Blocked { taken }), &mut counts.blocked)
        } else if unknown {
            (Some(Failure::Unknown { taken }), &mut counts.unknown)
        } else {
            (None, &mut counts.duplicated)
        };
        *count += u64::from(failure.is_some() || twice);
        counts.delayed += u64::from(delayed);
        Fate { delay: delayed.then(|| self.faults.delay.1.mul_f64(share)), failure, twice: twice && failure.is_none() }
    }

    /// Whether the connection is lost with the next delivery.
    pub(crate) fn delivery(&self) -> bool {
        let State { deliveries, counts, .. } = &mut *self.state.lock();
        let lost = deliveries.f64() < self.faults.drop_connection;
        counts.connections += u64::from(lost);
        lost
    }

    pub(crate) fn counts(&self) -> FaultCounts {
        self.state.lock().counts
    }
}

/// Keeps deliveries from repeating the throws of publishes.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dice").field("faults", &self.faults).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(faults: &Faults) -> Vec<Fate> {
        let dice = Dice::new(faults.clone());
        (0..1_000).map(|_| dice.publish()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_faults() {
        let faults = Faults::seeded(7).nack(0.1).unknown(0.1).duplicate(0.1).delay(0.1, Duration::from_secs(1));
        assert_eq!(fates(&faults), fates(&faults));
        assert_ne!(fates(&faults), fates(&Faults { seed: 8, ..faults.clone() }));
        let nacked = |fates: &[Fate]| -> Vec<usize> {
            (0..1_000).filter(|at| fates[*at].failure == Some(Failure::Nacked)).collect()
        };
        assert_eq!(nacked(&fates(&faults)), nacked(&fates(&faults.clone().unknown(0.0))), "rates shift no others");
    }

    #[test]
    fn rates_are_shares() {
        for (rate, valid) in [(0.0, true), (1.0, true), (1.1, false), (-0.1, false), (f64::NAN, false)] {
            assert_eq!(Faults::seeded(1).unknown(rate).validate().is_ok(), valid, "{rate}");
        }
        let dice = Dice::new(Faults::seeded(1).nack(0.5).drop_connection(0.5));
        (0..1_000).for_each(|_| {
            dice.publish();
            dice.delivery();
        });
        let counts = dice.counts();
        assert!((400..600).contains(&counts.nacked) && (400..600).contains(&counts.connections), "{counts:?}");
        assert_eq!((counts.unavailable, counts.duplicated, counts.delayed), (0, 0, 0));
    }
}
