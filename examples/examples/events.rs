//! Events: published, consumed by two groups, a poisoned one retried and dead-lettered.
//!
//! `cargo run --example events`, or with a RabbitMQ: `cargo run --example events -- amqp://guest:guest@localhost`.

use std::time::Duration;

use sap_comm::{
    BoxError, Event, EventPayload,
    events::{Broker, BrokerConfig, EventRouter, HandlerError, Subscription},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Debug, Serialize, Deserialize, EventPayload)]
#[event(type = "order.placed")]
struct OrderPlaced {
    amount: i64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://".to_owned());
    let config = BrokerConfig::new("shop").retry_delays([Duration::from_millis(100)]).max_attempts(2);
    let broker = Broker::connect(&url, config).await?;

    let (done, mut wait) = mpsc::channel(8);
    let billed = done.clone();
    let billing = EventRouter::new().on(move |event: Event<OrderPlaced>| {
        let billed = billed.clone();
        async move {
            if event.data.amount < 0 {
                return Err(HandlerError::retry("a negative amount"));
            }
            println!("billing: {}", event.data.amount);
            Ok(billed.send(()).await?)
        }
    });
    let audit = EventRouter::new().otherwise(|event| async move {
        println!("audit:   {} {}", event.event_type, event.data);
        Ok(())
    });
    let failures = EventRouter::new().otherwise(move |event| {
        let done = done.clone();
        async move {
            println!("failure: {}", event.data);
            Ok(done.send(()).await?)
        }
    });
    let subscriptions = [
        broker.subscribe(Subscription::new("order.events").group("billing"), billing).await?,
        broker.subscribe(Subscription::new("order.events").group("audit"), audit).await?,
        broker.subscribe(Subscription::new("error.events").ephemeral(), failures).await?,
    ];
    for amount in [12, -1] {
        broker.publish("order.events", OrderPlaced { amount }).await?;
        wait.recv().await;
    }
    for subscription in subscriptions {
        subscription.stop().await;
    }
    for letter in broker.dead_letters("order.events", "billing").peek(10).await? {
        println!("dead:    {} after {} attempts: {}", letter.event_type, letter.attempts, letter.reason);
    }
    broker.close(Duration::from_secs(1)).await;
    Ok(())
}
