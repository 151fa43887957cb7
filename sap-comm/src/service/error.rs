use sap_comm_core::{BoxError, RegistrationError};
use sap_comm_events::SubscribeError;
use sap_comm_rest::server::ServerError;

/// Why a service cannot start or stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// An option of the builder cannot be used.
    #[error("service {service:?}: {field}: {reason}")]
    Config {
        /// The service.
        service: String,
        /// The option.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be listened on, or the listener failed.
    #[error("service {service:?}: {source}")]
    Server {
        /// The service.
        service: String,
        /// Why.
        source: ServerError,
    },
    /// The task of the listener failed.
    #[error("service {service:?}: the listener failed: {reason}")]
    Listener {
        /// The service.
        service: String,
        /// Why.
        reason: String,
    },
    /// A subscription was refused.
    #[error("service {service:?}: {source}")]
    Subscribe {
        /// The service.
        service: String,
        /// Why.
        source: Box<SubscribeError>,
    },
    /// The registry refused the endpoint.
    #[error(transparent)]
    Register(#[from] RegistrationError),
    /// Draining met errors; all of it was tried.
    #[error("service {service:?} did not drain cleanly: {}", reasons.join("; "))]
    Drain {
        /// The service.
        service: String,
        /// Everything that went wrong.
        reasons: Vec<String>,
    },
    /// Waiting for the stop signal failed.
    #[error("service {service:?}: cannot wait for signals: {source}")]
    Signal {
        /// The service.
        service: String,
        /// Why.
        source: BoxError,
    },
}
