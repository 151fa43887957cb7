use sap_comm::{
    Event, Timestamp,
    events::{HandlerError, inbox::Inbox, outbox::Outbox},
    id,
    rest::client::Client,
};

use super::{NAME, store::Store};
use crate::contract::{
    events::{ContentPublished, MarkNotificationRead, NOTIFICATION_EVENTS, NotificationCreated},
    rest::{Notification, User},
};

/// What the service does with events and commands.
#[derive(Clone)]
pub(super) struct Handlers {
    pub(super) store: Store,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) users: Client,
}

impl Handlers {
    /// One notification for each user of the audience. A user who is not known yet may still arrive: that is retried.
    pub(super) async fn notify_audience(&self, event: Event<ContentPublished>) -> Result<(), HandlerError> {
        for user_id in &event.data.audience {
            self.users.get("/api/v1/users/{}", [user_id]).fetch::<User>().await?;
        }
        let mut tx = self.store.begin().await?;
        if !self.inbox.once(&mut tx, &event.id).await? {
            return Ok(());
        }
        for user_id in event.data.audience {
            let notification = Notification {
                id: id::prefixed("ntf"),
                user_id,
                kind: "content-published".into(),
                message: format!("New content is available: {}", event.data.title),
                status: "unread".into(),
                created_at: Timestamp::now(),
            };
            self.store.add(&mut tx, &notification).await?;
            let payload = NotificationCreated {
                notification_id: notification.id,
                user_id: notification.user_id,
                kind: notification.kind,
                message: notification.message,
            };
            self.outbox.write(&mut tx, NOTIFICATION_EVENTS, &Event::new(NAME, payload)).await?;
        }
        self.outbox.commit(tx).await?;
        Ok(())
    }

    /// The user has seen it.
    pub(super) async fn mark_read(&self, command: Event<MarkNotificationRead>) -> Result<(), HandlerError> {
        let MarkNotificationRead { notification_id, user_id } = command.data;
        if self.store.mark_read(&user_id, &notification_id).await? {
            tracing::info!(notification_id, user_id, "notification read");
        } else {
            tracing::warn!(notification_id, user_id, "no such notification of this user");
        }
        Ok(())
    }
}
