use std::{any::Any, fmt};

use super::{Outcome, View, layers};
use crate::contain::contained;

type Rule<V> = Box<dyn Fn(&dyn Any) -> Option<V> + Send + Sync>;

/// Rules about error types, set when a strategy is built; the first that knows an error decides.
///
/// They see through this crate's wrappers: a rule about `E` also judges `BreakerError<E>`.
pub(crate) struct ErrorRules<V = Outcome>(Vec<Rule<V>>);

impl<V> Default for ErrorRules<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> ErrorRules<V> {
    pub(crate) fn add<E: 'static>(&mut self, rule: impl Fn(&E) -> Option<V> + Send + Sync + 'static) {
        self.0.push(Box::new(move |error| error.downcast_ref::<E>().and_then(&rule)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the first rule that knows `error` says of it; `None` if a rule panicked.
    fn verdict(&self, error: &dyn Any) -> Option<Option<V>> {
        let verdict = || {
            layers(error).find_map(|view| match view {
                View::Inner(error) => self.0.iter().find_map(|rule| rule(error)),
                View::Own(_) | View::TimedOut => None,
            })
        };
        contained("an error rule", verdict)
    }
}

impl ErrorRules {
    /// What the rules make of a result that was classified as `outcome`. One that panics says nothing.
    pub(crate) fn refine<E: 'static>(&self, outcome: Outcome, error: Option<&E>) -> Outcome {
        match error {
            Some(error) if !self.is_empty() && outcome != Outcome::Rejected => {
                self.verdict(error).flatten().unwrap_or(outcome)
            }
            _ => outcome,
        }
    }
}

impl ErrorRules<()> {
    /// Whether a rule knows `error`. One that panics knows nothing.
    pub(crate) fn know<E: 'static>(&self, error: Option<&E>) -> bool {
        !self.is_empty() && error.is_some_and(|error| self.verdict(error).flatten().is_some())
    }
}

impl<V> fmt::Debug for ErrorRules<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorRules").field(&self.0.len()).finish()
    }
}
