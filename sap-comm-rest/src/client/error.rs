use std::time::Duration;

use http::StatusCode;
use hyper_util::client::legacy;
use sap_comm_core::{ApiError, BoxError, Endpoint, ErrorCode};
use sap_comm_discovery::PickError;
use sap_comm_resilience::Rejected;

/// Why a call to a service failed.
///
/// Becomes an [`ApiError`] with `?`: the service's own error as it is, `CIRCUIT_OPEN` with `Retry-After`,
/// `SERVICE_UNAVAILABLE`, `GATEWAY_TIMEOUT`, or `BAD_GATEWAY`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The service answered with an error.
    #[error("the service answered {status}: {error}", status = .0.status().as_u16(), error = .0)]
    Api(#[source] ApiError),
    /// The circuit breaker let no call through.
    #[error(transparent)]
    Open(#[from] Rejected),
    /// There is no endpoint to call.
    #[error(transparent)]
    Unresolved(#[from] PickError),
    /// The service did not answer in time. It may have carried the call out.
    #[error("{service} did not answer within {}", humantime::format_duration(*.after))]
    Timeout {
        /// The service.
        service: String,
        /// The limit of the attempt; the deadline of the call may have been sooner.
        after: Duration,
    },
    /// No connection could be made, so nothing was sent.
    #[error("no connection to {endpoint}: {source}")]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why.
        source: BoxError,
    },
    /// The connection broke, or carried something that is not HTTP. The service may have carried the call out.
    #[error("the connection to {endpoint} broke: {source}")]
    Broken {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why.
        source: BoxError,
    },
    /// The service fell silent within a response that was read as a stream.
    #[error("{endpoint} sent nothing for {} within its response", humantime::format_duration(*.after))]
    Stalled {
        /// The endpoint.
        endpoint: Endpoint,
        /// The limit: [`stream_idle`](super::ClientConfig::stream_idle).
        after: Duration,
    },
    /// The response is not what was expected.
    #[error("the response of {service} ({status}) cannot be read: {source}")]
    Decode {
        /// The service.
        service: String,
        /// The response's status.
        status: StatusCode,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The response is over the limit.
    #[error("the response of {service} is over {limit} bytes")]
    TooLarge {
        /// The service.
        service: String,
        /// The limit.
        limit: usize,
    },
    /// The caller's own mistake: such a request cannot be made.
    #[error("not a request: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        Self::Request { reason: reason.into() }
    }

    pub(super) fn from_transport(endpoint: &Endpoint, error: legacy::Error) -> Self {
        let endpoint = endpoint.clone();
        if error.is_connect() {
            Self::Connect { endpoint, source: error.into() }
        } else {
            Self::Broken { endpoint, source: error.into() }
        }
    }
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        let (code, message, retry_after) = match error {
            ClientError::Api(error) => return error,
            ClientError::Open(rejected) => {
                let message = format!("The service {} cannot be called at the moment", rejected.name);
                return Self::new(ErrorCode::CIRCUIT_OPEN, message)
                    .retry_after(rejected.retry_after())
                    .caused_by(rejected);
            }
            ClientError::Unresolved(_) | ClientError::Connect { .. } => {
                (ErrorCode::SERVICE_UNAVAILABLE, "A service that is needed cannot be reached", Some(1))
            }
            ClientError::Timeout { .. } | ClientError::Stalled { .. } => {
                (ErrorCode::GATEWAY_TIMEOUT, "A service that is needed did not answer in time", None)
            }
            ClientError::Broken { .. } | ClientError::Decode { .. } | ClientError::TooLarge { .. } => {
                (ErrorCode::BAD_GATEWAY, "A service that is needed gave no usable answer", None)
            }
            ClientError::Request { .. } => return Self::internal(error),
        };
        let api = Self::new(code, message).caused_by(error);
        match retry_after {
            Some(seconds) => api.retry_after(Duration::from_secs(seconds)),
            None => api,
        }
    }
}
