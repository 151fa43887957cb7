use std::time::Duration;

use sap_comm_core::config::duration;
use sap_comm_resilience::{CircuitBreakerConfig, RetryConfig};
use serde::{Deserialize, Serialize};

use crate::{egress::EgressConfig, tls::ClientTlsConfig};

/// Everything about a [`Client`](super::Client) that can stand in a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long one attempt may take, with the body for `fetch`. Default 3 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long the whole call may take, with all its attempts. Default 10 s; the context's deadline may be sooner.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// How long a connect may take. Default 1 s: within a data centre it takes a millisecond.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Bytes of a response that is read as a whole. Default 4 MiB.
    pub max_response: usize,
    /// How long the peer may send nothing while a response is read as a stream. Default 5 min, as in a gateway: streams of
    /// events say something more often.
    #[serde(with = "duration")]
    pub stream_idle: Duration,
    /// Connections kept open to one endpoint without a request. Default 32.
    pub max_idle_connections: usize,
    /// How long such a connection is kept. Default 20 s: less than any server's own limit.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Which addresses are connected to, whatever discovery says.
    pub egress: EgressConfig,
    /// TLS to `https` endpoints. Default: the system's authorities are trusted.
    pub tls: ClientTlsConfig,
    /// The circuit breaker.
    pub circuit_breaker: CircuitBreakerConfig,
    /// The retries.
    pub retry: RetryConfig,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3),
            deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            max_response: 4 * 1024 * 1024,
            stream_idle: Duration::from_secs(300),
            max_idle_connections: 32,
            idle_timeout: Duration::from_secs(20),
            egress: EgressConfig::default(),
            tls: ClientTlsConfig::default(),
            circuit_breaker: CircuitBreakerConfig::default(),
            retry: RetryConfig::default(),
        }
    }
}
