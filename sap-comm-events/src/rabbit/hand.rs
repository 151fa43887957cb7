//! Messages taken from a queue one by one, to look at or to move.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    link::{Absence, Live, Watcher},
    properties,
    refusal::{ACCESS_REFUSED, NOT_FOUND, Refusal},
};
use crate::{
    DeadLetterError,
    amqp::{Channel, Error, Got, QueueOptions},
    backend::{Hand, Held},
};

/// How many messages are asked for at once; the broker answers in order.
const AHEAD: usize = 32;

/// A channel that holds messages. However it is closed, what is not acknowledged goes back to its place.
pub(super) struct RabbitHand {
    live: Arc<Live>,
    channel: Channel,
    queue: String,
    asked: VecDeque<BoxFuture<'static, Result<Option<Got>, Error>>>,
    /// Since when the next of them is awaited.
    since: Option<Instant>,
}

impl RabbitHand {
    pub(super) async fn open(link: &Watcher, queue: &str, wait: Duration) -> Result<Self, DeadLetterError> {
        let (live, channel) = open(link, wait).await?;
        Ok(Self { live, channel, queue: queue.to_owned(), asked: VecDeque::new(), since: None })
    }
}

/// How many messages are ready in the queue.
pub(super) async fn depth(link: &Watcher, queue: &str, wait: Duration) -> Result<u64, DeadLetterError> {
    let (live, channel) = open(link, wait).await?;
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    let declared = live.patiently(wait, live.answer(channel.declare_queue(queue, passive, &[]))).await.flatten();
    Ok(declared.map_err(unavailable)?.map_err(|error| explain(&error, queue))?.into())
}

async fn open(link: &Watcher, wait: Duration) -> Result<(Arc<Live>, Channel), DeadLetterError> {
    let live = match link.clone().live_within(wait).await {
        Ok(live) => live,
        Err(Absence::Closed) => return Err(unavailable("it is closed".to_owned())),
        Err(Absence::Away) => return Err(unavailable(format!("no connection within {wait:?}"))),
    };
    let channel = live.patiently(wait, live.channel()).await.flatten().map_err(unavailable)?;
    Ok((live, channel))
}

#[async_trait]
impl Hand for RabbitHand {
    async fn next(&mut self) -> Result<Option<Held>, DeadLetterError> {
        if self.asked.is_empty() {
            let ask = || Box::pin(self.channel.get(&self.queue)) as BoxFuture<'static, _>;
            self.asked.extend(std::iter::repeat_with(ask).take(AHEAD));
        }
        let Some(answer) = self.asked.front_mut() else { return Ok(None) };
        // Whoever waits for it may turn away and come back.
        let since = *self.since.get_or_insert_with(Instant::now);
        let taken = self.live.answer_since(since, answer).await.map_err(unavailable)?;
        self.since = None;
        drop(self.asked.pop_front());
        let taken = taken.map_err(|error| explain(&error, &self.queue))?;
        Ok(taken.map(|Got { tag, messages, content }| {
            let message = Arc::new(properties::read(&content).message);
            Held { number: tag, message, left: messages.into() }
        }))
    }

    async fn remove(&mut self, number: u64) -> Result<(), DeadLetterError> {
        if self.channel.has_ended() {
            return Err(unavailable("its channel is gone".to_owned()));
        }
        self.channel.ack(number);
        Ok(())
    }

    async fn end(self: Box<Self>) {
        // What was removed last is with a quorum queue only by its next answer: the broker's channel passes some thirty on ahead of
        // it, and what it keeps back goes with it.
        self.channel.settle();
        let told = self.live.answer(self.channel.get(&self.queue)).await;
        tracing::trace!(told = told.is_ok(), "hand ends");
        // Closing the channel gives everything back too, and does not wait until the queue was told.
        self.channel.give_all_back();
        // An error means that the connection is lost, and everything went back with it.
        let ended = self.live.answer(self.channel.close()).await;
        tracing::trace!(?ended, "hand closed");
    }
}

fn unavailable(reason: String) -> DeadLetterError {
    DeadLetterError::Unavailable { reason }
}

fn explain(error: &Error, queue: &str) -> DeadLetterError {
    match Refusal::of(error) {
        _ if matches!(error, Error::TooLong(_)) => DeadLetterError::NoQueue { queue: queue.to_owned() },
        Some(refusal) if refusal.code == NOT_FOUND => DeadLetterError::NoQueue { queue: queue.to_owned() },
        Some(refusal) if refusal.code == ACCESS_REFUSED => DeadLetterError::Forbidden { reason: refusal.text },
        _ => unavailable(error.to_string()),
    }
}
