use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use super::CorsConfig;
use crate::options::{check, check_duration};

/// The limits of [`kit`](super::kit).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KitConfig {
    /// The service, named in every span. Default empty.
    pub service: String,
    /// Bytes of a request's body. Default 1 MiB.
    pub max_body: usize,
    /// How long a body may pause while it arrives. Default 10 s.
    #[serde(with = "duration")]
    pub body_pause: Duration,
    /// How long a handler may take to begin its response; becomes the deadline of the context. Default 30 s.
    #[serde(with = "duration")]
    pub handler_timeout: Duration,
    /// Which pages of other origins may call. Default none.
    pub cors: Option<CorsConfig>,
    /// Whether responses are compressed for those who take that. Default no: a secret in a response that repeats its request can
    /// be guessed by the length. A compressed version has an ETag of its own. Compressed requests are read in any case.
    #[cfg(feature = "compression")]
    pub compress_responses: bool,
}

impl Default for KitConfig {
    fn default() -> Self {
        Self {
            service: String::new(),
            max_body: 1024 * 1024,
            body_pause: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(30),
            cors: None,
            #[cfg(feature = "compression")]
            compress_responses: false,
        }
    }
}

impl KitConfig {
    /// The defaults for `service`.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let holds = (1..=1024 * 1024 * 1024).contains(&self.max_body);
        check(holds, "max_body", self.max_body, "must lie within 1 byte and 1 GiB")?;
        check_duration("body_pause", self.body_pause)?;
        check_duration("handler_timeout", self.handler_timeout)
    }
}
