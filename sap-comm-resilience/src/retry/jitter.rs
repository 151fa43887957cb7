use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::random::Dice;

/// How a delay is spread at random, so that callers that failed together do not return together.
///
/// A delay that a server asks for is only lengthened: by up to all of it, half of it, or the share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jitter {
    /// Not at all.
    None,
    /// Between zero and the delay.
    Full,
    /// Between half the delay and the delay.
    Equal,
    /// By this share of the delay to either side, but never below `min_delay` nor above `max_delay`.
    Spread(f64),
}

impl Default for Jitter {
    fn default() -> Self {
        Self::Spread(0.25)
    }
}

impl Jitter {
    pub(super) fn apply(self, delay: Duration, min: Duration, max: Duration, dice: &Dice) -> Duration {
        match self {
            Self::None => delay,
            Self::Full => dice.between(Duration::ZERO, delay),
            Self::Equal => dice.between(delay / 2, delay),
            Self::Spread(share) => {
                let by = delay.mul_f64(share.clamp(0.0, 1.0));
                dice.between(delay.saturating_sub(by).max(min), (delay.saturating_add(by)).min(max))
            }
        }
    }

    /// Later than a server asks for, never sooner: all whom it turned away were told the same.
    pub(super) fn after(self, asked: Duration, dice: &Dice) -> Duration {
        let share = match self {
            Self::None => return asked,
            Self::Full => 1.0,
            Self::Equal => 0.5,
            Self::Spread(share) => share.clamp(0.0, 1.0),
        };
        dice.between(asked, asked.saturating_add(asked.mul_f64(share)))
    }
}
