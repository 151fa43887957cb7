//! What could not be handled: count it, look at it, send it back, remove it.

mod error;
mod filter;
mod letter;
mod pass;
mod round;

use std::sync::{Arc, Mutex, PoisonError};

use sap_comm_core::EventKind;

pub use self::{
    error::DeadLetterError,
    filter::Filter,
    letter::DeadLetter,
    round::{Progress, Round},
};

use self::pass::Act;
use crate::{
    Broker,
    message::{Message, header},
    topology::{Target, check_name, command_of, dead_queue},
};

/// The dead letters of one queue.
///
/// While one of these operations runs, what it has looked at is held: others neither see nor count it. When it ends,
/// is dropped or killed, or loses its connection, everything that it did not remove is back in its place and order, as
/// RabbitMQ documents for classic queues; a quorum queue puts it to the front, and mixes it up where that is more than
/// some thirty. The process keeps no more than the few messages on their way, however many stay.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    broker: Broker,
    queue: String,
}

/// A queue, and how many of its events are dead letters.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DeadLetterQueue {
    /// The queue that they come from, such as `user.events.audit`.
    pub queue: String,
    /// How many there are.
    pub count: u64,
}

/// What is looked at unless the round says otherwise.
const PEEK: usize = 100;

impl DeadLetters {
    pub(crate) fn new(broker: Broker, queue: String) -> Self {
        Self { broker, queue }
    }

    /// The queue that they come from and go back to.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// How many there are. For a moment after a round, RabbitMQ counts fewer: it takes back what was held.
    ///
    /// # Errors
    /// When the broker is away or there is no such queue.
    pub async fn count(&self) -> Result<u64, DeadLetterError> {
        self.broker.backend().depth(&dead_queue(&self.queue)).await
    }

    /// The oldest ones of the round, 100 unless it has a limit; they stay where they are. To see more than memory holds,
    /// take a dry run with [`Round::on_letter`].
    ///
    /// # Errors
    /// As [`DeadLetters::count`].
    pub async fn peek(&self, round: impl Into<Round>) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut round = round.into();
        round.limit.get_or_insert(PEEK);
        let letters = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&letters);
        let mut also = round.on_letter.take();
        let round = round.on_letter(move |letter| {
            if let Some(look) = &mut also {
                look(letter);
            }
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(letter.clone());
        });
        self.run(round, Act::Look).await?;
        Ok(std::mem::take(&mut *letters.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Sends those of the round back to the queue that they came from, as if they had never been handled. No other
    /// group sees them again.
    ///
    /// Each leaves the dead letters only after the broker confirmed its return: whatever ends in between, it is there
    /// twice rather than lost. What becomes a dead letter meanwhile stays one, so an event that fails at once is not
    /// sent round in circles. Dropping the future leaves those that are not confirmed where they were; they may be
    /// there twice.
    ///
    /// # Errors
    /// When the broker is away, there is no such queue, an option is invalid, or one is not taken back; the rest stay
    /// dead letters.
    pub async fn redrive(&self, round: impl Into<Round>) -> Result<Progress, DeadLetterError> {
        let queue = self.queue.clone();
        self.run(round.into(), Act::SendBack(Box::new(move |_| Target::Queue(queue.clone())))).await
    }

    /// Like [`DeadLetters::redrive`], and publishes them to `exchange` again: every group that wants their types gets
    /// them, those included that have handled them before. They are commands if the queue is that of a command of `exchange`,
    /// `{exchange}.commands.{type}`, and events otherwise, whatever they say of themselves.
    ///
    /// # Errors
    /// As [`DeadLetters::redrive`].
    pub async fn redrive_to_exchange(
        &self,
        exchange: &str,
        round: impl Into<Round>,
    ) -> Result<Progress, DeadLetterError> {
        check_name("exchange", exchange)?;
        let (exchange, queue) = (exchange.to_owned(), self.queue.clone());
        let target = move |message: &mut Message| {
            let command = command_of(&queue, &exchange);
            message.set_command(command.is_some());
            let Some(command) = command else { return Target::of(&exchange, EventKind::Domain) };
            if message.is_untyped(&queue) {
                message.event_type = command.into();
            }
            // Whatever it calls itself: the queue is bound for that.
            if *message.event_type == *command {
                message.headers.remove(header::ROUTING_KEY);
            } else {
                message.headers.set(header::ROUTING_KEY, command.to_owned());
            }
            Target::of(&exchange, EventKind::Command)
        };
        self.run(round.into(), Act::SendBack(Box::new(target))).await
    }

    /// Removes those of the round for good.
    ///
    /// # Errors
    /// As [`DeadLetters::count`].
    pub async fn purge(&self, round: impl Into<Round>) -> Result<Progress, DeadLetterError> {
        self.run(round.into(), Act::Remove).await
    }

    async fn run(&self, round: Round, act: Act) -> Result<Progress, DeadLetterError> {
        pass::run(&self.broker, &dead_queue(&self.queue), round, act).await
    }
}
