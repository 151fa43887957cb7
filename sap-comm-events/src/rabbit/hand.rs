//! Messages taken from a queue one by one, to look at or to move.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::{
    Channel,
    options::{BasicGetOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::{
    acks::Acks,
    link::{Absence, Live, Watcher},
    properties,
    refusal::{ACCESS_REFUSED, NOT_FOUND, Refusal},
};
use crate::{
    DeadLetterError,
    backend::{Delivery, Hand, Redelivered},
};

/// A channel that holds messages; closing it gives back what is not acknowledged.
pub(super) struct RabbitHand {
    live: Arc<Live>,
    channel: Channel,
    acks: Acks,
    messages: Vec<Delivery>,
}

/// Takes up to `limit` messages.
pub(super) async fn fetch(
    link: &Watcher,
    queue: &str,
    limit: usize,
    wait: Duration,
) -> Result<RabbitHand, DeadLetterError> {
    let (live, channel, _) = look(link, queue, wait).await?;
    let acks = Acks::start(channel.clone(), Arc::default());
    let name: Arc<str> = queue.into();
    let mut messages = Vec::new();
    while messages.len() < limit {
        let taken = live.answer(channel.basic_get(queue.into(), BasicGetOptions::default())).await;
        let Some(taken) = taken.map_err(unavailable)?.map_err(|error| explain(&error, queue))? else {
            break;
        };
        let (tag, message) = (taken.delivery.delivery_tag, properties::message(taken.delivery));
        let settlement = acks.settlement(tag, message.id.clone());
        let queue = Arc::clone(&name);
        messages.push(Delivery { message: Arc::new(message), queue, redelivered: Redelivered::No, settlement });
    }
    Ok(RabbitHand { live, channel, acks, messages })
}

/// How many messages are ready in the queue.
pub(super) async fn depth(link: &Watcher, queue: &str, wait: Duration) -> Result<u64, DeadLetterError> {
    look(link, queue, wait).await.map(|(_, _, depth)| depth)
}

/// Opens a channel and looks whether the queue exists.
async fn look(link: &Watcher, queue: &str, wait: Duration) -> Result<(Arc<Live>, Channel, u64), DeadLetterError> {
    let Ok(name) = ShortString::try_new(queue) else {
        return Err(DeadLetterError::NoQueue { queue: queue.to_owned() });
    };
    let live = match link.clone().live_within(wait).await {
        Ok(live) => live,
        Err(Absence::Closed) => return Err(unavailable("it is closed".to_owned())),
        Err(Absence::Away) => return Err(unavailable(format!("no connection within {wait:?}"))),
    };
    let channel = live.channel().await.map_err(unavailable)?;
    let passive = QueueDeclareOptions::default().passive();
    let declared = live.answer(channel.queue_declare(name, passive, FieldTable::default())).await;
    let declared = declared.map_err(unavailable)?.map_err(|error| explain(&error, queue))?;
    Ok((live, channel, declared.message_count().into()))
}

#[async_trait]
impl Hand for RabbitHand {
    fn take(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.messages)
    }

    async fn end(mut self: Box<Self>) {
        self.messages.clear();
        self.acks.flush().await;
        // An error means that the connection is lost, and everything went back with it.
        let closed = self.live.answer(self.channel.close(200, "done".into())).await;
        tracing::trace!(?closed, "hand closed");
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
