//! What could not be handled: look at it, count it, send it back.

use std::time::Duration;

use bytes::Bytes;
use sap_comm_core::Timestamp;
use tokio::time::Instant;

use crate::{
    Broker, PublishError,
    backend::Delivery,
    message::header,
    topology::{Target, command_queue, dead_queue, group_queue},
};

/// An event that could not be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event id; empty if its publisher named none.
    pub id: String,
    /// The event type.
    pub event_type: String,
    /// The bytes of the message: an event's JSON, or what was not one.
    pub event: Bytes,
    /// Why it could not be handled.
    pub reason: String,
    /// The code of that failure.
    pub code: String,
    /// How often it was handled.
    pub attempts: u32,
    /// When it became a dead letter, if it was this crate that made it one.
    pub at: Option<Timestamp>,
}

/// Why dead letters could not be read or sent back.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// The broker could not be reached.
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
    /// The broker did not take an event back; those before it are redriven.
    #[error("event {id:?} could not be sent back after {redriven} others: {source}")]
    Redrive {
        /// The event that failed.
        id: String,
        /// How many were sent back before it.
        redriven: usize,
        /// Why.
        source: PublishError,
    },
}

/// The dead letters of one queue.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    broker: Broker,
    queue: String,
}

/// How many dead letters a redrive holds at once.
const BATCH: usize = 64;
/// How long a broker may take to take one back.
const DEADLINE: Duration = Duration::from_secs(30);

impl DeadLetters {
    pub(crate) fn of_group(broker: Broker, exchange: &str, group: &str) -> Self {
        Self { broker, queue: group_queue(exchange, group) }
    }

    pub(crate) fn of_command(broker: Broker, exchange: &str, event_type: &str) -> Self {
        Self { broker, queue: command_queue(exchange, event_type) }
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the broker is away or there is no such queue.
    pub async fn count(&self) -> Result<u64, DeadLetterError> {
        self.broker.backend().depth(&dead_queue(&self.queue)).await
    }

    /// The oldest ones, `limit` at most; they stay where they are.
    ///
    /// # Errors
    /// As [`DeadLetters::count`].
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut hand = self.broker.backend().fetch(&dead_queue(&self.queue), limit).await?;
        let letters = hand.take().iter().map(letter).collect();
        hand.end().await;
        Ok(letters)
    }

    /// Sends the oldest ones back to the queue that they came from, `limit` at most, as if they had never been handled.
    ///
    /// Each leaves the dead letters only after the broker confirmed its return. What becomes a dead letter meanwhile stays
    /// one, so an event that fails at once is not sent round in circles. Returns how many were sent back.
    ///
    /// # Errors
    /// When the broker is away, there is no such queue, or one is not taken back; the rest stay dead letters.
    pub async fn redrive(&self, limit: usize) -> Result<usize, DeadLetterError> {
        let there = self.count().await?;
        let limit = limit.min(usize::try_from(there).unwrap_or(usize::MAX));
        let mut redriven = 0;
        while redriven < limit {
            let mut hand = self.broker.backend().fetch(&dead_queue(&self.queue), BATCH.min(limit - redriven)).await?;
            let batch = hand.take();
            let done = batch.is_empty();
            let returned = self.send_back(batch, &mut redriven).await;
            hand.end().await;
            returned?;
            if done {
                break;
            }
        }
        Ok(redriven)
    }

    async fn send_back(&self, batch: Vec<Delivery>, redriven: &mut usize) -> Result<(), DeadLetterError> {
        for delivery in batch {
            let mut message = (*delivery.message).clone();
            for name in header::OF_FAILURE {
                message.headers.remove(name);
            }
            let target = Target::Queue(self.queue.clone());
            let returned = self.broker.backend().publish(target, message, Instant::now() + DEADLINE).await;
            returned.map_err(|source| DeadLetterError::Redrive {
                id: delivery.message.id.clone(),
                redriven: *redriven,
                source,
            })?;
            delivery.settlement.ack();
            *redriven += 1;
        }
        Ok(())
    }
}

fn letter(delivery: &Delivery) -> DeadLetter {
    let message = &delivery.message;
    let text = |name| message.headers.text(name).unwrap_or_default().to_owned();
    DeadLetter {
        id: message.id.clone(),
        event_type: message.event_type.clone(),
        event: message.body.clone(),
        reason: text(header::REASON),
        code: text(header::CODE),
        attempts: message.attempt(),
        at: message.headers.text(header::FAILED_AT).and_then(|text| text.parse().ok()),
    }
}
