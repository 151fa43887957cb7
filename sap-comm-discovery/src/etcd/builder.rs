use std::{sync::Arc, time::Duration};

use sap_comm_core::Endpoint;

use super::{Etcd, api::Api, keys::Keys};
use crate::pace::Hints;

/// Builds an [`Etcd`].
#[derive(Debug, Clone)]
#[must_use]
pub struct EtcdBuilder {
    servers: Vec<String>,
    prefix: String,
    ttl: Duration,
}

/// Why an [`Etcd`] cannot be built; names the option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("etcd: {option}: {reason}")]
pub struct EtcdError {
    option: &'static str,
    reason: String,
}

impl Default for EtcdBuilder {
    fn default() -> Self {
        Self { servers: Vec::new(), prefix: "sap-comm/services".into(), ttl: Duration::from_secs(15) }
    }
}

impl EtcdBuilder {
    /// Adds a member of the cluster, `host:port`; at least one is needed.
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// What the keys of all services begin with.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a registration outlives its process, in whole seconds. 15 s: five renewals may be lost.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Reads what follows `etcd:`: `//host:port,host:port/prefix`.
    pub(crate) fn from_url(rest: &str) -> Result<Self, EtcdError> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (servers, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let mut builder = Self::default();
        for server in servers.split(',').filter(|server| !server.is_empty()) {
            builder = builder.server(server);
        }
        if !prefix.is_empty() {
            builder = builder.prefix(prefix);
        }
        Ok(builder)
    }

    /// Builds; nothing is asked yet.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn build(self) -> Result<Etcd, EtcdError> {
        let fail = |option, reason: String| Err(EtcdError { option, reason });
        if self.servers.is_empty() {
            return fail("server", "at least one is needed, such as etcd://127.0.0.1:2379".into());
        }
        let mut servers = Vec::new();
        for server in &self.servers {
            match Endpoint::parse(&format!("http://{server}")) {
                // Without a port it is etcd's own, not that of HTTP.
                Ok(endpoint) if endpoint.authority().ends_with(":80") && !server.ends_with(":80") => {
                    servers.push(format!("{}:2379", endpoint.authority().trim_end_matches(":80")));
                }
                Ok(endpoint) => servers.push(endpoint.authority().to_owned()),
                Err(error) => return fail("server", error.to_string()),
            }
        }
        let prefix = self.prefix.trim_matches('/');
        if prefix.is_empty() || prefix.contains('\0') {
            return fail("prefix", format!("{:?} must be a path", self.prefix));
        }
        if self.ttl < Duration::from_secs(2) || self.ttl > Duration::from_secs(86_400) {
            return fail("ttl", format!("{:?} must lie within 2 s and a day", self.ttl));
        }
        Ok(Etcd { api: Arc::new(Api::new(servers)), keys: Keys::new(prefix), ttl: self.ttl, hints: Hints::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_options() {
        let builder = EtcdBuilder::from_url("//a:1,b:2/some/where").unwrap();
        assert_eq!((builder.servers.len(), builder.prefix.as_str()), (2, "some/where"));
        assert!(builder.build().is_ok());
        assert!(EtcdBuilder::from_url("//localhost").unwrap().build().is_ok());
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (builder, part) in [
            (Etcd::builder(), "etcd: server: at least one"),
            (Etcd::builder().server("user:secret@a:1"), "etcd: server: "),
            (Etcd::builder().server("a:1").prefix("/"), "etcd: prefix: \"/\""),
            (Etcd::builder().server("a:1").ttl(Duration::ZERO), "etcd: ttl: 0ns"),
        ] {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }
}
