use std::{path::PathBuf, time::Duration};

use sap_comm_core::{
    Secret,
    config::{ConfigError, duration},
};
use serde::{Deserialize, Serialize};

use crate::options::{check, check_duration};

/// Where several gateways count together, so that a caller has one quota at all of them. Needs the feature `redis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SharedLimits {
    /// The Redis server: `redis://host:port`, or `rediss://host:port` over TLS, with a password where it has one.
    pub url: Secret<String>,
    /// The PEM file of the authorities to trust, in place of the system's, which must be readable all the same. It is read once.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// What every key begins with. Default `sap:limit:`.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// How long a request waits for Redis before it is away. Default 50 ms: it answers in less than one.
    #[serde(default = "timeout", with = "duration")]
    pub timeout: Duration,
    /// What holds while Redis is away.
    #[serde(default)]
    pub when_away: WhenAway,
}

/// What holds while the server that gateways count on is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenAway {
    /// Each gateway counts for itself, with the whole quota. The default: nobody is refused for it, and nobody unlimited.
    #[default]
    Local,
    /// Nobody is counted.
    Open,
    /// Requests under a limit are refused with 503.
    Closed,
}

fn prefix() -> String {
    "sap:limit:".to_owned()
}

fn timeout() -> Duration {
    Duration::from_millis(50)
}

impl SharedLimits {
    /// The defaults, on the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            ca: None,
            prefix: prefix(),
            timeout: timeout(),
            when_away: WhenAway::default(),
        }
    }

    pub(in crate::gateway) fn validate(&self) -> Result<(), ConfigError> {
        let field = "shared_limits";
        // A fragment would switch off that certificates are looked at.
        let url = url::Url::parse(self.url.expose()).ok().filter(|url| url.has_host() && url.fragment().is_none());
        match url.as_ref().map(url::Url::scheme) {
            Some("rediss") => {}
            Some("redis") if self.ca.is_none() => {}
            Some("redis") => return Err(ConfigError::new("shared_limits.ca", "is for rediss:// URLs")),
            // It may hold a password, so it is not repeated.
            _ => return Err(ConfigError::new("shared_limits.url", "must be like redis://host:6379")),
        }
        let length = self.prefix.len();
        check((1..=64).contains(&length), "prefix", format_args!("{:?}", self.prefix), "must have 1 to 64 bytes")
            .and_then(|()| check_duration("timeout", self.timeout))
            .and_then(|()| {
                let most = Duration::from_secs(5);
                let shown = humantime::format_duration(self.timeout);
                check(self.timeout <= most, "timeout", shown, "must be at most 5s, which every request may wait")
            })
            .map_err(|error| error.within(field))
    }
}
