//! Publishing later: a ladder of rungs, each of which holds a message for twice as long as the one below.
//!
//! A delay is a number of [`UNIT`]s, rounded up. The message enters at the rung of its highest bit and falls through the rungs
//! of its other bits, down to its exchange. Every message on one rung waits equally long, so none stands in another's way.
//!
//! A rung is a headers exchange and a queue with a time to live, and the headers say which rungs hold the message:
//! its routing key stays its own. Whoever is not held falls through the exchange's alternate.

use std::time::Duration;

use crate::PublishOptions;

/// The longest delay.
const MAX_DELAY: Duration = PublishOptions::MAX_DELAY;
/// How precise a delay is. Shorter ones would mean more rungs for everybody.
pub(super) const UNIT: Duration = Duration::from_millis(100);
/// The exchange below the last rung, which leads to the one that the message is meant for.
pub(super) const DUE: &str = "sap.delay.due";
/// The header that names that exchange.
pub(super) const TO: &str = "sap-delay-to";
/// What the names of those headers begin with. A broker does not look at headers that begin with `x-`.
pub(super) const HEADERS: &str = "sap-delay-";

/// The rungs that hold one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rungs(u32);

impl Rungs {
    /// Those of a delay up to the longest, the shortest being one unit.
    pub(super) fn of(delay: Duration) -> Self {
        let units = delay.min(MAX_DELAY).as_nanos().div_ceil(UNIT.as_nanos());
        Self(u32::try_from(units).unwrap_or(u32::MAX).max(1))
    }

    /// The rung to enter at.
    pub(super) fn highest(self) -> u32 {
        self.0.ilog2()
    }

    /// Every rung that holds the message.
    pub(super) fn each(self) -> impl Iterator<Item = u32> {
        (0..=self.highest()).filter(move |rung| self.0 >> rung & 1 == 1)
    }
}

/// How long a rung holds a message.
pub(super) fn held(rung: u32) -> Duration {
    UNIT * (1 << rung)
}

/// The name of a rung's exchange and of its queue.
pub(super) fn name(rung: u32) -> String {
    format!("sap.delay.{rung}")
}

/// Where a rung leads to.
pub(super) fn below(rung: u32) -> String {
    rung.checked_sub(1).map_or_else(|| DUE.to_owned(), name)
}

/// The header of a message that a rung holds.
pub(super) fn header(rung: u32) -> String {
    format!("{HEADERS}{rung}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_to_what_its_rungs_hold() {
        for (millis, expected) in
            [(1, 100), (100, 100), (101, 200), (1_000, 1_000), (12_345, 12_400), (86_400_000, 86_400_000)]
        {
            let rungs = Rungs::of(Duration::from_millis(millis));
            let sum: Duration = rungs.each().map(held).sum();
            assert_eq!(sum, Duration::from_millis(expected), "{millis} ms");
            assert_eq!(rungs.each().max(), Some(rungs.highest()));
        }
    }

    #[test]
    fn the_longest_delay_fits_the_time_to_live_of_a_queue() {
        let rungs = Rungs::of(MAX_DELAY);
        assert_eq!(rungs.highest(), 24);
        assert!(held(24).as_millis() <= u32::MAX.into());
        assert_eq!(Rungs::of(Duration::MAX), rungs);
    }

    #[test]
    fn each_rung_leads_to_the_one_below() {
        assert_eq!((below(3), below(0)), (name(2), DUE.to_owned()));
    }
}
