use futures_util::{StreamExt, stream::FuturesUnordered};
use sap_comm_core::Context;
use serde::de::IgnoredAny;
use serde_json::Value;
use socketioxide::{AckError, SendError, SocketError, extract::SocketRef};
use tokio::time::timeout;
use tracing::Instrument;

use super::{RealtimeGateway, room};
use crate::{Delivery, Notification, socket};

/// What one device made of a notification.
enum Outcome {
    Acknowledged,
    Silent,
    Overflowed,
}

impl RealtimeGateway {
    /// Pushes a notification to every device of a user, and waits until each acknowledged it or the
    /// [`ack_timeout`](crate::RealtimeOptions::ack_timeout) passed.
    ///
    /// Continues the current [`Context`]. Each acknowledgement is reported to the
    /// [`NotificationSink`](crate::NotificationSink). A dropped call may have pushed; acknowledgements that come later are
    /// not reported.
    pub async fn notify(&self, user_id: &str, notification: &Notification) -> Delivery {
        let context = Context::current().child();
        let span = tracing::info_span!(
            "notification.push",
            trace_id = %context.trace().trace_id(),
            request_id = %context.request_id(),
            correlation_id = %context.correlation_id(),
            user.id = %user_id,
            notification.id = %notification.id,
        );
        let push = context.clone().scope(self.push(user_id, notification, &context));
        self.hub.work.track_future(push.instrument(span)).await
    }

    async fn push(&self, user_id: &str, notification: &Notification, context: &Context) -> Delivery {
        let payload = notification.payload(context);
        let sockets = self.io.of("/").map(|all| all.within(room(user_id)).sockets()).unwrap_or_default();
        let bytes = payload.to_string().len();
        let mut delivery = Delivery { sockets: sockets.len(), ..Delivery::default() };
        let mut devices: FuturesUnordered<_> = sockets
            .iter()
            .map(|socket| self.push_to(socket, user_id, &notification.id, (&payload, bytes), context))
            .collect();
        while let Some(outcome) = devices.next().await {
            match outcome {
                Outcome::Acknowledged => delivery.acknowledged += 1,
                Outcome::Overflowed => delivery.overflowed += 1,
                Outcome::Silent => {}
            }
        }
        tracing::info!(
            sockets = delivery.sockets,
            acknowledged = delivery.acknowledged,
            overflowed = delivery.overflowed,
            "notification pushed"
        );
        delivery
    }

    async fn push_to(
        &self,
        socket: &SocketRef,
        user_id: &str,
        id: &str,
        (payload, bytes): (&Value, usize),
        context: &Context,
    ) -> Outcome {
        let counters = &self.hub.counters;
        // Held until the device has answered or was silent for too long.
        let Some(_waits) = socket::reserve(socket, bytes, self.hub.options.max_unacknowledged) else {
            return self.overflowed(socket);
        };
        let Some(gone) = socket::remember(socket, id, context) else { return Outcome::Silent };
        let sent = socket.timeout(self.hub.options.ack_timeout).emit_with_ack::<_, IgnoredAny>("notification", payload);
        let ack = match sent {
            Ok(ack) => ack,
            Err(SendError::Socket(SocketError::InternalChannelFull)) => return self.overflowed(socket),
            Err(error) => {
                tracing::debug!(socket.id = %socket.id, %error, "the device went away");
                return Outcome::Silent;
            }
        };
        counters.pushed.add_one();
        match gone.run_until_cancelled(ack).await {
            // What a device says in its acknowledgement does not matter; not even whether it says anything.
            Some(Ok(_) | Err(AckError::Decode(_))) => {}
            None => return Outcome::Silent,
            Some(Err(error)) => {
                tracing::debug!(socket.id = %socket.id, %error, "no acknowledgement");
                return Outcome::Silent;
            }
        }
        match timeout(self.hub.options.handler_timeout, self.hub.sink.acknowledged(user_id, id)).await {
            Ok(Ok(())) => {
                counters.acknowledged.add_one();
                Outcome::Acknowledged
            }
            Ok(Err(error)) => {
                tracing::error!(socket.id = %socket.id, ?error, "the sink refused the acknowledgement");
                Outcome::Silent
            }
            Err(_) => {
                tracing::error!(socket.id = %socket.id, "the sink took too long for the acknowledgement");
                Outcome::Silent
            }
        }
    }

    fn overflowed(&self, socket: &SocketRef) -> Outcome {
        self.hub.counters.overflowed.add_one();
        tracing::warn!(socket.id = %socket.id, "too much waits for the device: notification left out");
        Outcome::Overflowed
    }
}
