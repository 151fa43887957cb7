use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use sap_comm_core::{Event, EventPayload, RawEvent};

use crate::message::Message;

/// Remembers what a broker and its clones published and handled; the oldest is forgotten beyond the capacity.
#[derive(Debug)]
pub(crate) struct Recorder {
    capacity: usize,
    log: Mutex<VecDeque<Entry>>,
    last: AtomicU64,
}

/// A publish whose outcome is not known.
pub(crate) struct Publishing<'a> {
    recorder: &'a Recorder,
    number: u64,
}

impl Publishing<'_> {
    pub(crate) fn confirmed(self) {
        std::mem::forget(self);
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.recorder.log.lock().retain(|entry| entry.number != self.number);
    }
}

/// Something that happened to an event.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    number: u64,
    pub(crate) what: What,
    /// The exchange or the queue.
    pub(crate) place: String,
    message: Arc<Message>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Published,
    Handled,
    DeadLettered { reason: String, code: String },
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, log: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// Records a publish that is under way; it is struck out again unless it is confirmed.
    pub(crate) fn publishing(&self, exchange: &str, message: &Message) -> Publishing<'_> {
        Publishing { recorder: self, number: self.record(What::Published, exchange, Arc::new(message.clone())) }
    }

    pub(crate) fn record(&self, what: What, place: &str, message: Arc<Message>) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let mut log = self.log.lock();
        if log.len() == self.capacity {
            log.pop_front();
        }
        log.push_back(Entry { number, what, place: place.to_owned(), message });
        number
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.log.lock().iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.log.lock().clear();
    }
}

impl Entry {
    /// The event, if it is one of payload `T`.
    pub(crate) fn event<T: EventPayload>(&self) -> Option<Event<T>> {
        self.raw().filter(|event| event.event_type == T::TYPE)?.decode().ok()
    }

    pub(crate) fn raw(&self) -> Option<RawEvent> {
        self.message.event().ok()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.message.attempt()
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let (id, event_type) = (&self.message.id, &self.message.event_type);
        match &self.what {
            What::Published => format!("{event_type} {id} was published to {}", self.place),
            What::Handled => format!("{event_type} {id} was handled from {}", self.place),
            What::DeadLettered { reason, code } => {
                format!("{event_type} {id} is a dead letter of {}: {code}: {reason}", self.place)
            }
        }
    }
}
