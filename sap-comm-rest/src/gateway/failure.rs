use std::time::Duration;

use http::StatusCode;
use sap_comm_core::{ApiError, BoxError, ErrorCode};
use sap_comm_discovery::PickError;

use super::{
    Refusal,
    body::{Upload, UploadFault},
    exchange::ExchangeError,
};

/// Why there is no answer from an upstream.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no endpoint to ask.
    NoEndpoint(PickError),
    /// The endpoint cannot be connected to; nothing was sent.
    Connect(BoxError),
    /// The connection ended before an answer came.
    Dropped(BoxError),
    /// The answer is not HTTP, or not one that can be passed on.
    Garbage(BoxError),
    /// No answer came in time.
    Timeout(Duration),
    /// The client's body failed.
    Upload(UploadFault),
    /// The request cannot be sent at all.
    Unsendable(BoxError),
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Garbage(_) => Self::Garbage(error.into()),
            ExchangeError::Ended | ExchangeError::Broken(_) => Self::Dropped(error.into()),
            ExchangeError::Upload(fault) => Self::Upload(fault),
        }
    }
}

impl Failure {
    /// Whether it says that the upstream does not work. While the client still sends, it says nothing: a slow or oversized
    /// body makes a working upstream give up, too.
    pub(super) fn blames_upstream(&self, upload: Option<&Upload>) -> bool {
        match self {
            Self::Connect(_) | Self::Garbage(_) => true,
            Self::Dropped(_) | Self::Timeout(_) => is_sent(upload),
            Self::NoEndpoint(_) | Self::Upload(_) | Self::Unsendable(_) => false,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let unavailable = || ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "The service is not available now");
        let garbage = || ApiError::new(ErrorCode::BAD_GATEWAY, "The service gave no valid answer");
        let error = match failure {
            Failure::Upload(fault) => return fault.into(),
            Failure::NoEndpoint(error) => unavailable().retry_after(Duration::from_secs(1)).caused_by(error),
            Failure::Connect(error) => unavailable().retry_after(Duration::from_secs(1)).caused_by(chain(&*error)),
            Failure::Dropped(error) | Failure::Garbage(error) => garbage().caused_by(chain(&*error)),
            Failure::Timeout(limit) => ApiError::new(ErrorCode::GATEWAY_TIMEOUT, "The service did not answer in time")
                .caused_by(format!("no answer within {}", humantime::format_duration(limit))),
            Failure::Unsendable(error) => ApiError::internal(chain(&*error)),
        };
        error.into()
    }
}

/// Whether an answer says that the upstream does not work. A loop is in the request: a client can make one up.
pub(super) fn is_failure(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::LOOP_DETECTED
}

/// Whether the client's whole body has been handed on.
pub(super) fn is_sent(upload: Option<&Upload>) -> bool {
    upload.is_none_or(Upload::is_sent)
}

/// An error with its causes, for the log.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
