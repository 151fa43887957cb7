//! How far a consumer group is behind.

use super::Broker;
use crate::{
    DeadLetterError, SubscribeError,
    topology::{check_name, group_queue},
};

impl Broker {
    /// How many events wait in the queue of `group` and are with no consumer; `None` when the group never subscribed to
    /// `exchange`. For health checks and admin pages: it asks the broker, and waits up to the connect timeout for a connection.
    ///
    /// # Errors
    /// When a name is invalid, the broker is away, or its user may not see the queue.
    pub async fn lag(&self, exchange: &str, group: &str) -> Result<Option<u64>, SubscribeError> {
        check_name("exchange", exchange)?;
        check_name("group", group)?;
        match self.backend().depth(&group_queue(exchange, group)).await {
            Ok(depth) => Ok(Some(depth)),
            Err(DeadLetterError::NoQueue { .. }) => Ok(None),
            Err(DeadLetterError::Forbidden { reason }) => Err(SubscribeError::Forbidden { reason }),
            Err(error) => Err(SubscribeError::Unavailable { reason: error.to_string() }),
        }
    }
}
