use futures_util::{StreamExt, stream};
use sap_comm::{
    Event, Timestamp,
    events::{HandlerError, inbox::Inbox, outbox::Outbox},
    id,
    rest::client::Client,
};

use super::{NAME, store::Store};
use crate::contract::{
    api::{GET_USER, UserError},
    events::{ContentPublished, MarkNotificationRead, NOTIFICATION_EVENTS, NotificationCreated, UserDeleted},
    rest::Notification,
};

/// Users that are notified in one transaction.
const BATCH: usize = 100;
/// Users that are looked up at once.
const LOOKUPS: usize = 8;

/// What the service does with events and commands.
#[derive(Clone)]
pub(super) struct Handlers {
    pub(super) store: Store,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) users: Client,
}

impl Handlers {
    /// One notification for each user of the audience, once. Who does not exist, or no longer, is left out. The event is
    /// retried for those who cannot be looked up, and the others have theirs already.
    pub(super) async fn notify_audience(&self, event: Event<ContentPublished>) -> Result<(), HandlerError> {
        let mut failed = None;
        for users in event.data.audience.chunks(BATCH) {
            let lookups = users.iter().cloned().map(|id| {
                let users = &self.users;
                async move {
                    let user = users.call(&GET_USER, (id.as_str(),)).await;
                    (id, user)
                }
            });
            let found: Vec<_> = stream::iter(lookups).buffer_unordered(LOOKUPS).collect().await;
            let mut known = Vec::with_capacity(found.len());
            for (id, user) in found {
                match user {
                    Ok(_) => known.push(id),
                    Err(error) if error.code() == Some(UserError::NotFound) => {
                        tracing::warn!(event_id = %event.id, user_id = id, "no such user to notify");
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if !known.is_empty() {
                self.notify(&event, &known).await?;
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Notifies users that exist, unless an earlier attempt did.
    async fn notify(&self, event: &Event<ContentPublished>, users: &[String]) -> Result<(), HandlerError> {
        let mut tx = self.store.begin().await?;
        for user_id in users {
            if !self.inbox.once(&mut tx, &format!("{}/{user_id}", event.id)).await? {
                continue;
            }
            let notification = Notification {
                id: id::prefixed("ntf"),
                user_id: user_id.clone(),
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

    /// A deleted user's notifications go too.
    pub(super) async fn forget_user(&self, event: Event<UserDeleted>) -> Result<(), HandlerError> {
        let mut tx = self.store.begin().await?;
        if self.inbox.once(&mut tx, &event.id).await? {
            let notifications = self.store.delete_of(&mut tx, &event.data.user_id).await?;
            tx.commit().await?;
            tracing::info!(user_id = event.data.user_id, notifications, "notifications of a deleted user deleted");
        }
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
