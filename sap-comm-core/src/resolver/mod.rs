mod endpoint;
mod env;
mod memory;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use endpoint::{Endpoint, EndpointError, EndpointSet};
pub use env::EnvResolver;
pub use memory::StaticResolver;

/// Finds the endpoints of a service by its name, and keeps finding them.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// Watches `service`: the current answer first, then one for every change, always a whole snapshot.
    ///
    /// The stream never ends while the resolver lives. Dropping it ends the watch.
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution>;

    /// Hints that connects to `service` fail, so that a stale answer is looked up anew. Resolvers limit the rate.
    fn refresh(&self, service: &str) {
        let _ = service;
    }

    /// Whether every endpoint was written down by whoever runs this process, and none by a registry that others write to.
    ///
    /// Clients believe such endpoints further: that this very machine is meant.
    fn is_configured(&self) -> bool {
        false
    }
}

/// One answer of a [`Resolver`].
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// All endpoints there are; an empty set means that the service has none, on authority.
    Snapshot(Arc<EndpointSet>),
    /// The source cannot be asked; the last snapshot may still serve.
    Unavailable {
        /// Why.
        error: ResolveError,
        /// When the resolver asks again.
        retry_in: Duration,
    },
}

/// Why a service cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve service {service:?}: {reason}")]
pub struct ResolveError {
    /// The service asked for.
    pub service: String,
    /// What went wrong.
    pub reason: String,
}

/// Announces this process as an endpoint of a service.
#[async_trait]
pub trait Registrar: fmt::Debug + Send + Sync {
    /// Registers, and keeps the registration alive until the guard is dropped or deregistered.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached.
    async fn register(&self, registration: Registration) -> Result<RegistrationGuard, RegistrationError>;
}

/// What a service announces.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The name of the service.
    pub service: String,
    /// Identifies this process among those of the service.
    pub instance: String,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// Keeps a registration alive; dropping it takes the endpoint out.
pub struct RegistrationGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

impl RegistrationGuard {
    /// A guard that runs `deregister` once, when it is dropped.
    pub fn new(deregister: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(deregister)))
    }
}

impl Drop for RegistrationGuard {
    fn drop(&mut self) {
        if let Some(deregister) = self.0.take() {
            deregister();
        }
    }
}

impl fmt::Debug for RegistrationGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationGuard")
    }
}

/// Why a service could not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot register service {service:?}: {reason}")]
pub struct RegistrationError {
    /// The service.
    pub service: String,
    /// What went wrong.
    pub reason: String,
}
