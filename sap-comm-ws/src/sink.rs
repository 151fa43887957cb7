use async_trait::async_trait;
use sap_comm_core::ApiError;

/// Where the gateway reports what devices say: the notification service.
///
/// Each call runs in the [`Context`](sap_comm_core::Context) of what caused it, so a call or an event made from here
/// continues the notification's trace.
#[async_trait]
pub trait NotificationSink: Send + Sync + 'static {
    /// A device of the user has received the notification.
    ///
    /// # Errors
    /// The acknowledgement then does not count, and the error is logged.
    async fn acknowledged(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError>;

    /// The user has read the notification.
    ///
    /// # Errors
    /// The client gets the error's envelope.
    async fn read(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError>;

    /// A device of the user is connected and in the user's room.
    async fn connected(&self, user_id: &str, socket_id: &str) {
        let _ = (user_id, socket_id);
    }

    /// A device of the user is gone.
    async fn disconnected(&self, user_id: &str, socket_id: &str) {
        let _ = (user_id, socket_id);
    }
}
