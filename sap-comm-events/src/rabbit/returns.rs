//! Which publishes were returned as unroutable.
//!
//! The client library hands a returned message to whichever confirm comes next, and settles a multiple confirm in any
//! order. So a confirm without a returned message is one, provided that all confirms before it were seen; a confirm with
//! somebody else's returned message may have its own still behind it, and waits until that is ruled out.

use std::collections::HashMap;

/// What identifies a returned message: exchange, routing key and message id.
pub(super) type Mark = (String, String, String);

/// A confirm that arrived.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The number of the publish.
    pub(super) number: u64,
    /// Its own mark.
    pub(super) mark: Mark,
    /// The mark of the returned message that the library attached.
    pub(super) returned: Option<Mark>,
}

/// Matches returned messages with their publishes.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// Returned messages whose publish is yet to be settled.
    unclaimed: HashMap<Mark, u32>,
    /// Confirms whose own return may still come.
    held: Vec<(u64, Mark)>,
}

impl Returns {
    /// Whether nothing is in doubt, so that confirms without returned messages need no matching.
    pub(super) fn is_idle(&self) -> bool {
        self.unclaimed.is_empty() && self.held.is_empty()
    }

    /// Takes note of a returned message whose carrier is settled otherwise.
    pub(super) fn note(&mut self, mark: Mark) {
        *self.unclaimed.entry(mark).or_default() += 1;
    }

    /// Settles the confirms that arrived together, all that there were; `last` says that none is outstanding.
    ///
    /// Returns number and whether it was routed, for each that is certain.
    pub(super) fn settle(&mut self, arrivals: Vec<Arrival>, last: bool) -> Vec<(u64, bool)> {
        let conclusive = last || arrivals.iter().any(|arrival| arrival.returned.is_none());
        for mark in arrivals.iter().filter_map(|arrival| arrival.returned.as_ref()) {
            self.note(mark.clone());
        }
        let mut settled = Vec::with_capacity(arrivals.len());
        for (number, mark) in std::mem::take(&mut self.held) {
            if self.claim(&mark) {
                settled.push((number, false));
            } else if conclusive {
                settled.push((number, true));
            } else {
                self.held.push((number, mark));
            }
        }
        for Arrival { number, mark, returned } in arrivals {
            if self.claim(&mark) {
                settled.push((number, false));
            } else if returned.is_none() || last {
                settled.push((number, true));
            } else {
                self.held.push((number, mark));
            }
        }
        if last {
            self.unclaimed.clear();
        }
        settled
    }

    fn claim(&mut self, mark: &Mark) -> bool {
        let Some(count) = self.unclaimed.get_mut(mark) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.unclaimed.remove(mark);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: &str) -> Mark {
        ("x".into(), "k".into(), id.into())
    }

    fn arrival(number: u64, returned: Option<&str>) -> Arrival {
        Arrival { number, mark: mark(&number.to_string()), returned: returned.map(mark) }
    }

    fn sorted(mut settled: Vec<(u64, bool)>) -> Vec<(u64, bool)> {
        settled.sort_unstable();
        settled
    }

    #[test]
    fn a_return_handed_to_another_confirm_finds_its_own() {
        let mut returns = Returns::default();
        // 2 was returned, and the confirm of 1 came first.
        let settled = returns.settle(vec![arrival(1, Some("2")), arrival(2, None)], true);
        assert_eq!(sorted(settled), [(1, true), (2, false)]);
        assert!(returns.is_idle());
    }

    #[test]
    fn a_multiple_confirm_in_any_order_is_sorted_out() {
        let mut returns = Returns::default();
        let settled = returns.settle(vec![arrival(3, Some("2")), arrival(1, Some("3")), arrival(2, None)], false);
        assert_eq!(sorted(settled), [(2, false), (3, false)]);
        assert_eq!(sorted(returns.settle(vec![arrival(4, None)], false)), [(1, true), (4, true)]);
        assert!(returns.is_idle());
    }

    #[test]
    fn a_doubtful_confirm_waits_for_a_conclusive_one() {
        let mut returns = Returns::default();
        assert_eq!(returns.settle(vec![arrival(1, Some("2"))], false), []);
        assert!(!returns.is_idle());
        let settled = returns.settle(vec![arrival(2, Some("1"))], false);
        assert_eq!(sorted(settled), [(1, false), (2, false)], "each carried the other's");
        assert!(returns.is_idle());
    }

    #[test]
    fn the_last_confirm_ends_all_doubt() {
        let mut returns = Returns::default();
        assert_eq!(returns.settle(vec![arrival(1, Some("9"))], true), [(1, true)]);
        assert!(returns.is_idle());
    }
}
