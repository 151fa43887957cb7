//! Declaring the ladder of delays.

use std::ops::RangeInclusive;

use super::{
    declare::{DeclareError, Declaring, Whose},
    link::Live,
    rungs::{self, DUE, TO},
};
use crate::{
    amqp::Value,
    topology::{Argument, Binding, ExchangeKind, ExchangeSpec, QueueSpec},
};

/// Declares `rungs`, from below, and the way from the last to exchange `to`.
pub(super) async fn declare_ladder(
    live: &Live,
    rungs: RangeInclusive<u32>,
    to: &str,
    kind: ExchangeKind,
) -> Result<(), DeclareError> {
    let mut declaring = Declaring::start(live).await?;
    declaring.exchange(&ExchangeSpec::new(to, kind), &[]).await?;
    declaring.exchange(&headers_exchange(DUE.to_owned()), &[]).await?;
    // Whether somebody else bound it cannot be asked for, and what is due would be lost.
    declaring.exchange_binding(to, DUE, &wants(TO, to)).await?;
    for number in rungs {
        rung(&mut declaring, number).await?;
    }
    Ok(())
}

async fn rung(declaring: &mut Declaring<'_>, rung: u32) -> Result<(), DeclareError> {
    let (name, below) = (rungs::name(rung), rungs::below(rung));
    let exchange = headers_exchange(name.clone());
    declaring.exchange(&exchange, &[("alternate-exchange", Value::text(&below))]).await?;
    let held = i64::try_from(rungs::held(rung).as_millis()).unwrap_or(i64::MAX);
    // Without a routing key of its own: messages keep theirs.
    let arguments =
        [("x-message-ttl", Argument::Number(held)), ("x-dead-letter-exchange", Argument::Text(below.clone()))];
    let queue = QueueSpec {
        name: name.clone(),
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: arguments.map(|(name, value)| (name.to_owned(), value)).into(),
    };
    let whose = declaring.queue(&queue).await?;
    let binding = Binding { queue: name.clone(), exchange: name, key: String::new() };
    match declaring.queue_binding(&binding, &wants(&rungs::header(rung), "1")).await? {
        None => Ok(()),
        Some(reason) if whose == Whose::Others => {
            tracing::debug!(rung, reason, "the rung may not be bound; whoever declared it has done so");
            Ok(())
        }
        Some(reason) => Err(DeclareError::Forbidden(reason)),
    }
}

fn headers_exchange(name: String) -> ExchangeSpec {
    ExchangeSpec { name, kind: "headers".to_owned(), durable: true }
}

/// Matches messages with that header.
fn wants<'a>(header: &'a str, value: &'a str) -> [(&'a str, Value<'a>); 2] {
    [("x-match", Value::text("all")), (header, Value::text(value))]
}
