use std::time::Duration;

use sap_comm_core::{ApiError, ErrorCode, Name};

use crate::{PublishError, SubscribeError};

/// Why a request has no answer.
///
/// | variant | was the command handled? |
/// | --- | --- |
/// | `Failed` | yes, and this is its answer; or it could not be, and this is why |
/// | `Timeout`, `Closed` | perhaps |
/// | `Publish` | see [`PublishError`]: not, unless the broker may have it |
/// | `Replies`, `NotSent`, `TooMany` | no: it was not sent |
/// | `Reply` | yes, and the answer cannot be read |
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The handler answered with an error, or the command is a dead letter.
    #[error("the request failed: {0}")]
    Failed(ApiError),
    /// No answer came in time. What is still in its queue will not be handled any more.
    #[error("no answer to request {id:?} within {waited:?}; it may have been handled")]
    Timeout {
        /// The command's id.
        id: Name,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker was closed while the answer was awaited.
    #[error("the broker was closed before request {id:?} was answered")]
    Closed {
        /// The command's id.
        id: Name,
    },
    /// The command could not be published. `Unroutable` means that nobody handles it.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The queue of the answers could not be made.
    #[error("the queue of the answers cannot be consumed: {0}")]
    Replies(#[from] SubscribeError),
    /// The queue of the answers could not be made in time.
    #[error("the request was not sent within {waited:?}")]
    NotSent {
        /// How long it was tried.
        waited: Duration,
    },
    /// As many requests wait for answers as the broker's queue capacity.
    #[error("{capacity} requests wait already")]
    TooMany {
        /// The bound.
        capacity: usize,
    },
    /// The answer is not what was expected.
    #[error("the answer {id:?} cannot be read: {reason}")]
    Reply {
        /// The answer's id.
        id: Name,
        /// What is wrong with it.
        reason: String,
    },
}

impl RequestError {
    /// Whether asking again may succeed. Where the command may have been handled, that must do no harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Replies(SubscribeError::Unavailable { .. }) => true,
            Self::NotSent { .. } | Self::TooMany { .. } => true,
            Self::Publish(error) => error.is_transient(),
            Self::Failed(_) | Self::Closed { .. } | Self::Replies(_) | Self::Reply { .. } => false,
        }
    }
}

/// The handler's own error is passed on; what is late is a gateway timeout.
impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Failed(error) => error,
            RequestError::Publish(error) => error.into(),
            RequestError::Timeout { .. } | RequestError::NotSent { .. } => {
                Self::new(ErrorCode::GATEWAY_TIMEOUT, "The request was not answered in time").caused_by(error)
            }
            error if error.is_transient() => {
                Self::new(ErrorCode::SERVICE_UNAVAILABLE, "The message broker is unavailable").caused_by(error)
            }
            error => Self::internal(error),
        }
    }
}
