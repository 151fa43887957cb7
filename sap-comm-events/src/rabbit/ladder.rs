//! Declaring the ladder of delays.

use std::ops::RangeInclusive;

use lapin::{
    Channel,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    declare::{DeclareError, exchange},
    link::Live,
    rungs::{self, DUE, TO},
};
use crate::topology::ExchangeKind;

/// Declares `rungs`, from below, and the way from the last to exchange `to`; on a channel of its own, since a refusal ends it.
pub(super) async fn declare_ladder(
    live: &Live,
    rungs: RangeInclusive<u32>,
    to: &str,
    kind: ExchangeKind,
) -> Result<(), DeclareError> {
    let channel = live.channel().await.map_err(DeclareError::Connection)?;
    let declaring = async {
        exchange(&channel, to, kind).await?;
        headers_exchange(&channel, DUE, FieldTable::default()).await?;
        let options = ExchangeBindOptions::default();
        let bound = channel.exchange_bind(to.into(), DUE.into(), "".into(), options, wants(TO, to)).await;
        bound.map_err(|error| DeclareError::of(&error, || format!("binding of exchange {to:?}")))
    };
    live.answer(declaring).await.map_err(DeclareError::Connection)??;
    for number in rungs {
        live.answer(rung(&channel, number)).await.map_err(DeclareError::Connection)??;
    }
    Ok(())
}

async fn rung(channel: &Channel, rung: u32) -> Result<(), DeclareError> {
    let (name, below) = (rungs::name(rung), rungs::below(rung));
    let mut arguments = FieldTable::default();
    arguments.insert("alternate-exchange".into(), text(&below));
    headers_exchange(channel, &name, arguments).await?;
    let mut arguments = FieldTable::default();
    let held = i64::try_from(rungs::held(rung).as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(held));
    // Without a routing key of its own: messages keep theirs.
    arguments.insert("x-dead-letter-exchange".into(), text(&below));
    let failed = |error: lapin::Error| DeclareError::of(&error, || format!("queue {name:?}"));
    channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await.map_err(failed)?;
    let (queue, exchange) = (name.as_str().into(), name.as_str().into());
    let wants = wants(&rungs::header(rung), "1");
    channel.queue_bind(queue, exchange, "".into(), QueueBindOptions::default(), wants).await.map_err(failed)
}

async fn headers_exchange(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), DeclareError> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(name.into(), lapin::ExchangeKind::Headers, options, arguments).await;
    declared.map_err(|error| DeclareError::of(&error, || format!("exchange {name:?}")))
}

/// Matches messages with that header.
fn wants(header: &str, value: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-match".into(), text("all"));
    arguments.insert(header.into(), text(value));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
