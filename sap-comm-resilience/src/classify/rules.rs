use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Outcome, View, layers};

type Rule = Box<dyn Fn(&dyn Any) -> Option<Outcome> + Send + Sync>;

/// Rules about error types, set when a strategy is built; the first that knows an error decides.
///
/// They see through this crate's wrappers: a rule about `E` also judges `BreakerError<E>`.
#[derive(Default)]
pub(crate) struct ErrorRules(Vec<Rule>);

impl ErrorRules {
    pub(crate) fn add<E: 'static>(&mut self, rule: impl Fn(&E) -> Option<Outcome> + Send + Sync + 'static) {
        self.0.push(Box::new(move |error| error.downcast_ref::<E>().and_then(&rule)));
    }

    /// What the rules make of a result that was classified as `outcome`.
    pub(crate) fn refine<E: 'static>(&self, outcome: Outcome, error: Option<&E>) -> Outcome {
        match error {
            Some(error) if !self.0.is_empty() && outcome != Outcome::Rejected => self.judge(error).unwrap_or(outcome),
            _ => outcome,
        }
    }

    fn judge(&self, error: &dyn Any) -> Option<Outcome> {
        let verdict = catch_unwind(AssertUnwindSafe(|| {
            layers(error).find_map(|view| match view {
                View::Inner(error) => self.0.iter().find_map(|rule| rule(error)),
                View::Own(_) | View::TimedOut => None,
            })
        }));
        verdict.unwrap_or_else(|_| {
            tracing::error!("an error rule panicked; the result counts as a failure");
            Some(Outcome::Failure)
        })
    }
}

impl fmt::Debug for ErrorRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorRules").field(&self.0.len()).finish()
    }
}
