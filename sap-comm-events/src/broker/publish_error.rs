use std::time::Duration;

use sap_comm_core::{ApiError, ErrorCode, Name};

use crate::topology::{NameError, TopologyError};

/// Why an event was not confirmed.
///
/// | variant | has the broker got it? | what to do |
/// | --- | --- | --- |
/// | `Unroutable` | no: no queue wanted it | subscribe first, or ignore |
/// | `Nacked` | one of its queues has not; others may | send the same event, with the same id, later |
/// | `Unknown`, `Blocked` | perhaps | send the same event, with the same id |
/// | `Unavailable`, `QueueFull` | no | send again later |
/// | `Encode`, `TooLarge`, `TooFar`, `Name`, `Topology` | no | change the event or the configuration |
/// | `Forbidden` | no | change the broker's permissions |
/// | `Closed` | no | nothing: the service ends |
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// No queue is bound for the event's type.
    #[error("no queue wants {event_type:?} events of {exchange:?}")]
    Unroutable {
        /// The exchange or queue published to.
        exchange: String,
        /// The event's type.
        event_type: Name,
    },
    /// The broker refused the event.
    #[error("the broker refused event {id:?}: {reason}")]
    Nacked {
        /// The event's id.
        id: Name,
        /// What the broker said.
        reason: String,
    },
    /// The broker's user may not publish there.
    #[error("the broker refuses access: {reason}")]
    Forbidden {
        /// What the broker said.
        reason: String,
    },
    /// The event was sent and no answer came, within the deadline or over its connection. It is safe to send it again with the same
    /// id.
    #[error("the broker did not confirm event {id:?}, and may have it")]
    Unknown {
        /// The event's id.
        id: Name,
    },
    /// The broker takes no messages now: its memory or disk is short. It may still get the event once it does.
    #[error("the broker is blocked: {reason}")]
    Blocked {
        /// What the broker said.
        reason: String,
    },
    /// The broker could not be reached within the deadline; the event was not sent.
    #[error("the broker is away: {reason}")]
    Unavailable {
        /// The last thing that went wrong.
        reason: String,
    },
    /// The bound on waiting events is reached, or that on their bytes.
    #[error("the queue of {capacity} events is full")]
    QueueFull {
        /// The bound on events.
        capacity: usize,
    },
    /// The broker is closed.
    #[error("the broker is closed")]
    Closed,
    /// The event's JSON is over the limit.
    #[error("event {id:?} has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// The event's id.
        id: Name,
        /// Its size as JSON.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The event is delayed for longer than a broker should keep it.
    #[error("event {id:?} is to be published in {delay:?}; the limit is {limit:?}")]
    TooFar {
        /// The event's id.
        id: Name,
        /// How much later it was to be published.
        delay: Duration,
        /// The limit.
        limit: Duration,
    },
    /// The event cannot be written as JSON, or its type cannot be a routing key.
    #[error("event cannot be published: {reason}")]
    Encode {
        /// What is wrong with it.
        reason: String,
    },
    /// The exchange's name is invalid.
    #[error("{reason}")]
    Name {
        /// What is wrong with it.
        reason: String,
    },
    /// The exchange exists with other properties.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl PublishError {
    /// Whether sending the same event again may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Nacked { .. }
                | Self::Unknown { .. }
                | Self::Blocked { .. }
                | Self::Unavailable { .. }
                | Self::QueueFull { .. }
        )
    }
}

impl From<NameError> for PublishError {
    fn from(error: NameError) -> Self {
        Self::Name { reason: error.to_string() }
    }
}

/// A request that cannot publish is answered with 503 if it may be tried again, and as an internal error otherwise.
impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        if error.is_transient() {
            Self::new(ErrorCode::SERVICE_UNAVAILABLE, "The message broker is unavailable").caused_by(error)
        } else {
            Self::internal(error)
        }
    }
}
