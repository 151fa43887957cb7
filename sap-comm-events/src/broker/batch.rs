//! Publishing many events at once.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all, ready},
};
use sap_comm_core::EventPayload;
use tokio::{task::coop::consume_budget, time::Instant};

use super::{
    Broker, Confirmation, PublishError, PublishOptions,
    publish::{Origin, Outgoing, Stage, UnderWay},
};
use crate::{backend::Handed, message::Message, topology::Target};

/// More room than for so many is made when they come.
const EXPECTED: usize = 1_024;

type Outcome = Result<Confirmation, PublishError>;
/// An event that was handed over, or why it cannot be.
type Started<'a> = Result<(UnderWay<'a>, Stage), PublishError>;

impl Broker {
    /// Publishes payloads as new events of this service, as [`Broker::publish`] does each, all of them caused by one context;
    /// returns what became of each, in their order.
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
        let origin = Origin::of(exchange, T::KIND);
        let events = events.into_iter();
        let expected = events.size_hint().0.min(EXPECTED);
        let (mut begun, mut messages) = (Vec::with_capacity(expected), Vec::with_capacity(expected));
        for (payload, options) in events {
            begun.push(self.prepare_new(&origin, payload, options).map(|Outgoing { under_way, message, terms }| {
                let waiting = match terms.delay {
                    None => {
                        messages.push(message);
                        None
                    }
                    Some(_) => Some(message),
                };
                (under_way, terms, waiting)
            }));
        }
        let now = Instant::now();
        let mut handed = self.backend().publish_all_now(origin.target(), messages).into_iter();
        let started = begun.into_iter().map(|begun| {
            let (under_way, terms, waiting) = begun?;
            let handed = waiting.map(Handed::Back).or_else(|| handed.next());
            let handed = handed.unwrap_or(Handed::Done(Err(PublishError::Closed)));
            Ok((under_way, terms.stage(handed, || now)))
        });
        let started: Vec<Started<'_>> = started.collect();
        // One that never has to wait would keep other tasks waiting.
        consume_budget().await;
        if started.iter().flatten().any(|(_, stage)| matches!(stage, Stage::Waiting { .. })) {
            return self.finish_together(origin.target(), started).await;
        }
        let mut outcomes = Vec::with_capacity(started.len());
        for started in started {
            outcomes.push(match started {
                Ok((under_way, Stage::Done(outcome))) => under_way.end(outcome),
                Ok((under_way, stage)) => self.finish(origin.target(), under_way, stage).await,
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    /// Waits for all at once; what has to wait for room until the same time waits for it together.
    async fn finish_together(&self, target: &Target, started: Vec<Started<'_>>) -> Vec<Outcome> {
        let mut groups: BTreeMap<Instant, Vec<(usize, UnderWay<'_>, Arc<Message>)>> = BTreeMap::new();
        let mut finishing: Vec<BoxFuture<'_, Vec<(usize, Outcome)>>> = Vec::new();
        for (at, started) in started.into_iter().enumerate() {
            match started {
                Ok((under_way, Stage::Waiting { message, delay: None, deadline, .. })) => {
                    groups.entry(deadline).or_default().push((at, under_way, message));
                }
                Ok((under_way, stage)) => {
                    finishing
                        .push(self.finish(target, under_way, stage).map(move |outcome| vec![(at, outcome)]).boxed());
                }
                Err(error) => finishing.push(ready(vec![(at, Err(error))]).boxed()),
            }
        }
        finishing.extend(groups.into_iter().map(|(deadline, group)| {
            let (ends, messages): (Vec<_>, Vec<_>) =
                group.into_iter().map(|(at, under_way, message)| ((at, under_way), message)).unzip();
            let published = self.backend().publish_all(target.clone(), messages, deadline);
            let end = |outcomes: Vec<_>| {
                let ended = ends.into_iter().zip(outcomes);
                ended.map(|((at, under_way), outcome)| (at, under_way.end(outcome))).collect()
            };
            published.map(end).boxed()
        }));
        let mut outcomes: Vec<_> = join_all(finishing).await.into_iter().flatten().collect();
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}
