use std::sync::Arc;

use async_trait::async_trait;
use sap_comm::{
    ApiError, Event, Principal,
    events::{Broker, HandlerError},
    rest::server::auth::Authenticator,
    ws::{Authenticate, Notification, NotificationSink, RealtimeGateway},
};

use crate::contract::events::{MarkNotificationRead, NOTIFICATION_COMMANDS, NotificationCreated};

/// Verifies the tokens of handshakes as those of requests are.
pub(super) struct Tokens(pub(super) Authenticator);

#[async_trait]
impl Authenticate for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Principal, ApiError> {
        self.0.verify_token(token).await.map(Arc::unwrap_or_clone)
    }
}

/// Tells the notification service what users have seen.
#[derive(Debug)]
pub(super) struct Commands(pub(super) Broker);

impl Commands {
    async fn mark_read(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
        let command = MarkNotificationRead { notification_id: notification_id.to_owned(), user_id: user_id.to_owned() };
        self.0.publish(NOTIFICATION_COMMANDS, command).await.map(drop).map_err(ApiError::from)
    }
}

#[async_trait]
impl NotificationSink for Commands {
    async fn acknowledged(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
        self.mark_read(user_id, notification_id).await
    }

    async fn read(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
        self.mark_read(user_id, notification_id).await
    }
}

/// Pushes a notification to the sockets of its user here, if there are any; it waits in the user's list anyway.
pub(super) async fn push(gateway: RealtimeGateway, event: Event<NotificationCreated>) -> Result<(), HandlerError> {
    let NotificationCreated { notification_id, user_id, kind, message } = event.data;
    let notification =
        Notification { timestamp: event.timestamp, ..Notification::new(kind, message).with_id(notification_id) };
    let delivery = gateway.notify(&user_id, &notification).await;
    tracing::info!(user_id, notification_id = notification.id, ?delivery, "notification pushed");
    Ok(())
}
