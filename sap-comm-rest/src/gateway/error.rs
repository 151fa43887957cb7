use std::fmt::Display;

/// A gateway that cannot be built, with the field and its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` = {value}: {reason}")]
#[non_exhaustive]
pub struct GatewayConfigError {
    /// The field, as spelled in the configuration; a route is named by its path.
    pub field: String,
    /// The value that was refused.
    pub value: String,
    /// What the field needs.
    pub reason: String,
}

impl GatewayConfigError {
    pub(super) fn new(field: impl Into<String>, value: impl Display, reason: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), reason: reason.into() }
    }
}
