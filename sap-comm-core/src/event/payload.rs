use serde::{Serialize, de::DeserializeOwned};

use super::EventKind;

/// The `data` of an event: names its type, its version and its kind.
///
/// Derive it:
///
/// ```
/// use sap_comm_core::{EventKind, EventPayload};
///
/// #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
/// #[event(type = "report.requested", version = "2.1", kind = "command")]
/// struct ReportRequested {
///     month: String,
/// }
///
/// assert_eq!(ReportRequested::TYPE, "report.requested");
/// assert_eq!(ReportRequested::KIND, EventKind::Command);
/// ```
pub trait EventPayload: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The event type and routing key, such as `user.created`.
    const TYPE: &'static str;
    /// The version of the payload, `major.minor`. Consumers accept any minor version of their major.
    const VERSION: &'static str = "1.0";
    /// What the event is for.
    const KIND: EventKind = EventKind::Domain;
}
