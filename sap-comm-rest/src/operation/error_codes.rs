use std::fmt;

use sap_comm_core::{ApiError, ErrorCode};

/// The error codes that a service declares, as an enum; made by [`error_codes!`](crate::error_codes).
pub trait ErrorCodes: Copy + fmt::Debug + Send + Sync + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The code, such as `USER_NOT_FOUND`.
    fn code(self) -> &'static str;

    /// When it is given.
    fn description(self) -> &'static str;

    /// The one of this code.
    #[must_use]
    fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|own| own.code() == code)
    }

    /// An error of this code with a message for people.
    fn error(self, message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::from_wire(self.code()), message)
    }
}

/// The errors of an operation that declares none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoErrors {}

impl ErrorCodes for NoErrors {
    const ALL: &'static [Self] = &[];

    fn code(self) -> &'static str {
        match self {}
    }

    fn description(self) -> &'static str {
        match self {}
    }
}

/// Codes and descriptions of the errors that one operation declares.
pub trait DeclaredCodes: fmt::Debug + Send + Sync {
    /// Each code, and when it is given.
    fn codes(&self) -> Vec<(&'static str, &'static str)>;
}

impl<E: ErrorCodes, const N: usize> DeclaredCodes for [E; N] {
    fn codes(&self) -> Vec<(&'static str, &'static str)> {
        self.iter().map(|error| (error.code(), error.description())).collect()
    }
}

/// Declares the error codes of a service as an enum that implements
/// [`ErrorCodes`](crate::operation::ErrorCodes).
///
/// A code ends with its family, such as `NOT_FOUND`, which decides the status; see `sap_comm_core::ErrorCode`.
///
/// ```
/// use sap_comm_rest::{error_codes, operation::ErrorCodes};
///
/// error_codes! {
///     /// Why the user service refuses.
///     pub enum UserError {
///         /// There is no such user.
///         NotFound = "USER_NOT_FOUND",
///         /// Another user has the address.
///         EmailTaken = "EMAIL_ALREADY_EXISTS",
///     }
/// }
///
/// let error = UserError::EmailTaken.error("A user with this address exists already");
/// assert_eq!(error.status().as_u16(), 409);
/// assert_eq!(UserError::from_code("USER_NOT_FOUND"), Some(UserError::NotFound));
/// ```
#[macro_export]
macro_rules! error_codes {
    ($(#[$meta:meta])* $visibility:vis enum $name:ident {
        $($(#[doc = $description:literal])+ $variant:ident = $code:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[doc = $description])+ $variant),+
        }

        impl $crate::operation::ErrorCodes for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($description),+).trim_ascii()),+ }
            }
        }
    };
}
