use sap_comm::{
    RawEvent,
    events::{Broker, EventRouter, Subscription, SubscriptionHandle},
};
use tokio::{sync::mpsc, time::timeout};

use super::expect::PATIENCE;
use crate::deps::StartError;

/// Watches what nobody is told over HTTP: system events and error events.
#[derive(Debug)]
pub(super) struct Observer {
    events: mpsc::Receiver<RawEvent>,
    /// Seen while looking for something else.
    seen: Vec<RawEvent>,
    subscriptions: Vec<SubscriptionHandle>,
}

impl Observer {
    pub(super) async fn subscribe(broker: &Broker) -> Result<Self, StartError> {
        let (sender, events) = mpsc::channel(1_024);
        let mut subscriptions = Vec::new();
        for exchange in ["system.events", "error.events"] {
            let sender = sender.clone();
            let router = EventRouter::new().otherwise(move |event: RawEvent| {
                let sender = sender.clone();
                async move { sender.send(event).await.map_err(Into::into) }
            });
            subscriptions.push(broker.subscribe(Subscription::new(exchange).ephemeral(), router).await?);
        }
        Ok(Self { events, seen: Vec::new(), subscriptions })
    }

    /// The first event that `wanted` takes, among those that came and those that come.
    pub(super) async fn find(
        &mut self,
        what: &str,
        wanted: impl Fn(&RawEvent) -> bool,
    ) -> Result<RawEvent, StartError> {
        if let Some(place) = self.seen.iter().position(&wanted) {
            return Ok(self.seen.swap_remove(place));
        }
        let search = async {
            while let Some(event) = self.events.recv().await {
                if wanted(&event) {
                    return Some(event);
                }
                self.seen.push(event);
            }
            None
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(format!("the subscription ended before {what}").into()),
            Err(_) => Err(format!("expected {what} within {PATIENCE:?}, saw {:?}", types(&self.seen)).into()),
        }
    }

    pub(super) async fn end(self) {
        for subscription in self.subscriptions {
            subscription.stop().await;
        }
    }
}

fn types(events: &[RawEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}
