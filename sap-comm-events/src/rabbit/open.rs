//! A channel that consumes.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    message::Delivery as AmqpDelivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    acks::Acks,
    declare::{DeclareError, declare},
    held::Held,
    link::Live,
    properties, stream,
};
use crate::{
    backend::{Delivery, Limits},
    subscription::Reading,
    topology::Topology,
};

/// The consumers of one subscription in one generation of the connection.
pub(super) struct Open {
    pub(super) live: Arc<Live>,
    channel: Channel,
    /// Each with its queue.
    consumers: Vec<(Arc<str>, Consumer)>,
    /// Whose turn it is to be asked first.
    turn: usize,
    tags: Vec<lapin::types::ShortString>,
    pub(super) acks: Acks,
    held: Arc<Mutex<Held>>,
    concurrency: usize,
    stream: Option<(Arc<Reading>, CancellationToken)>,
}

/// A queue and what came from it; `None` once a consumer has ended.
type Item = Option<(Arc<str>, AmqpDelivery)>;

impl Open {
    /// Declares the topology and starts consuming.
    pub(super) async fn start(
        live: Arc<Live>,
        topology: &Topology,
        limits: Limits,
        held: &Arc<Mutex<Held>>,
    ) -> Result<Self, DeclareError> {
        let channel = live.channel().await.map_err(DeclareError::Connection)?;
        declare(&live, &channel, topology).await?;
        let failed = |error: lapin::Error| DeclareError::of_consuming(&error);
        let qos = channel.basic_qos(limits.prefetch, BasicQosOptions::default());
        live.answer(qos).await.map_err(DeclareError::Connection)?.map_err(failed)?;
        held.lock().renew();
        let acks = Acks::start(channel.clone(), Arc::clone(held));
        let (mut consumers, mut tags) = (Vec::new(), Vec::new());
        let (mut arguments, mut stream) = (FieldTable::default(), None);
        if let Some(reading) = &topology.stream {
            let (offset, given_back) = reading.begin();
            arguments = stream::arguments(offset);
            stream = Some((Arc::clone(reading), given_back));
        }
        for queue in &topology.consumed {
            let (name, options) = ((&**queue).into(), BasicConsumeOptions::default());
            let consuming = channel.basic_consume(name, "".into(), options, arguments.clone());
            let consumer = live.answer(consuming).await.map_err(DeclareError::Connection)?.map_err(failed)?;
            tags.push(consumer.tag());
            consumers.push((Arc::clone(queue), consumer));
        }
        let (held, concurrency) = (Arc::clone(held), limits.concurrency);
        Ok(Self { live, channel, consumers, turn: 0, tags, acks, held, concurrency, stream })
    }

    /// The next delivery; `None` once any consumer has ended, or an event of a stream was given back. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        if self.is_over() {
            return None;
        }
        // Most come in crowds, and then there is nothing to wait for.
        let item = match poll_fn(|cx| self.poll_item(cx)).now_or_never() {
            Some(item) => item,
            None => self.wait().await,
        };
        item.map(|(queue, delivery)| self.delivery(queue, delivery))
    }

    fn is_over(&self) -> bool {
        let given_back = self.stream.as_ref().is_some_and(|(_, given_back)| given_back.is_cancelled());
        self.live.lost.is_cancelled() || given_back
    }

    async fn wait(&mut self) -> Item {
        let (live, stream) = (Arc::clone(&self.live), self.stream.as_ref().map(|(_, given_back)| given_back.clone()));
        let given_back = async {
            match &stream {
                Some(given_back) => given_back.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = live.lost.cancelled() => None,
            () = given_back => None,
            item = poll_fn(|cx| self.poll_item(cx)) => item,
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Item> {
        let (first, count) = (self.turn, self.consumers.len());
        for step in 0..count {
            let at = (first + step) % count;
            let Some((queue, consumer)) = self.consumers.get_mut(at) else { continue };
            match consumer.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(delivery))) => {
                    self.turn = at + 1;
                    return Poll::Ready(Some((Arc::clone(queue), delivery)));
                }
                Poll::Ready(ended) => {
                    let error = ended.and_then(Result::err);
                    tracing::debug!(
                        error = error.as_ref().map(tracing::field::display),
                        queue = &**queue,
                        "the consumer ended"
                    );
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Stops consuming; what was delivered and not taken goes back.
    pub(super) async fn cancel(&mut self) {
        for tag in std::mem::take(&mut self.tags) {
            let cancelled = self.live.answer(self.channel.basic_cancel(tag, BasicCancelOptions::default())).await;
            if !matches!(cancelled, Ok(Ok(()))) {
                // The connection is lost, and everything went back with it.
                return;
            }
        }
        for (queue, mut consumer) in std::mem::take(&mut self.consumers) {
            while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
                drop(self.delivery(Arc::clone(&queue), delivery));
            }
        }
    }

    /// Waits until settlements are with the broker, then closes the channel.
    pub(super) async fn finish(self) {
        self.acks.flush().await;
        self.close().await;
    }

    /// Closes the channel; what is not settled goes back.
    pub(super) async fn close(self) {
        // An error means that the connection is lost.
        let closed = self.live.answer(self.channel.close(200, "done".into())).await;
        tracing::trace!(?closed, "consuming channel closed");
    }

    fn delivery(&self, queue: Arc<str>, delivery: AmqpDelivery) -> Delivery {
        let (tag, redelivered) = (delivery.delivery_tag, delivery.redelivered);
        let count = properties::delivery_count(&delivery.properties);
        let offset = stream::offset(&delivery.properties);
        let message = properties::message(delivery);
        let redelivered = self.held.lock().take(&message.id, redelivered, count, self.concurrency);
        let mut settlement = self.acks.settlement(tag, message.id.clone());
        if let (Some((reading, _)), Some(offset)) = (&self.stream, offset) {
            reading.take(offset);
            settlement = Box::new(stream::Read { reading: Arc::clone(reading), offset, settlement: Some(settlement) });
        }
        Delivery { message: Arc::new(message), queue, redelivered, settlement }
    }
}
