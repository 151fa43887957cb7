use sap_comm_core::Timestamp;
use serde::Serialize;

/// An event in an outbox that could not be published so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailingEvent {
    /// Its number in the outbox, for [`Outbox::discard`](super::Outbox::discard).
    pub number: i64,
    /// The event's id.
    pub event_id: String,
    /// Where it should go.
    pub exchange: String,
    /// Its ordering key; events of the same key wait behind it.
    pub key: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub error: String,
    /// When it was written.
    pub written_at: Timestamp,
}
