//! Reading a stream: where to begin, and settling what came from it.

use std::sync::Arc;

use crate::{StreamOffset, amqp::Value, backend::Settlement, subscription::Reading};
use async_trait::async_trait;

/// The argument of a consumer and the header of a delivery.
pub(super) const OFFSET: &str = "x-stream-offset";

/// The argument with which a consumer begins at `offset`.
pub(super) fn argument(offset: StreamOffset) -> (&'static str, Value<'static>) {
    let value = match offset {
        StreamOffset::First => Value::text("first"),
        StreamOffset::Last => Value::text("last"),
        StreamOffset::Next => Value::text("next"),
        StreamOffset::Timestamp(at) => Value::Timestamp(u64::try_from(at.as_secs()).unwrap_or(0)),
        StreamOffset::Number(number) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
    };
    (OFFSET, value)
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
    #[cfg(feature = "otel")]
    fn tag(&self) -> Option<u64> {
        self.settlement.as_ref().and_then(|settlement| settlement.tag())
    }

    fn is_void(&self) -> bool {
        self.settlement.as_ref().is_none_or(|settlement| settlement.is_void())
    }

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
        // One of a channel that is gone is read again as it is; it may be in hand again already.
        if self.settlement.as_ref().is_some_and(|settlement| !settlement.is_void()) {
            self.reading.give_back(self.offset);
        }
    }
}
