use sap_comm::rest::{
    error_codes,
    operation::{Contract, Operation, ResourceId},
    server::{Json, NoContent, PageResponse, Paged, Path},
};

use crate::contract::rest::Notification;

error_codes! {
    /// Why the notification service refuses.
    pub enum NotificationError {
        /// The caller has no such notification.
        NotFound = "NOTIFICATION_NOT_FOUND",
    }
}

/// The notification service.
pub const NOTIFICATION_SERVICE: Contract = Contract::new(
    "notification-service",
    &[LIST_NOTIFICATIONS.definition(), GET_NOTIFICATION.definition(), READ_NOTIFICATION.definition()],
)
.description("Notifications: made from events, marked as read");

/// Lists one's own notifications.
pub const LIST_NOTIFICATIONS: Operation<(Paged,), PageResponse<Notification>> = Operation::get("/api/v1/notifications")
    .id("listNotifications")
    .summary("Lists one's own notifications, newest first")
    .tag("notifications");

/// One of one's own notifications.
pub const GET_NOTIFICATION: Operation<(Path<ResourceId>,), Json<Notification>, NotificationError> =
    Operation::get("/api/v1/notifications/{id}")
        .id("getNotification")
        .summary("One of one's own notifications")
        .tag("notifications")
        .errors(&[NotificationError::NotFound]);

/// Marks one of one's own notifications as read.
pub const READ_NOTIFICATION: Operation<(Path<ResourceId>,), NoContent, NotificationError> =
    Operation::post("/api/v1/notifications/{id}/read")
        .id("readNotification")
        .summary("Marks one of one's own notifications as read")
        .tag("notifications")
        .errors(&[NotificationError::NotFound]);
