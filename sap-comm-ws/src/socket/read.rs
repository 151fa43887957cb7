use sap_comm_core::{ApiError, Context, ErrorCode, header::is_id};
use serde_json::{Value, json};

use super::session::Session;
use crate::gateway::Hub;

/// The event by which a client says that its user has read a notification.
pub(crate) const READ_NOTIFICATION: &str = "read-notification";

/// The context of an event: `read-notification` continues the trace of the notification.
pub(super) fn context(session: &Session, event: &str, arguments: &[Value]) -> Context {
    match id(arguments) {
        Ok(id) if event == READ_NOTIFICATION => session.notification_context(id),
        _ => session.event_context(),
    }
}

/// Marks as read; only ever for the socket's own user.
pub(super) async fn handle(hub: &Hub, session: &Session, arguments: &[Value]) -> Result<Value, ApiError> {
    let id = id(arguments)?;
    hub.sink.read(session.user_id(), id).await?;
    hub.counters.read.add_one();
    tracing::info!(notification.id = %id, "notification read");
    Ok(json!({}))
}

fn id(arguments: &[Value]) -> Result<&str, ApiError> {
    match arguments.first() {
        Some(Value::String(id)) if is_id(id) => Ok(id),
        _ => Err(ApiError::new(ErrorCode::INVALID_ARGUMENT, "The notification id must be 1 to 128 visible characters")
            .detail("argument", "notificationId")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plausible_id_is_taken() {
        assert_eq!(id(&[json!("ntf_1")]).unwrap(), "ntf_1");
        for arguments in [vec![], vec![json!(1)], vec![json!("")], vec![json!("a b")], vec![json!("x".repeat(129))]] {
            let error = id(&arguments).unwrap_err();
            assert_eq!(error.code(), &ErrorCode::INVALID_ARGUMENT);
        }
    }
}
