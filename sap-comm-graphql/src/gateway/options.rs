use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use crate::GuardLimits;

/// Limits and switches of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphqlOptions {
    /// The path of the endpoint; `/graphql` by convention.
    pub path: String,
    /// Bytes of a request's body; 256 KiB are far more than a query that people wrote.
    pub max_body: usize,
    /// How long a body may take to arrive; 10 s.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a request may take; 30 s. Becomes the deadline of its context.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// What a query may cost.
    pub guard: GuardLimits,
    /// Whether the schema may be asked for.
    pub introspection: bool,
    /// Whether errors suggest names that exist.
    pub suggestions: bool,
    /// Whether browsers get the playground.
    pub playground: bool,
}

impl Default for GraphqlOptions {
    fn default() -> Self {
        Self {
            path: "/graphql".into(),
            max_body: 256 * 1024,
            body_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            guard: GuardLimits::default(),
            introspection: true,
            suggestions: true,
            playground: true,
        }
    }
}

impl GraphqlOptions {
    /// The same without introspection, suggestions and playground: the schema is nobody's business.
    #[must_use]
    pub fn production(self) -> Self {
        Self { introspection: false, suggestions: false, playground: false, ..self }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
        if !self.path.starts_with('/') || !self.path.bytes().all(plain) {
            return Err(ConfigError::new("path", format_args!("must look like /graphql, got {:?}", self.path)));
        }
        if self.max_body == 0 {
            return Err(ConfigError::new("max_body", "must be at least 1, got 0"));
        }
        for (name, value) in [("timeout", self.timeout), ("body_timeout", self.body_timeout)] {
            if value.is_zero() || value > Duration::from_secs(3_600) {
                return Err(ConfigError::new(name, format_args!("must be from 1ms to 1h, got {value:?}")));
            }
        }
        self.guard.validate()
    }
}
