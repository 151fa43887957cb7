use std::{fmt, net::SocketAddr, str::FromStr};

use sap_comm::RunningService;

use crate::{
    api_gateway::{self, EdgeOptions},
    auth_service, content_service,
    deps::{Deps, StartError},
    notification_service, user_service,
};

/// One of the five services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceName {
    /// Login, refresh, published keys, API keys.
    Auth,
    /// Users and profiles.
    User,
    /// Content.
    Content,
    /// Notifications.
    Notification,
    /// The edge.
    ApiGateway,
}

/// A service that runs.
#[derive(Debug)]
pub struct Started {
    /// The service.
    pub running: RunningService,
    /// Where its admin page listens, if it has one.
    pub admin: Option<SocketAddr>,
}

impl ServiceName {
    /// All of them, in the order they are started.
    pub const ALL: [Self; 5] = [Self::Auth, Self::User, Self::Content, Self::Notification, Self::ApiGateway];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => auth_service::NAME,
            Self::User => user_service::NAME,
            Self::Content => content_service::NAME,
            Self::Notification => notification_service::NAME,
            Self::ApiGateway => api_gateway::NAME,
        }
    }

    /// What the service may do at others, by its own key.
    #[must_use]
    pub const fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::User => &["api-keys:read", "credentials:write"],
            Self::Notification => &["api-keys:read", "users:read"],
            Self::Content | Self::ApiGateway => &["api-keys:read"],
            Self::Auth => &[],
        }
    }

    /// Starts the service.
    ///
    /// # Errors
    /// When a part that it needs cannot be used.
    pub async fn start(self, deps: Deps, edge: EdgeOptions) -> Result<Started, StartError> {
        let running = match self {
            Self::Auth => auth_service::start(deps).await?,
            Self::User => user_service::start(deps).await?,
            Self::Content => content_service::start(deps).await?,
            Self::Notification => notification_service::start(deps).await?,
            Self::ApiGateway => {
                let (running, admin) = api_gateway::start(deps, edge).await?;
                return Ok(Started { running, admin });
            }
        };
        Ok(Started { running, admin: None })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|service| service.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("unknown service {text:?}: expected one of {known}")
        })
    }
}
