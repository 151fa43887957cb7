//! Messages taken from a queue one by one, to look at or to move.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use lapin::{
    Channel,
    message::BasicGetMessage,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::{
    link::{Absence, Live, Watcher},
    properties,
    refusal::{ACCESS_REFUSED, NOT_FOUND, Refusal},
};
use crate::{
    DeadLetterError,
    backend::{Hand, Held},
};

/// How many messages are asked for at once; the broker answers in order.
const AHEAD: usize = 32;

/// A channel that holds messages. However it is closed, what is not acknowledged goes back to its place.
pub(super) struct RabbitHand {
    live: Arc<Live>,
    channel: Channel,
    queue: ShortString,
    asked: FuturesOrdered<BoxFuture<'static, lapin::Result<Option<BasicGetMessage>>>>,
}

impl RabbitHand {
    pub(super) async fn open(link: &Watcher, queue: &str, wait: Duration) -> Result<Self, DeadLetterError> {
        let (live, channel, queue) = open(link, queue, wait).await?;
        Ok(Self { live, channel, queue, asked: FuturesOrdered::new() })
    }
}

/// How many messages are ready in the queue.
pub(super) async fn depth(link: &Watcher, queue: &str, wait: Duration) -> Result<u64, DeadLetterError> {
    let (live, channel, name) = open(link, queue, wait).await?;
    let passive = QueueDeclareOptions::default().passive();
    let declared = live.answer(channel.queue_declare(name, passive, FieldTable::default())).await;
    let declared = declared.map_err(unavailable)?.map_err(|error| explain(&error, queue))?;
    Ok(declared.message_count().into())
}

async fn open(
    link: &Watcher,
    queue: &str,
    wait: Duration,
) -> Result<(Arc<Live>, Channel, ShortString), DeadLetterError> {
    let Ok(name) = ShortString::try_new(queue) else {
        return Err(DeadLetterError::NoQueue { queue: queue.to_owned() });
    };
    let live = match link.clone().live_within(wait).await {
        Ok(live) => live,
        Err(Absence::Closed) => return Err(unavailable("it is closed".to_owned())),
        Err(Absence::Away) => return Err(unavailable(format!("no connection within {wait:?}"))),
    };
    let channel = live.channel().await.map_err(unavailable)?;
    Ok((live, channel, name))
}

#[async_trait]
impl Hand for RabbitHand {
    async fn next(&mut self) -> Result<Option<Held>, DeadLetterError> {
        if self.asked.is_empty() {
            for _ in 0..AHEAD {
                let (channel, queue) = (self.channel.clone(), self.queue.clone());
                self.asked
                    .push_back(Box::pin(async move { channel.basic_get(queue, BasicGetOptions::default()).await }));
            }
        }
        let taken = self.live.answer(self.asked.next()).await.map_err(unavailable)?;
        let taken = taken.transpose().map_err(|error| explain(&error, self.queue.as_str()))?.flatten();
        Ok(taken.map(|taken| {
            let left = taken.message_count.into();
            let (number, message) = (taken.delivery.delivery_tag, properties::message(taken.delivery));
            Held { number, message: Arc::new(message), left }
        }))
    }

    async fn remove(&mut self, number: u64) -> Result<(), DeadLetterError> {
        let acked = self.live.answer(self.channel.basic_ack(number, BasicAckOptions::default())).await;
        acked.map_err(unavailable)?.map_err(|error| explain(&error, self.queue.as_str()))
    }

    async fn end(self: Box<Self>) {
        let ending = async {
            // Closing the channel gives everything back too, and does not wait until the queue was told.
            let all = BasicNackOptions { multiple: true, requeue: true };
            self.channel.basic_nack(0, all).await?;
            self.channel.close(200, "done".into()).await
        };
        // An error means that the connection is lost, and everything went back with it.
        let ended = self.live.answer(ending).await;
        tracing::trace!(?ended, "hand closed");
    }
}

fn unavailable(reason: String) -> DeadLetterError {
    DeadLetterError::Unavailable { reason }
}

fn explain(error: &lapin::Error, queue: &str) -> DeadLetterError {
    match Refusal::of(error) {
        Some(refusal) if refusal.code == NOT_FOUND => DeadLetterError::NoQueue { queue: queue.to_owned() },
        Some(refusal) if refusal.code == ACCESS_REFUSED => DeadLetterError::Forbidden { reason: refusal.text },
        _ => unavailable(error.to_string()),
    }
}
