//! A channel that consumes.

use std::sync::Arc;

use futures_util::{StreamExt, stream::SelectAll};
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
    consumers: SelectAll<futures_util::stream::BoxStream<'static, Item>>,
    tags: Vec<lapin::types::ShortString>,
    pub(super) acks: Acks,
    held: Arc<Mutex<Held>>,
    concurrency: usize,
    stream: Option<(Arc<Reading>, CancellationToken)>,
}

/// What a consumer's stream yields: the queue and a delivery, or the consumer's end.
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
        let (mut consumers, mut tags) = (SelectAll::new(), Vec::new());
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
            consumers.push(deliveries(consumer, Arc::clone(queue)));
        }
        let (held, concurrency) = (Arc::clone(held), limits.concurrency);
        Ok(Self { live, channel, consumers, tags, acks, held, concurrency, stream })
    }

    /// The next delivery; `None` once any consumer has ended, or an event of a stream was given back. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        let given_back = async {
            match &self.stream {
                Some((_, given_back)) => given_back.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let item = tokio::select! {
            biased;
            () = self.live.lost.cancelled() => None,
            () = given_back => None,
            item = self.consumers.next() => item.flatten(),
        };
        item.map(|(queue, delivery)| self.delivery(queue, delivery))
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
        use futures_util::FutureExt;
        while let Some(Some(item)) = self.consumers.next().now_or_never() {
            if let Some((queue, delivery)) = item {
                drop(self.delivery(queue, delivery));
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

/// The deliveries of one consumer, and then its end.
fn deliveries(consumer: Consumer, queue: Arc<str>) -> futures_util::stream::BoxStream<'static, Item> {
    let deliveries = consumer.map(move |item| match item {
        Ok(delivery) => Some((Arc::clone(&queue), delivery)),
        Err(error) => {
            tracing::debug!(%error, queue = &*queue, "the consumer ended");
            None
        }
    });
    deliveries.chain(futures_util::stream::once(async { None })).boxed()
}
