//! Telling the broker which deliveries are settled, in as few frames and writes as it takes.

use std::sync::{Arc, atomic::Ordering};

use super::{ledger::Ledger, outbound::Outbound, registry::Core};

/// So many acknowledgements are worth a write of their own.
const WORTH_A_WRITE: usize = 64;
/// Beyond so many a broker's work on each gets no less.
const MOST: usize = 256;

/// The settlements of one channel.
#[derive(Debug, Default)]
pub(super) struct Book {
    ledger: Ledger,
    /// How many acknowledgements the broker does not know of.
    unsent: usize,
    /// Whether the writer knows that there are any.
    listed: bool,
}

/// How many acknowledgements are kept back at most for those that follow, where the broker lets us hold `prefetch`.
pub(super) fn kept_back(prefetch: u16) -> usize {
    match usize::from(prefetch) {
        0 => WORTH_A_WRITE,
        held => (held / 2).min(WORTH_A_WRITE).max(held / 4).clamp(1, MOST),
    }
}

/// Acknowledges a delivery, soon.
pub(super) fn ack(core: &Arc<Core>, outbound: &Outbound, tag: u64) {
    let mut book = core.book.lock();
    book.ledger.ack(tag);
    book.unsent += 1;
    let (first, hurry) = (!book.listed, book.unsent == core.hurry.load(Ordering::Relaxed));
    book.listed = true;
    drop(book);
    if first {
        outbound.list(Arc::clone(core));
    }
    if hurry {
        outbound.hurry();
    }
}

/// Gives a delivery back to its queue, at once.
pub(super) fn give_back(core: &Core, outbound: &Outbound, tag: u64) {
    let mut book = core.book.lock();
    let frame = book.ledger.give_back(tag);
    outbound.write(|out| {
        if !core.has_ended() {
            frame.write(out, core.id);
        }
    });
}

/// Hands every acknowledgement that the broker does not know of to `append`.
pub(super) fn settle(core: &Core, append: impl FnOnce(&mut dyn FnMut(&mut Vec<u8>))) {
    let mut book = core.book.lock();
    (book.listed, book.unsent) = (false, 0);
    let frames = book.ledger.due();
    if !frames.is_empty() {
        append(&mut |out| {
            if !core.has_ended() {
                frames.iter().for_each(|frame| frame.write(out, core.id));
            }
        });
    }
}
