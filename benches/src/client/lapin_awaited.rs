//! lapin, as a plain program uses it: a window of confirms, each publish and each acknowledgement awaited.

use std::{ops::Range, sync::Arc};

use futures_util::StreamExt;
use lapin::{Channel, Consumer, options::BasicAckOptions};

use super::{
    Publisher,
    topology::{Confirms, Wire, publish},
};
use crate::{Arrivals, BenchError, Figures, Setting, event::PlainEvent};

pub(super) async fn run(setting: &Setting, arrivals: &Arc<Arrivals>) -> Result<Figures, BenchError> {
    let wire = Wire::connect(setting).await?;
    let consuming = tokio::spawn(consume(wire.consumer.clone(), Arc::clone(arrivals)));
    let channel = wire.publishing.clone();
    let mut publisher = Awaited { channel, window: setting.window, confirms: Confirms::default() };
    let driven = setting.load.drive(&mut publisher, arrivals).await;
    wire.finish(consuming).await?;
    driven
}

async fn consume(mut consumer: Consumer, arrivals: Arc<Arrivals>) -> Result<(), BenchError> {
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.map_err(BenchError::refused("consume"))?;
        let event: PlainEvent = serde_json::from_slice(&delivery.data).map_err(BenchError::refused("decode"))?;
        arrivals.record(event.data.number);
        delivery.ack(BasicAckOptions::default()).await.map_err(BenchError::refused("acknowledge"))?;
    }
    Ok(())
}

struct Awaited {
    channel: Channel,
    window: usize,
    confirms: Confirms,
}

impl Publisher for Awaited {
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError> {
        for number in numbers {
            self.confirms.settle(self.window.saturating_sub(1)).await?;
            let confirm = publish(&self.channel, number).await?;
            self.confirms.push(confirm);
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        self.confirms.settle(0).await
    }
}
