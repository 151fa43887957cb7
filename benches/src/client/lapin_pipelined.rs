//! lapin, used as well as it can be: many publishes started together, one acknowledgement for many deliveries.

use std::{ops::Range, sync::Arc};

use futures_util::{StreamExt, future::try_join_all};
use lapin::{Channel, Consumer, options::BasicAckOptions};

use super::{
    BATCH, Publisher,
    topology::{Confirms, Wire, publish},
};
use crate::{Arrivals, BenchError, Figures, Setting, event::PlainEvent};

pub(super) async fn run(setting: &Setting, arrivals: &Arc<Arrivals>) -> Result<Figures, BenchError> {
    let wire = Wire::connect(setting).await?;
    let consuming = tokio::spawn(consume(wire.consumer.clone(), Arc::clone(arrivals), setting.ack_every));
    let channel = wire.publishing.clone();
    let mut publisher = Chunked { channel, window: setting.window, confirms: Confirms::default() };
    let driven = setting.load.drive(&mut publisher, arrivals).await;
    wire.finish(consuming).await?;
    driven
}

async fn consume(mut consumer: Consumer, arrivals: Arc<Arrivals>, ack_every: usize) -> Result<(), BenchError> {
    let mut unsettled = 0;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.map_err(BenchError::refused("consume"))?;
        let event: PlainEvent = serde_json::from_slice(&delivery.data).map_err(BenchError::refused("decode"))?;
        unsettled += 1;
        if arrivals.record(event.data.number) || unsettled == ack_every {
            unsettled = 0;
            delivery.ack(BasicAckOptions { multiple: true }).await.map_err(BenchError::refused("acknowledge"))?;
        }
    }
    Ok(())
}

struct Chunked {
    channel: Channel,
    window: usize,
    confirms: Confirms,
}

impl Publisher for Chunked {
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError> {
        let mut rest = numbers;
        while !rest.is_empty() {
            let chunk: Vec<u32> = rest.by_ref().take(BATCH).collect();
            self.confirms.settle(self.window.saturating_sub(chunk.len())).await?;
            let started = chunk.into_iter().map(|number| publish(&self.channel, number));
            let sent = try_join_all(started).await?;
            sent.into_iter().for_each(|confirm| self.confirms.push(confirm));
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        self.confirms.settle(0).await
    }
}
