//! The copy of an event that takes its place: a retry, a dead letter, a requeue.

use super::Handling;
use crate::{backend::Delivery, message::Message};

impl Handling {
    /// The message of a delivery, to be written to a queue. Whether it is a command is told by where it came from; what else its
    /// publisher did not say beside the event is said now, by the event: so it is found by that, and is sent back as what it was.
    pub(super) fn copy_of(&self, delivery: &Delivery) -> Message {
        let mut copy = (*delivery.message).clone();
        copy.set_command(self.settings.takes_commands(&delivery.queue));
        let is_untyped = copy.is_untyped(&delivery.queue);
        let says_all = !copy.id.is_empty() && copy.source.is_some() && !is_untyped;
        if !says_all && let Ok(event) = self.read(&copy) {
            if copy.id.is_empty() {
                copy.id = event.id;
            }
            if is_untyped {
                copy.event_type = event.event_type;
            }
            copy.source.get_or_insert(event.source);
        }
        copy
    }
}
