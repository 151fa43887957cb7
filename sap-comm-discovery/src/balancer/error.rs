use sap_comm_core::ResolveError;

/// Why no endpoint could be picked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// The resolver says that the service has no endpoint now.
    #[error("service {service:?} has no endpoints")]
    NoEndpoints {
        /// The service.
        service: String,
    },
    /// The service could not be resolved, and no answer from before may serve.
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
}

impl PickError {
    /// The service that was asked for.
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::NoEndpoints { service } => service,
            Self::Unresolved(error) => &error.service,
        }
    }
}
