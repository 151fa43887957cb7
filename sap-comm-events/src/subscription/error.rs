use crate::topology::{NameError, TopologyError};

/// Why a subscription could not begin.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name of the exchange or the group is invalid.
    #[error("{reason}")]
    Name {
        /// What is wrong with it.
        reason: String,
    },
    /// An option of the subscription is invalid.
    #[error("subscription option {option}: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The router handles nothing.
    #[error("the router for {exchange:?} has no handler")]
    NoHandlers {
        /// The exchange.
        exchange: String,
    },
    /// There is no such exchange, and whoever only looks on makes none.
    #[error("there is no exchange {exchange:?}")]
    NoExchange {
        /// The exchange.
        exchange: String,
    },
    /// A queue or the exchange exists with other properties.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The broker's user may not declare, bind or read.
    #[error("the broker refuses access: {reason}")]
    Forbidden {
        /// What the broker said.
        reason: String,
    },
    /// The broker is too old for what was asked.
    #[error("{feature} need RabbitMQ {needs}; the broker is {version}")]
    Unsupported {
        /// What was asked for.
        feature: &'static str,
        /// The first version that has it.
        needs: String,
        /// The broker's version.
        version: String,
    },
    /// The broker could not be reached within the connect timeout.
    #[error("the broker is away: {reason}")]
    Unavailable {
        /// The last thing that went wrong.
        reason: String,
    },
    /// The broker is closed.
    #[error("the broker is closed")]
    Closed,
}

impl From<NameError> for SubscribeError {
    fn from(error: NameError) -> Self {
        Self::Name { reason: error.to_string() }
    }
}
