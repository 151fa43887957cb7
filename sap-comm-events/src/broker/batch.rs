//! Publishing many events at once.

use futures_util::future::join_all;
use sap_comm_core::EventPayload;

use super::{Broker, Confirmation, PublishError, PublishOptions, publish::Started};

impl Broker {
    /// Publishes payloads as new events of this service, as [`Broker::publish`] does each; returns what became of each, in
    /// their order.
    ///
    /// They are started together and in their order, which they keep while no publish waits for room (see
    /// [`BrokerConfig::queue_capacity`](crate::BrokerConfig::queue_capacity)). One that fails keeps no other from being
    /// published. Returns within the publish deadline or the context's, whichever is earlier. Dropping the future may or may
    /// not stop events of the batch.
    ///
    /// ```
    /// # use sap_comm_core::{Event, EventPayload};
    /// # use sap_comm_events::{Broker, BrokerConfig, EventRouter};
    /// # #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// # #[event(type = "user.created")]
    /// # struct UserCreated { id: u32 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = Broker::connect("memory://", BrokerConfig::new("user-service")).await?;
    /// # let router = EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) });
    /// # let subscription = broker.subscribe("user.events", router).await?;
    /// let users = (1..=100).map(|id| UserCreated { id });
    /// for outcome in broker.publish_batch("user.events", users).await {
    ///     outcome?;
    /// }
    /// # subscription.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Each outcome as of [`Broker::publish`].
    pub async fn publish_batch<T: EventPayload>(
        &self,
        exchange: &str,
        payloads: impl IntoIterator<Item = T>,
    ) -> Vec<Result<Confirmation, PublishError>> {
        let events = payloads.into_iter().map(|payload| (payload, PublishOptions::new()));
        self.publish_batch_with(exchange, events).await
    }

    /// Like [`Broker::publish_batch`], each with options of its own. Returns by the latest of their deadlines.
    ///
    /// # Errors
    /// Each outcome as of [`Broker::publish_with`].
    pub async fn publish_batch_with<T: EventPayload>(
        &self,
        exchange: &str,
        events: impl IntoIterator<Item = (T, PublishOptions)>,
    ) -> Vec<Result<Confirmation, PublishError>> {
        let events = events.into_iter().map(|(payload, options)| self.start_new(exchange, payload, options));
        let started: Vec<_> = events.collect();
        let finish = async |started: Result<Started<'_>, PublishError>| self.finish(started?).await;
        if started.iter().flatten().any(Started::is_waiting) {
            return join_all(started.into_iter().map(finish)).await;
        }
        let mut outcomes = Vec::with_capacity(started.len());
        for started in started {
            outcomes.push(finish(started).await);
        }
        outcomes
    }
}
