//! Reading a stream: where to begin, and settling what came from it.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::{StreamOffset, backend::Settlement, subscription::Reading};

/// The argument of a consumer and the header of a delivery.
pub(super) const OFFSET: &str = "x-stream-offset";

/// What a consumer says to begin at `offset`.
pub(super) fn arguments(offset: StreamOffset) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let value = match offset {
        StreamOffset::First => text("first"),
        StreamOffset::Last => text("last"),
        StreamOffset::Next => text("next"),
        StreamOffset::Timestamp(at) => AMQPValue::Timestamp(u64::try_from(at.as_secs()).unwrap_or(0)),
        StreamOffset::Number(number) => AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX)),
    };
    let mut arguments = FieldTable::default();
    arguments.insert(OFFSET.into(), value);
    arguments
}

/// Which event of its stream a delivery is.
pub(super) fn offset(properties: &BasicProperties) -> Option<u64> {
    match properties.headers().as_ref()?.inner().get(OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        AMQPValue::LongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}

/// A delivery of a stream: acknowledged, it moves the position on.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) reading: Arc<Reading>,
    pub(super) offset: u64,
    pub(super) settlement: Option<Box<dyn Settlement>>,
}

impl Read {
    fn settled(&mut self) -> Option<Box<dyn Settlement>> {
        self.reading.settle(self.offset);
        self.settlement.take()
    }
}

#[async_trait]
impl Settlement for Read {
    fn ack(mut self: Box<Self>) {
        if let Some(settlement) = self.settled() {
            settlement.ack();
        }
    }

    async fn ack_surely(mut self: Box<Self>) {
        if let Some(settlement) = self.settled() {
            settlement.ack_surely().await;
        }
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if self.settlement.is_some() {
            self.reading.give_back(self.offset);
        }
    }
}
