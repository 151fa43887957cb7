use http::{HeaderMap, HeaderName, HeaderValue, header};
use sap_comm_core::{ApiError, ErrorCode};

use super::{body::UploadFault, path::PathFault};

/// A request that the gateway answers itself, with an error.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ApiError,
    pub(super) headers: Option<Box<HeaderMap>>,
    /// Whether the connection cannot go on: its next request may not begin where we think.
    pub(super) close: bool,
}

impl Refusal {
    pub(super) fn closing(error: ApiError) -> Self {
        Self { error, headers: None, close: true }
    }

    pub(super) fn not_found(path: &str) -> Self {
        ApiError::new(ErrorCode::NOT_FOUND, format!("There is nothing at {path}")).into()
    }

    pub(super) fn method_not_allowed(method: &http::Method, allow: Option<HeaderValue>) -> Self {
        let error = ApiError::new(ErrorCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here"));
        // An empty Allow says that nothing is.
        Self::from(error).header(header::ALLOW, allow.unwrap_or_else(|| HeaderValue::from_static("")))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, headers: None, close: false }
    }
}

impl From<PathFault> for Refusal {
    fn from(fault: PathFault) -> Self {
        ApiError::from(fault).into()
    }
}

impl From<UploadFault> for Refusal {
    fn from(fault: UploadFault) -> Self {
        Self::closing(fault.into())
    }
}
