//! The floor of an in-memory broker: the same events, boxed, through a bounded channel to one task.

use std::{ops::Range, sync::Arc};

use sap_comm::Event;
use tokio::sync::mpsc;

use super::{IN_MEMORY, Publisher};
use crate::{Arrivals, BenchError, Figures, Setting, UserCreated, event::SOURCE};

pub(super) async fn run(setting: &Setting, arrivals: &Arc<Arrivals>) -> Result<Figures, BenchError> {
    let (sender, mut receiver) = mpsc::channel::<Box<Event<UserCreated>>>(IN_MEMORY);
    let seen = Arc::clone(arrivals);
    let consuming = tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            seen.record(event.data.number);
        }
    });
    let driven = setting.load.drive(&mut Channel(sender), arrivals).await;
    consuming.await.map_err(BenchError::refused("consume"))?;
    driven
}

struct Channel(mpsc::Sender<Box<Event<UserCreated>>>);

impl Publisher for Channel {
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError> {
        for number in numbers {
            let event = Box::new(Event::new(SOURCE, UserCreated::numbered(number)));
            self.0.send(event).await.map_err(BenchError::refused("send"))?;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        Ok(())
    }
}
