//! The broker under measurement, in a virtual host of its own.

use std::{fmt::Display, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use sap_comm::{
    Event,
    events::{Broker, BrokerConfig, EventRouter, SubscriptionHandle},
};
use sap_comm_benches::event::{EXCHANGE, SOURCE, Sized};
use sap_comm_testkit::RabbitNode;
use tokio::sync::{Semaphore, watch};

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    RabbitMq,
}

/// A broker, with a queue that wants the events.
#[derive(Debug)]
pub(crate) struct Subject {
    broker: Broker,
    window: usize,
}

/// A consumer that counts, once it is let to.
#[derive(Debug)]
pub(crate) struct Counter {
    gate: Arc<Semaphore>,
    count: watch::Receiver<u64>,
    handle: SubscriptionHandle,
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

impl Subject {
    /// Ends the program when it cannot: a bench has nobody to report an error to.
    pub(crate) async fn connect(place: Place, window: u16) -> Self {
        let url = match place {
            Place::Memory => "memory://".to_owned(),
            Place::RabbitMq => or_end(or_end(RabbitNode::shared().await).new_vhost().await),
        };
        // A run publishes whole before it consumes, so that the in-memory queue must hold it.
        let capacity = if place == Place::Memory { 1 << 24 } else { 10_000 };
        let config = BrokerConfig::new(SOURCE).window(window.into()).prefetch(window).queue_capacity(capacity);
        let subject = Self { broker: or_end(Broker::connect(&url, config).await), window: window.into() };
        // From now on there is a queue.
        subject.counter().await.stop().await;
        subject
    }

    /// Publishes ahead of the confirms, up to the window.
    pub(crate) async fn publish(&self, payload: &Sized, events: u64) {
        if self.window == 1 {
            for _ in 0..events {
                or_end(self.broker.publish(EXCHANGE, payload.clone()).await);
            }
            return;
        }
        let publish = |_| self.broker.publish(EXCHANGE, payload.clone());
        let mut published = stream::iter(0..events).map(publish).buffer_unordered(self.window);
        while let Some(confirmed) = published.next().await {
            or_end(confirmed);
        }
    }

    /// Subscribes; events are held back until [`Counter::open`].
    pub(crate) async fn counter(&self) -> Counter {
        let gate = Arc::new(Semaphore::new(0));
        let (sender, count) = watch::channel(0);
        let (sender, held) = (Arc::new(sender), Arc::clone(&gate));
        let router = EventRouter::new().on(move |_: Event<Sized>| {
            let (sender, held) = (Arc::clone(&sender), Arc::clone(&held));
            async move {
                drop(held.acquire().await?);
                sender.send_modify(|count| *count += 1);
                Ok(())
            }
        });
        Counter { gate, count, handle: or_end(self.broker.subscribe(EXCHANGE, router).await) }
    }

    pub(crate) async fn close(&self) {
        self.broker.close(Duration::from_secs(10)).await;
    }
}

impl Counter {
    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }

    /// Waits until so many events were handled since the subscription.
    pub(crate) async fn reaches(&mut self, events: u64) {
        or_end(self.count.wait_for(|count| *count >= events).await);
    }

    pub(crate) async fn stop(self) {
        self.handle.stop().await;
    }
}

/// The value, or the end of the program with the error.
fn or_end<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(1);
    })
}
