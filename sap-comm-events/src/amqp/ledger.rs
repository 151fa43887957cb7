//! Which deliveries of a channel are settled, and the frames that say so.

use std::collections::{BTreeMap, BTreeSet};

use super::{frame, method::basic};

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64 },
}

impl Frame {
    pub(super) fn write(self, out: &mut Vec<u8>, channel: u16) {
        let (method, tag, bits) = match self {
            Self::Ack { tag, multiple } => (basic::ACK, tag, [multiple, false]),
            Self::Nack { tag } => (basic::NACK, tag, [false, true]),
        };
        let written = frame::method(out, channel, method, |out| {
            out.u64(tag);
            out.bits(bits);
            Ok(())
        });
        debug_assert!(written.is_ok(), "numbers always fit");
    }
}

/// Which delivery tags are settled, and which of those the broker knows of.
///
/// A multiple acknowledgement covers only tags that are settled, and names one that the broker does not know of yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every tag up to here is settled, and the broker knows.
    floor: u64,
    /// Acknowledged; the broker does not know.
    acked: BTreeSet<u64>,
    /// Settled beyond the floor; the broker knows.
    told: Runs,
}

/// Numbers as their unbroken runs, the last by the first: of those between deliveries that are long in hand there are few.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u64, u64>);

impl Runs {
    fn insert(&mut self, number: u64) {
        let last = number.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(number);
        match self.0.range_mut(..number).next_back() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = last,
            _ => drop(self.0.insert(number, last)),
        }
    }

    /// Takes the run that begins with `first` out, and says where it ends.
    fn take(&mut self, first: u64) -> Option<u64> {
        self.0.remove(&first)
    }
}

impl Ledger {
    pub(super) fn ack(&mut self, tag: u64) {
        self.acked.insert(tag);
    }

    pub(super) fn give_back(&mut self, tag: u64) -> Frame {
        self.told.insert(tag);
        Frame::Nack { tag }
    }

    /// The acknowledgements to send now: one for the unbroken run from the floor, one for each beyond a gap.
    pub(super) fn due(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (mut last, mut count) = (None, 0);
        loop {
            let next = self.floor.saturating_add(1);
            if self.acked.remove(&next) {
                (self.floor, last) = (next, Some(next));
                count += 1;
            } else if let Some(end) = self.told.take(next) {
                self.floor = end;
            } else {
                break;
            }
        }
        if let Some(tag) = last {
            frames.push(Frame::Ack { tag, multiple: count > 1 });
        }
        for tag in std::mem::take(&mut self.acked) {
            frames.push(Frame::Ack { tag, multiple: false });
            self.told.insert(tag);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_is_one_frame_and_a_gap_waits_for_nobody() {
        let mut ledger = Ledger::default();
        for tag in [1, 2, 3, 5] {
            ledger.ack(tag);
        }
        assert_eq!(ledger.due(), [Frame::Ack { tag: 3, multiple: true }, Frame::Ack { tag: 5, multiple: false }]);
        ledger.ack(4);
        assert_eq!(ledger.due(), [Frame::Ack { tag: 4, multiple: false }]);
        ledger.ack(6);
        assert_eq!(ledger.give_back(7), Frame::Nack { tag: 7 });
        ledger.ack(8);
        assert_eq!(ledger.due(), [Frame::Ack { tag: 8, multiple: true }]);
    }

    #[test]
    fn one_that_is_long_in_hand_costs_no_memory() {
        let mut ledger = Ledger::default();
        for tag in (2..10_000).filter(|tag| *tag != 5_000).rev() {
            ledger.ack(tag);
            ledger.due();
        }
        assert_eq!(ledger.told.0, BTreeMap::from([(2, 4_999), (5_001, 9_999)]));
        ledger.ack(1);
        assert_eq!(ledger.due(), [Frame::Ack { tag: 1, multiple: false }]);
        ledger.ack(5_000);
        assert_eq!(ledger.due(), [Frame::Ack { tag: 5_000, multiple: false }]);
        assert_eq!((ledger.floor, ledger.told.0.len()), (9_999, 0));
    }

    proptest! {
        /// A broker that follows AMQP's rules accepts every frame, and ends with exactly what was decided.
        #[test]
        fn every_tag_is_settled_once_and_as_decided(
            order in Just((1_u64..=60).collect::<Vec<_>>()).prop_shuffle(),
            back in proptest::collection::vec(any::<bool>(), 60),
            batch in 1_usize..20,
        ) {
            let mut ledger = Ledger::default();
            let mut outstanding: BTreeSet<u64> = (1..=60).collect();
            let (mut acked, mut nacked) = (BTreeSet::new(), BTreeSet::new());
            for tags in order.chunks(batch) {
                let mut frames = Vec::new();
                for tag in tags {
                    if back[*tag as usize - 1] { frames.push(ledger.give_back(*tag)) } else { ledger.ack(*tag) }
                }
                frames.extend(ledger.due());
                for frame in frames {
                    match frame {
                        Frame::Nack { tag } => { prop_assert!(outstanding.remove(&tag)); nacked.insert(tag); }
                        Frame::Ack { tag, multiple } => {
                            prop_assert!(outstanding.contains(&tag), "tag {} is unknown to the broker", tag);
                            let covered: Vec<u64> = outstanding.iter().copied().filter(|t| *t == tag || multiple && *t < tag).collect();
                            for tag in covered { outstanding.remove(&tag); acked.insert(tag); }
                        }
                    }
                }
            }
            let decided: BTreeSet<u64> = (1..=60).filter(|tag| !back[*tag as usize - 1]).collect();
            prop_assert!(outstanding.is_empty());
            prop_assert_eq!(acked, decided);
            prop_assert_eq!(nacked.len(), back.iter().filter(|back| **back).count());
        }
    }
}
