//! The gateway: what a service holds.

mod builder;
mod drain;
mod hub;
mod options;
mod push;
mod stats;

use std::{fmt, sync::Arc};

use axum::Router;
use socketioxide::SocketIo;

pub(crate) use self::hub::Hub;
pub(crate) use self::stats::{Counters, Gauge};
pub use self::{builder::RealtimeGatewayBuilder, drain::DrainError, options::RealtimeOptions, stats::GatewayStats};

/// Pushes notifications to users' devices over Socket.IO.
///
/// Cheap to clone; clones are the same gateway.
///
/// ```
/// use async_trait::async_trait;
/// use sap_comm_core::{ApiError, auth::JwtVerifier};
/// use sap_comm_ws::{NotificationSink, RealtimeGateway};
///
/// struct Notifications;
///
/// #[async_trait]
/// impl NotificationSink for Notifications {
///     async fn acknowledged(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
///         println!("{user_id} received {notification_id}");
///         Ok(())
///     }
///     async fn read(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
///         println!("{user_id} read {notification_id}");
///         Ok(())
///     }
/// }
///
/// let gateway = RealtimeGateway::builder()
///     .authenticate(JwtVerifier::builder("auth-service", "sap").build()?)
///     .sink(Notifications)
///     .origin("https://admin.example.com")
///     .build()?;
/// let app: axum::Router = gateway.router();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RealtimeGateway {
    hub: Arc<Hub>,
    io: SocketIo,
    router: Router,
}

impl RealtimeGateway {
    /// Starts to build a gateway.
    pub fn builder() -> RealtimeGatewayBuilder {
        RealtimeGatewayBuilder::new()
    }

    /// The routes of Socket.IO, by default `/socket.io`: merge them into the service's router.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The Socket.IO server, for what this gateway does not do by itself. Handlers set on its sockets replace ours.
    #[must_use]
    pub fn io(&self) -> &SocketIo {
        &self.io
    }

    /// What happened so far, and how many sockets are connected now.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        self.hub.counters.read()
    }
}

impl fmt::Debug for RealtimeGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeGateway")
            .field("options", &self.hub.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The room of a user's devices.
pub(crate) fn room(user_id: &str) -> String {
    format!("user:{user_id}")
}
