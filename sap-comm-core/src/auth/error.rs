use crate::{ApiError, ErrorCode};

/// Why a credential was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There was none.
    #[error("no credential was sent")]
    Missing,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token names a signing key that is not in the key set; the set may be out of date.
    #[error("the token is signed by an unknown key")]
    UnknownKey,
    /// The credential is not valid; the reason is for the log.
    #[error("the credential is not valid: {0}")]
    Invalid(&'static str),
    /// The principal is known and may not do this.
    #[error("{0}")]
    Forbidden(String),
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = match &error {
            AuthError::Missing => ErrorCode::UNAUTHENTICATED,
            AuthError::Expired => ErrorCode::TOKEN_EXPIRED,
            AuthError::UnknownKey | AuthError::Invalid(_) => ErrorCode::INVALID_TOKEN,
            AuthError::Forbidden(_) => ErrorCode::FORBIDDEN,
        };
        let message = match &error {
            AuthError::Missing => "Authentication is required".to_owned(),
            AuthError::Expired => "The token has expired".to_owned(),
            AuthError::UnknownKey | AuthError::Invalid(_) => "The credential is not valid".to_owned(),
            AuthError::Forbidden(message) => message.clone(),
        };
        Self::new(code, message).caused_by(error)
    }
}

/// Why a key or key set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid key: {0}")]
pub struct KeyError(pub(super) String);
