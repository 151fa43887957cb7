use std::{fmt, ops::ControlFlow};

use serde::Serialize;

use super::{DeadLetter, DeadLetterError, Filter};

/// One pass over a queue of dead letters: which of them, how many, how fast, and who watches.
///
/// A number is a round with that limit, a [`Filter`] one with that filter.
///
/// ```
/// use std::ops::ControlFlow;
/// use sap_comm_events::{Filter, Round};
///
/// let round = Round::new()
///     .filter(Filter::new().event_type("user.created"))
///     .limit(1_000)
///     .rate(50.0)
///     .on_progress(|progress| {
///         println!("{} of {}", progress.done, progress.total);
///         ControlFlow::Continue(())
///     });
/// ```
#[derive(Default)]
#[must_use]
pub struct Round {
    pub(super) filter: Filter,
    pub(super) limit: Option<usize>,
    pub(super) rate: Option<f64>,
    pub(super) dry_run: bool,
    pub(super) on_progress: Option<OnProgress>,
    pub(super) on_letter: Option<OnLetter>,
}

type OnProgress = Box<dyn FnMut(&Progress) -> ControlFlow<()> + Send>;
type OnLetter = Box<dyn FnMut(&DeadLetter) + Send>;

/// How far a round came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// How many dead letters were there when the round began; it looks at no more than these.
    pub total: u64,
    /// How many were looked at.
    pub seen: u64,
    /// How many of those were meant.
    pub matched: u64,
    /// How many were sent back or removed; none in a dry run.
    pub done: u64,
}

impl Round {
    /// Every dead letter there is, as fast as the broker takes them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that fit; the others stay where they are.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// No more than so many.
    pub fn limit(mut self, letters: usize) -> Self {
        self.limit = Some(letters);
        self
    }

    /// No more than so many a second, evenly spaced; 0.1 is one in ten seconds.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// Looks and counts, and changes nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Is told of every step, and twice a second while there is none; may end the round with [`ControlFlow::Break`]: what is on its
    /// way back is still confirmed and removed, the rest stays.
    pub fn on_progress(mut self, watch: impl FnMut(&Progress) -> ControlFlow<()> + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(watch));
        self
    }

    /// Is shown every dead letter that is meant, oldest first, before anything becomes of it.
    pub fn on_letter(mut self, look: impl FnMut(&DeadLetter) + Send + 'static) -> Self {
        self.on_letter = Some(Box::new(look));
        self
    }

    pub(super) fn check(&self) -> Result<(), DeadLetterError> {
        match self.rate {
            Some(rate) if !(rate.is_finite() && rate > 0.0) => {
                Err(DeadLetterError::option("rate", format_args!("{rate} is not a positive number of events a second")))
            }
            _ => Ok(()),
        }
    }
}

impl From<usize> for Round {
    fn from(limit: usize) -> Self {
        Self::new().limit(limit)
    }
}

impl From<Filter> for Round {
    fn from(filter: Filter) -> Self {
        Self::new().filter(filter)
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Round")
            .field("filter", &self.filter)
            .field("limit", &self.limit)
            .field("rate", &self.rate)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}
