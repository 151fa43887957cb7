use sap_comm_core::Timestamp;
use serde::Serialize;

/// How a broker is, for health checks and admin pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BrokerHealth {
    /// Whether it can take events now.
    pub state: BrokerState,
    /// When that state began.
    pub since: Timestamp,
    /// Publishes that wait for their confirm.
    pub pending: usize,
    /// The last thing that went wrong, kept after it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Whether a broker can take events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BrokerState {
    /// Events flow.
    Connected,
    /// A connection is lost and being made again.
    Reconnecting,
    /// Connected, and the broker refuses messages: its memory or disk is short.
    Blocked,
    /// Closed for good.
    Closed,
}

impl BrokerHealth {
    /// Whether events flow.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == BrokerState::Connected
    }
}
