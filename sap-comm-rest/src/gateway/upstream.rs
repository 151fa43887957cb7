use std::{fmt, sync::Arc};

use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use sap_comm_core::{Endpoint, Resolver, config::ConfigError};
use sap_comm_discovery::{Balancer, BalancerConfig, PickError, Picked};
use sap_comm_resilience::{CircuitBreaker, CircuitBreakerConfig};

use super::{UpstreamConfig, body::UploadBody};
use crate::{connector::Connector, egress::Egress, tls::ClientTls};

/// Connections to all upstreams.
pub(super) type Pool = Client<Connector, UploadBody>;

/// A service behind the gateway.
pub(super) struct Upstream {
    pub(super) breaker: CircuitBreaker,
    balancer: Balancer,
}

impl Upstream {
    pub(super) fn new(
        service: &str,
        resolver: Arc<dyn Resolver>,
        breaker: CircuitBreakerConfig,
    ) -> Result<Self, ConfigError> {
        let breaker =
            CircuitBreaker::from_config(service.to_owned(), breaker).map_err(|error| error.within("breaker"))?;
        Ok(Self { breaker, balancer: Balancer::new(resolver, service, BalancerConfig::default()) })
    }

    /// An endpoint; the first request to a service waits until it is resolved.
    pub(super) async fn pick(&self) -> Result<Picked, PickError> {
        match self.balancer.pick() {
            Ok(picked) => Ok(picked),
            Err(_) => {
                self.balancer.ready().await?;
                self.balancer.pick()
            }
        }
    }

    /// Any endpoint that is known now.
    pub(super) fn pick_any(&self) -> Option<Picked> {
        self.balancer.pick().ok()
    }

    /// An endpoint other than `failed`, if chance finds one.
    pub(super) fn pick_other(&self, failed: &Endpoint) -> Option<Picked> {
        // Each draw leaves out the worse of two, so that a few find another one if there is any.
        const DRAWS: usize = 8;
        (0..DRAWS).filter_map(|_| self.balancer.pick().ok()).find(|picked| picked.endpoint() != failed)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("balancer", &self.balancer)
            .field("state", &self.breaker.state())
            .finish_non_exhaustive()
    }
}

pub(super) fn pool(config: &UpstreamConfig, tls: ClientTls, egress: Egress) -> Pool {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.pool_idle_timeout)
        .pool_max_idle_per_host(config.pool_idle_per_endpoint)
        .http1_max_buf_size(64 * 1024)
        .build(Connector::new(config.connect_timeout, config.pool_idle_timeout, tls, egress))
}
