//! The connections and the queue of the lapin peers, alike those of ours: one connection to publish, one to consume.

use std::collections::VecDeque;

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind, PublisherConfirm,
    options::{
        BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use sap_comm::EventPayload;

use tokio::task::JoinHandle;

use crate::{
    BenchError, QueueKind, Setting, UserCreated,
    event::{EXCHANGE, GROUP, PlainEvent, TRACE_PARENT},
};

const PERSISTENT: u8 = 2;
const TAG: &str = "bench";

/// Both sides of a lapin client.
pub(super) struct Wire {
    pub(super) publishing: Channel,
    pub(super) consumer: Consumer,
    consuming: Channel,
    connections: [Connection; 2],
}

impl Wire {
    pub(super) async fn connect(setting: &Setting) -> Result<Self, BenchError> {
        Self::open(setting).await.map_err(BenchError::refused("connect"))
    }

    async fn open(setting: &Setting) -> lapin::Result<Self> {
        let connect = || Connection::connect(&setting.url, ConnectionProperties::default());
        let connections = [connect().await?, connect().await?];
        let [publishing, consuming] = [connections[0].create_channel().await?, connections[1].create_channel().await?];
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        consuming.basic_qos(setting.prefetch, BasicQosOptions::default()).await?;

        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        consuming.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none()).await?;
        let mut arguments = none();
        if setting.queue == QueueKind::Quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        let queue = format!("{EXCHANGE}.{GROUP}");
        consuming.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
        let key = UserCreated::TYPE.into();
        consuming.queue_bind(queue.as_str().into(), EXCHANGE.into(), key, QueueBindOptions::default(), none()).await?;
        let options = BasicConsumeOptions::default();
        let consumer = consuming.basic_consume(queue.as_str().into(), TAG.into(), options, none()).await?;
        Ok(Self { publishing, consumer, consuming, connections })
    }

    /// Ends the consumer once it has acknowledged what it holds, then closes.
    pub(super) async fn finish(self, consumer: JoinHandle<Result<(), BenchError>>) -> Result<(), BenchError> {
        let cancelled = self.consuming.basic_cancel(TAG.into(), BasicCancelOptions::default()).await;
        cancelled.map_err(BenchError::refused("cancel the consumer"))?;
        consumer.await.map_err(BenchError::refused("consume"))??;
        for connection in self.connections {
            connection.close(200, "done".into()).await.map_err(BenchError::refused("close"))?;
        }
        Ok(())
    }
}

/// Publishes one event with the properties and headers of ours; the future ends when its bytes have left.
pub(super) async fn publish(channel: &Channel, number: u32) -> Result<PublisherConfirm, BenchError> {
    let event = PlainEvent::numbered(number);
    let body = serde_json::to_vec(&event).map_err(BenchError::refused("encode"))?;
    let mut headers = FieldTable::default();
    headers.insert("kind".into(), AMQPValue::LongString("domain".into()));
    headers.insert("traceparent".into(), AMQPValue::LongString(TRACE_PARENT.into()));
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_timestamp(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default())
        .with_app_id(event.source.into())
        .with_message_id(event.id.into())
        .with_correlation_id(event.correlation_id.into())
        .with_type(event.r#type.as_str().into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish(EXCHANGE.into(), event.r#type.into(), options, &body, properties).await;
    sent.map_err(BenchError::refused("publish"))
}

/// The confirms that are still to come, in the order of their messages.
#[derive(Default)]
pub(super) struct Confirms(VecDeque<PublisherConfirm>);

impl Confirms {
    pub(super) fn push(&mut self, confirm: PublisherConfirm) {
        self.0.push_back(confirm);
    }

    /// Waits until no more than `keep` are to come. Cancel safe.
    pub(super) async fn settle(&mut self, keep: usize) -> Result<(), BenchError> {
        while self.0.len() > keep
            && let Some(first) = self.0.front_mut()
        {
            let confirmed = first.await.map_err(BenchError::refused("confirm"))?;
            self.0.pop_front();
            if confirmed != Confirmation::Ack(None) {
                return Err(BenchError::refused("confirm")("the broker nacked or returned an event"));
            }
        }
        Ok(())
    }
}
