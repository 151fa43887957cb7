use std::{fmt, sync::Arc, time::Duration};

use sap_comm_core::Timestamp;

use super::DeadLetter;
use crate::memory::matches;

/// Which dead letters are meant: all that fit every condition given.
///
/// A condition that is given several times fits if any of its values does. A dead letter that does not say when it
/// became one fits no age.
///
/// ```
/// use std::time::Duration;
/// use sap_comm_events::Filter;
///
/// let filter = Filter::new()
///     .event_type("user.*")
///     .code("SERVICE_UNAVAILABLE")
///     .older_than(Duration::from_secs(3_600))
///     .matching(|letter| letter.attempts < 10);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Filter {
    types: Vec<String>,
    sources: Vec<String>,
    codes: Vec<String>,
    ids: Vec<String>,
    older_than: Option<Duration>,
    younger_than: Option<Duration>,
    predicates: Vec<Predicate>,
}

type Predicate = Arc<dyn Fn(&DeadLetter) -> bool + Send + Sync>;

impl Filter {
    /// Every dead letter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this event type, or of any that a topic pattern such as `user.*` or `user.#` fits.
    pub fn event_type(mut self, pattern: impl Into<String>) -> Self {
        self.types.push(pattern.into());
        self
    }

    /// Published by this service.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Failed with this code, such as `USER_NOT_FOUND`.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.codes.push(code.into());
        self
    }

    /// With this event id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.ids.push(id.into());
        self
    }

    /// Dead for at least this long.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Dead for less than this.
    pub fn younger_than(mut self, age: Duration) -> Self {
        self.younger_than = Some(age);
        self
    }

    /// Whatever else `predicate` asks for. It may be asked about the same dead letter more than once.
    pub fn matching(mut self, predicate: impl Fn(&DeadLetter) -> bool + Send + Sync + 'static) -> Self {
        self.predicates.push(Arc::new(predicate));
        self
    }

    /// Whether the dead letter is meant.
    #[must_use]
    pub fn fits(&self, letter: &DeadLetter) -> bool {
        let any = |wanted: &[String], own: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == own);
        (self.types.is_empty() || self.types.iter().any(|pattern| matches(pattern, &letter.event_type)))
            && any(&self.sources, &letter.source)
            && any(&self.codes, &letter.code)
            && any(&self.ids, &letter.id)
            && self.fits_age(letter)
            && self.predicates.iter().all(|predicate| predicate(letter))
    }

    fn fits_age(&self, letter: &DeadLetter) -> bool {
        if self.older_than.is_none() && self.younger_than.is_none() {
            return true;
        }
        letter.at.is_some_and(|at| {
            let age = Timestamp::now().saturating_since(at);
            self.older_than.is_none_or(|least| age >= least) && self.younger_than.is_none_or(|most| age < most)
        })
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("types", &self.types)
            .field("sources", &self.sources)
            .field("codes", &self.codes)
            .field("ids", &self.ids)
            .field("older_than", &self.older_than)
            .field("younger_than", &self.younger_than)
            .field("predicates", &self.predicates.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn every_condition_must_fit_and_any_value_of_it_may() {
        let message = Message {
            id: "evt_1".into(),
            event_type: "user.created".into(),
            source: Some("auth".into()),
            ..Message::default()
        };
        let mut letter = DeadLetter::of(&message);
        letter.code = "USER_NOT_FOUND".into();
        letter.at = Some(Timestamp::from_millis(Timestamp::now().as_millis() - 60_000));
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        for (fits, filter) in [
            (true, Filter::new()),
            (true, Filter::new().event_type("order.#").event_type("user.*")),
            (false, Filter::new().event_type("user")),
            (true, Filter::new().source("auth").code("USER_NOT_FOUND").id("evt_2").id("evt_1")),
            (false, Filter::new().source("auth").code("OTHER")),
            (true, Filter::new().older_than(minute).younger_than(hour)),
            (false, Filter::new().older_than(hour)),
            (false, Filter::new().younger_than(minute)),
            (false, Filter::new().matching(|letter| letter.attempts > 1)),
        ] {
            assert_eq!(filter.fits(&letter), fits, "{filter:?}");
        }
        letter.at = None;
        assert!(!Filter::new().older_than(minute).fits(&letter), "nobody knows its age");
    }
}
