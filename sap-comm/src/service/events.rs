use sap_comm_core::EventPayload;
use sap_comm_events::{Broker, PublishError};
use serde::{Deserialize, Serialize};

/// The exchange of system events.
const EXCHANGE: &str = "system.events";

/// A service has started: it listens, and its subscriptions are in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventPayload)]
#[event(type = "service.started", kind = "system")]
#[serde(rename_all = "camelCase")]
pub struct ServiceStarted {
    /// The service.
    pub service: String,
    /// This process among those of the service.
    pub instance: String,
    /// Where it listens.
    pub endpoint: String,
}

/// A service begins to drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventPayload)]
#[event(type = "service.stopping", kind = "system")]
#[serde(rename_all = "camelCase")]
pub struct ServiceStopping {
    /// The service.
    pub service: String,
    /// This process among those of the service.
    pub instance: String,
}

/// Publishes a system event. Nobody need listen, and a broker that is away must not keep a service from starting.
pub(super) async fn announce(broker: &Broker, payload: impl EventPayload) {
    match broker.publish(EXCHANGE, payload).await {
        Ok(_) | Err(PublishError::Unroutable { .. }) => {}
        Err(error) => tracing::warn!(%error, "system event not published"),
    }
}
