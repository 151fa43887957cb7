use std::{borrow::Cow, fmt};

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// The code of an error, in SCREAMING_SNAKE_CASE; decides the HTTP status.
///
/// The codes below are families. A service names its own code after the family it belongs to, and the status follows:
///
/// ```
/// use sap_comm_core::ErrorCode;
///
/// let code = ErrorCode::NOT_FOUND.of("user");
/// assert_eq!(code.as_str(), "USER_NOT_FOUND");
/// assert_eq!(code.status().as_u16(), 404);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(Cow<'static, str>);

/// Declares the codes and the one table from code to status. The first code of a status stands for it.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:expr;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed(stringify!($name)));)*
        }

        /// Every family and its status.
        const TABLE: &[(&str, u16)] = &[$((stringify!($name), $status)),*];
    };
}

codes! {
    /// The request is malformed.
    BAD_REQUEST = 400;
    /// The body is not the JSON that was expected.
    MALFORMED_BODY = 400;
    /// A path or query parameter is invalid.
    INVALID_ARGUMENT = 400;
    /// No credential was sent.
    UNAUTHENTICATED = 401;
    /// The token or key is not valid.
    INVALID_TOKEN = 401;
    /// The token has expired.
    TOKEN_EXPIRED = 401;
    /// The user name or the password is wrong.
    INVALID_CREDENTIALS = 401;
    /// The principal may not do this.
    FORBIDDEN = 403;
    /// There is no such thing.
    NOT_FOUND = 404;
    /// The path exists, the method does not.
    METHOD_NOT_ALLOWED = 405;
    /// No representation that the client accepts.
    NOT_ACCEPTABLE = 406;
    /// The request took too long to arrive.
    REQUEST_TIMEOUT = 408;
    /// The state of the thing forbids it.
    CONFLICT = 409;
    /// The thing exists already.
    ALREADY_EXISTS = 409;
    /// It was there and is gone.
    GONE = 410;
    /// A condition such as `If-Match` does not hold.
    PRECONDITION_FAILED = 412;
    /// The body is over the limit.
    PAYLOAD_TOO_LARGE = 413;
    /// The URI is over the limit.
    URI_TOO_LONG = 414;
    /// The content type is not supported.
    UNSUPPORTED_MEDIA_TYPE = 415;
    /// The input is well-formed and breaks a rule; `details` names the fields.
    VALIDATION_FAILED = 422;
    /// The protocol must be another, as `Upgrade` says.
    UPGRADE_REQUIRED = 426;
    /// A condition such as `If-Match` is required.
    PRECONDITION_REQUIRED = 428;
    /// The caller is over its rate limit.
    RATE_LIMITED = 429;
    /// The headers are over the limit.
    HEADERS_TOO_LARGE = 431;
    /// Something unforeseen; internals are in the log under the request id.
    INTERNAL_ERROR = 500;
    /// An error without a code of its own, as in `error.events`.
    UNKNOWN_ERROR = 500;
    /// The service does not do this.
    NOT_IMPLEMENTED = 501;
    /// No handler takes events of this type, as in `error.events`.
    EVENT_TYPE_UNKNOWN = 501;
    /// No handler reads this version of the event, as in `error.events`.
    EVENT_VERSION_UNSUPPORTED = 501;
    /// The upstream answered with something that is not HTTP.
    BAD_GATEWAY = 502;
    /// The service cannot answer now.
    SERVICE_UNAVAILABLE = 503;
    /// The circuit breaker towards the service is open.
    CIRCUIT_OPEN = 503;
    /// The service sheds load.
    OVERLOADED = 503;
    /// The upstream did not answer in time.
    GATEWAY_TIMEOUT = 504;
    /// The deadline of the whole call has passed.
    DEADLINE_EXCEEDED = 504;
    /// The request came back to the gateway that it went through.
    LOOP_DETECTED = 508;
}

impl ErrorCode {
    /// This family's code for `subject`: `NOT_FOUND.of("user")` is `USER_NOT_FOUND`.
    ///
    /// The subject is put into SCREAMING_SNAKE_CASE; other characters become `_`.
    #[must_use]
    pub fn of(&self, subject: &str) -> Self {
        let mut code = String::with_capacity(subject.len() + 1 + self.0.len());
        let mut after_lowercase = false;
        for c in subject.chars() {
            if c.is_ascii_uppercase() && after_lowercase {
                code.push('_');
            }
            after_lowercase = c.is_ascii_lowercase();
            code.push(if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        }
        code.push('_');
        code.push_str(&self.0);
        Self(Cow::Owned(code))
    }

    /// A code read from elsewhere, kept as it is.
    pub fn from_wire(code: impl Into<String>) -> Self {
        Self(Cow::Owned(code.into()))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The HTTP status of the code's family; 500 for a code of no family.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.family()
            .and_then(|(_, status)| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether the code is that of a family, or ends with one: `USER_NOT_FOUND`, not `USER_GONE_FISHING`.
    #[must_use]
    pub fn has_family(&self) -> bool {
        self.family().is_some()
    }

    fn family(&self) -> Option<(&'static str, u16)> {
        let family = TABLE.iter().find(|(family, _)| {
            self.0.strip_suffix(family).is_some_and(|subject| subject.is_empty() || subject.ends_with('_'))
        });
        family.copied()
    }

    /// The family that stands for a status from a peer that sent no envelope.
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        let found = TABLE.iter().find(|(_, code)| *code == status.as_u16());
        match found {
            Some((family, _)) => Self(Cow::Borrowed(family)),
            None if status.is_client_error() => Self::BAD_REQUEST,
            None => Self::INTERNAL_ERROR,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_status() {
        for (code, status) in TABLE {
            assert_eq!(ErrorCode::from_wire(*code).status().as_u16(), *status, "{code}");
        }
    }

    #[test]
    fn a_service_code_takes_the_status_of_its_family() {
        assert_eq!(ErrorCode::ALREADY_EXISTS.of("email").status().as_u16(), 409);
        assert_eq!(ErrorCode::NOT_FOUND.of("userProfile").as_str(), "USER_PROFILE_NOT_FOUND");
        assert_eq!(ErrorCode::from_wire("SOMETHING").status().as_u16(), 500);
        assert_eq!(ErrorCode::from_wire("XNOT_FOUND").status().as_u16(), 500);
    }

    #[test]
    fn statuses_without_an_envelope_find_a_family() {
        assert_eq!(ErrorCode::from_status(StatusCode::NOT_FOUND), ErrorCode::NOT_FOUND);
        assert_eq!(ErrorCode::from_status(StatusCode::CONFLICT), ErrorCode::CONFLICT);
        assert_eq!(ErrorCode::from_status(StatusCode::NOT_IMPLEMENTED), ErrorCode::NOT_IMPLEMENTED);
        assert_eq!(ErrorCode::from_status(StatusCode::IM_A_TEAPOT), ErrorCode::BAD_REQUEST);
        assert_eq!(ErrorCode::from_status(StatusCode::INSUFFICIENT_STORAGE), ErrorCode::INTERNAL_ERROR);
    }
}
