use sap_comm_core::Name;

use super::Progress;
use crate::{PublishError, topology::NameError};

/// Why dead letters could not be read, sent back or removed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// The broker could not be reached, or was lost on the way; what was not dealt with is where it was.
    #[error("the broker is away: {reason}")]
    Unavailable {
        /// The last thing that went wrong.
        reason: String,
    },
    /// There is no such queue: no subscription of that group was ever made.
    #[error("there is no queue {queue:?}")]
    NoQueue {
        /// The queue of the dead letters.
        queue: String,
    },
    /// The broker's user may not read the queue.
    #[error("the broker refuses access: {reason}")]
    Forbidden {
        /// What the broker said.
        reason: String,
    },
    /// An option of the round, or the name of the exchange, is invalid.
    #[error("{option}: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker did not take an event back; it and those after it stay dead letters.
    #[error("event {id:?} could not be sent back after {} others: {source}", .progress.done)]
    Redrive {
        /// The event that failed.
        id: Name,
        /// How far the round came.
        progress: Progress,
        /// Why.
        source: Box<PublishError>,
    },
}

impl DeadLetterError {
    pub(super) fn option(option: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Option { option, reason: reason.to_string() }
    }
}

impl From<NameError> for DeadLetterError {
    fn from(error: NameError) -> Self {
        Self::option("exchange", error)
    }
}
