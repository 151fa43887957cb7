use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use crate::{
    options::{check, check_duration},
    tls::ServerTlsConfig,
};

/// The limits of a [`Server`](super::Server).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Threads that serve, each with a runtime and a listener of its own, among which the kernel spreads connections;
    /// 0 serves on the caller's runtime. Default 0; at an edge, as many as there are cores.
    pub workers: usize,
    /// Connections at once. For further ones those are ended that have rested longest, for a second at least, without a byte of a
    /// request, be it in the TLS handshake; where none rests, they wait in the kernel's backlog. Default 10,000.
    pub max_connections: usize,
    /// From the first byte of a request on HTTP/1, or the answer to the one that it came behind, to the end of its headers, and for
    /// the first byte of a connection. Default 10 s; then a request that has begun is answered with 408.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests, on HTTP/2 before the first, too. Default 60 s.
    #[serde(with = "duration")]
    pub keep_alive_idle: Duration,
    /// How long a peer may take no byte of a response, on HTTP/2 of each of them. Default 30 s; then the connection ends, on HTTP/2 with
    /// as long again for the other responses. There it is also the time for all of a response beyond what 240 bytes a second take,
    /// regained by taking more, and while the response itself has nothing to send. What the system has for a peer ends with it after as long,
    /// two minutes at least and fifteen at most: on Linux, which asks it by TCP's keep-alive once it has been silent for a minute.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// Headers a request. Default 100.
    pub max_headers: usize,
    /// Bytes of a request's line and headers together, at least 8 KiB; on HTTP/2 32 more for each header. Default 32 KiB.
    pub max_header_bytes: usize,
    /// Bytes of a request's URI. Default 8 KiB.
    pub max_uri: usize,
    /// Requests at once on one HTTP/2 connection. Default 100.
    pub max_streams: u32,
    /// How long a connection is read on after its last response, if its request was not read to the end. Default 5 s:
    /// time to send what is on its way; closed at once, the peer would be reset and could lose the response.
    #[serde(with = "duration")]
    pub linger: Duration,
    /// Bytes that are read meanwhile. Default 64 MiB, the largest body that a gateway takes by default: whatever it
    /// takes can be refused by a service.
    pub max_linger_bytes: u64,
    /// How long open requests may still take at shutdown, and half of it those whose head or TLS handshake still arrives; a connection that
    /// came less than 500 ms before has the rest of those to begin. Default 4 s, so that a process can end within five.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// Certificates, to serve over TLS. Default none: in clear text.
    pub tls: Option<ServerTlsConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            max_headers: 100,
            max_header_bytes: 32 * 1024,
            max_uri: 8 * 1024,
            max_streams: 100,
            linger: Duration::from_secs(5),
            max_linger_bytes: 64 * 1024 * 1024,
            drain_timeout: Duration::from_secs(4),
            tls: None,
        }
    }
}

impl ServerConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let within = (1..=1_000_000).contains(&self.max_connections);
        check(within, "max_connections", self.max_connections, "must lie within 1..=1000000")?;
        let most = self.max_connections.min(1_024);
        check(self.workers <= most, "workers", self.workers, "must be at most 1024, and at most max_connections")?;
        check_duration("header_timeout", self.header_timeout)?;
        check_duration("keep_alive_idle", self.keep_alive_idle)?;
        check_duration("write_timeout", self.write_timeout)?;
        check((1..=1_000).contains(&self.max_headers), "max_headers", self.max_headers, "must lie within 1..=1000")?;
        let within = (8 * 1024..=1024 * 1024).contains(&self.max_header_bytes);
        check(within, "max_header_bytes", self.max_header_bytes, "must lie within 8192..=1048576")?;
        let fits = (1..=self.max_header_bytes).contains(&self.max_uri);
        check(fits, "max_uri", self.max_uri, "must lie within 1..=max_header_bytes")?;
        let within = (1..=10_000).contains(&self.max_streams);
        check(within, "max_streams", self.max_streams, "must lie within 1..=10000")?;
        check_duration("linger", self.linger)?;
        check_duration("drain_timeout", self.drain_timeout)?;
        self.tls.as_ref().map_or(Ok(()), |tls| tls.validate().map_err(|error| error.within("tls")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_field_is_named() {
        assert_eq!(ServerConfig::default().validate(), Ok(()));
        let config = ServerConfig { max_header_bytes: 100, ..ServerConfig::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "configuration: `max_header_bytes` = 100: must lie within 8192..=1048576"
        );
        let config = ServerConfig { keep_alive_idle: Duration::ZERO, ..ServerConfig::default() };
        assert_eq!(config.validate().unwrap_err().field(), "keep_alive_idle");
    }

    #[test]
    fn text_is_read_strictly() {
        let config: ServerConfig = serde_json::from_str(r#"{"drain_timeout": "30s"}"#).unwrap();
        assert_eq!(config.drain_timeout, Duration::from_secs(30));
        assert!(serde_json::from_str::<ServerConfig>(r#"{"drain_timout": "30s"}"#).is_err());
    }
}
