//! The report of a dead letter on `error.events`.

use std::{borrow::Cow, time::Duration};

use sap_comm_core::{DecodeError, Event, EventPayload};
use tokio::time::{Instant, timeout_at};

use super::{ERROR_EVENTS, EventProcessingFailed, FailureCause, Handling, failure::MAX_ORIGINAL};
use crate::{
    EventFormat, PublishError,
    message::{Content, Message},
};

/// How often a report is tried while the broker may yet take it, within one publish deadline: its dead letter waits for it.
const TRIES: u32 = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A settlement waits no longer than this, whatever a publisher may.
const MAX_WAIT: Duration = Duration::from_secs(60);

impl Handling {
    /// Reports a failure; returns once that is confirmed, or given up and logged.
    pub(super) async fn report(&self, message: &Message, cause: FailureCause) {
        if self.settings.exchange == ERROR_EVENTS || message.event_type == EventProcessingFailed::TYPE {
            return;
        }
        match self.try_to_report(message, &cause).await {
            Ok(()) => {}
            Err(PublishError::Unroutable { .. }) => tracing::debug!("nobody subscribes to {ERROR_EVENTS}"),
            Err(error) => tracing::error!(%error, "the dead letter is not reported on {ERROR_EVENTS}"),
        }
    }

    async fn try_to_report(&self, message: &Message, cause: &FailureCause) -> Result<(), PublishError> {
        // An original near the limit does not fit with the report around it, nor with every character escaped.
        let mut keeps = [MAX_ORIGINAL, self.broker.config().max_event_bytes / 8, 0].into_iter();
        let original = self.original(message);
        let mut report = self.report_of(&original, cause, keeps.next())?;
        let (mut tries, by) = (1, Instant::now() + self.broker.config().publish_deadline.min(MAX_WAIT));
        loop {
            let published = timeout_at(by, self.broker.publish_event(ERROR_EVENTS, &report)).await;
            match published.unwrap_or_else(|_| Err(PublishError::Unknown { id: report.id.clone() })) {
                Ok(_) => return Ok(()),
                Err(error @ PublishError::TooLarge { .. }) => match keeps.next() {
                    Some(keep) => report = self.report_of(&original, cause, Some(keep))?,
                    None => return Err(error),
                },
                Err(error) if error.is_transient() && tries < TRIES && Instant::now() + PAUSE < by => {
                    tracing::warn!(%error, tries, "the report of a dead letter is tried again");
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What the report says of the event: its message, or the event where most of that stands in headers.
    fn original<'a>(&self, message: &'a Message) -> Cow<'a, [u8]> {
        if message.content == Content::Event(EventFormat::CloudEventsBinary)
            && let Ok(event) = self.read(message)
            && let Ok(json) = event.to_json()
        {
            return json.into();
        }
        message.body().as_ref().into()
    }

    /// The report with `keep` bytes of the original; every try of it has the same id.
    fn report_of(
        &self,
        original: &[u8],
        cause: &FailureCause,
        keep: Option<usize>,
    ) -> Result<Event<EventProcessingFailed>, PublishError> {
        let encode = |error: DecodeError| PublishError::Encode { reason: error.to_string() };
        let payload = EventProcessingFailed::of(original, keep.unwrap_or(0), cause.clone()).map_err(encode)?;
        Ok(Event::new(self.broker.service(), payload))
    }
}
