use std::sync::Arc;

use sap_comm_core::RawEvent;

use super::{FailureCause, Handling};
use crate::{backend::Delivery, backend::Redelivered, message::Message};

/// A delivery on its way to a handler, and its event once somebody has read it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) delivery: Delivery,
    event: Option<Box<Read>>,
}

/// An event, or why the message is none.
pub(super) type Read = Result<RawEvent, FailureCause>;

impl From<Delivery> for Work {
    fn from(delivery: Delivery) -> Self {
        Self { delivery, event: None }
    }
}

impl Work {
    /// The event, read now if it was not before.
    pub(super) fn event(&mut self, handling: &Handling) -> &Read {
        self.event.get_or_insert_with(|| Box::new(handling.read(&self.delivery.message)))
    }

    pub(super) fn into_parts(self, handling: &Handling) -> (Delivery, Read) {
        let event = self.event.map_or_else(|| handling.read(&self.delivery.message), |event| *event);
        (self.delivery, event)
    }

    /// Whether the event was looked at before.
    pub(super) fn is_read(&self) -> bool {
        self.event.is_some()
    }

    pub(super) fn message(&self) -> &Arc<Message> {
        &self.delivery.message
    }

    /// Whether it went back to its queue already: its channel has ended.
    pub(super) fn is_void(&self) -> bool {
        self.delivery.settlement.is_void()
    }

    /// Whether it was delivered so often before that it is to be handled alone, for its consumer to die of nothing else.
    pub(super) fn is_for_itself(&self, suspicious: u32) -> bool {
        matches!(self.delivery.redelivered, Redelivered::Times(times) if times > suspicious)
    }

    /// Whether it was in a handler before, which may have been its fault.
    pub(super) fn is_suspect(&self) -> bool {
        let redelivered = match self.delivery.redelivered {
            Redelivered::No | Redelivered::Behind => false,
            Redelivered::Uncounted => true,
            Redelivered::Times(times) => times > 0,
        };
        redelivered || self.message().attempt() > 1 || super::process::redeliveries(self.message()) > 0
    }
}
