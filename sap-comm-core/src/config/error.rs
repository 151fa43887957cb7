use std::fmt;

/// An option or a variable that cannot be used; names it.
///
/// One type for every configuration of the system, so that a program reports all of them alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    field: String,
    value: Option<String>,
    reason: String,
}

impl ConfigError {
    /// An error about the variable or option `field`.
    pub fn new(field: &str, reason: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), value: None, reason: reason.to_string() }
    }

    /// An error about the value that `field` has. A secret is not to be shown.
    pub fn refused(field: &str, value: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { value: Some(value.to_string()), ..Self::new(field, reason) }
    }

    /// The same error, seen from the configuration that holds the option's under `parent`.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }

    /// The option, as spelled in the configuration, or the variable.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The value that was refused, where the error is about one.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// What is wrong with it, or what it needs.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, reason } = self;
        match value {
            Some(value) => write!(f, "configuration: `{field}` = {value}: {reason}"),
            None => write!(f, "configuration: {field}: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_option_and_its_value() {
        let error = ConfigError::refused("failure_rate", 2, "must lie within 0..=1").within("breaker");
        assert_eq!(
            (error.field(), error.value(), error.reason()),
            ("breaker.failure_rate", Some("2"), "must lie within 0..=1")
        );
        assert_eq!(error.to_string(), "configuration: `breaker.failure_rate` = 2: must lie within 0..=1");
        assert_eq!(ConfigError::new("sink", "is missing").to_string(), "configuration: sink: is missing");
    }
}
