//! What is measured of a broker, and what around it is not.

use std::time::{Duration, Instant};

use sap_comm_benches::event::Sized;

use crate::subject::Subject;

/// The part of an event's way that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Until it is confirmed; nobody consumes.
    Publish,
    /// From a full queue through the handler.
    Consume,
    /// From publish through the handler.
    EndToEnd,
}

/// Events of one size, through a window.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) part: Part,
    pub(crate) payload: Sized,
    pub(crate) window: u16,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
            Self::EndToEnd => "end_to_end",
        }
    }
}

impl Load {
    /// How long so many events take; afterwards the queue is empty again.
    pub(crate) async fn take(&self, subject: &Subject, events: u64) -> Duration {
        match self.part {
            Part::Publish => {
                let start = Instant::now();
                subject.publish(&self.payload, events).await;
                let elapsed = start.elapsed();
                self.consume(subject, events).await;
                elapsed
            }
            Part::Consume => {
                subject.publish(&self.payload, events).await;
                self.consume(subject, events).await
            }
            Part::EndToEnd => {
                let mut counter = subject.counter().await;
                counter.open();
                let start = Instant::now();
                subject.publish(&self.payload, events).await;
                counter.reaches(events).await;
                let elapsed = start.elapsed();
                counter.stop().await;
                elapsed
            }
        }
    }

    async fn consume(&self, subject: &Subject, events: u64) -> Duration {
        let mut counter = subject.counter().await;
        let start = Instant::now();
        counter.open();
        counter.reaches(events).await;
        let elapsed = start.elapsed();
        counter.stop().await;
        elapsed
    }
}
