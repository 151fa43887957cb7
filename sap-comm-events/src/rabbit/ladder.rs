//! Declaring the ladder of delays.

use std::ops::RangeInclusive;

use super::{
    declare::{DeclareError, declare_exchange, said_classic},
    link::Live,
    rungs::{self, DUE, TO},
};
use crate::{
    amqp::{Channel, Error, ExchangeOptions, QueueOptions, Value},
    topology::ExchangeKind,
};

/// Declares `rungs`, from below, and the way from the last to exchange `to`; on a channel of its own, since a refusal ends it.
pub(super) async fn declare_ladder(
    live: &Live,
    rungs: RangeInclusive<u32>,
    to: &str,
    kind: ExchangeKind,
) -> Result<(), DeclareError> {
    declare_exchange(live, to, kind).await?;
    let channel = live.channel().await.map_err(DeclareError::Connection)?;
    let declaring = async {
        headers_exchange(&channel, DUE, &[]).await?;
        let bound = channel.bind_exchange(to, DUE, "", &wants(TO, to)).await;
        bound.map_err(|error| DeclareError::of(&error, || format!("binding of exchange {to:?}")))
    };
    live.answer(declaring).await.map_err(DeclareError::Connection)??;
    for number in rungs {
        live.answer(rung(live, &channel, number)).await.map_err(DeclareError::Connection)??;
    }
    Ok(())
}

async fn rung(live: &Live, channel: &Channel, rung: u32) -> Result<(), DeclareError> {
    let (name, below) = (rungs::name(rung), rungs::below(rung));
    headers_exchange(channel, &name, &[("alternate-exchange", Value::text(&below))]).await?;
    let held = i64::try_from(rungs::held(rung).as_millis()).unwrap_or(i64::MAX);
    // Without a routing key of its own: messages keep theirs.
    let mut arguments = vec![("x-message-ttl", Value::Int(held)), ("x-dead-letter-exchange", Value::text(&below))];
    arguments.extend(said_classic(live.version().ok()));
    let failed = |error: Error| DeclareError::of(&error, || format!("queue {name:?}"));
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    channel.declare_queue(&name, options, &arguments).await.map_err(failed)?;
    channel.bind_queue(&name, &name, "", &wants(&rungs::header(rung), "1")).await.map_err(failed)
}

async fn headers_exchange(channel: &Channel, name: &str, arguments: &[(&str, Value<'_>)]) -> Result<(), DeclareError> {
    let options = ExchangeOptions { durable: true, ..ExchangeOptions::default() };
    let declared = channel.declare_exchange(name, "headers", options, arguments).await;
    declared.map_err(|error| DeclareError::of(&error, || format!("exchange {name:?}")))
}

/// Matches messages with that header.
fn wants<'a>(header: &'a str, value: &'a str) -> [(&'a str, Value<'a>); 2] {
    [("x-match", Value::text("all")), (header, Value::text(value))]
}
