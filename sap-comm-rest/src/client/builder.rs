use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sap_comm_core::{Resolver, Secret, config::ConfigError};
use sap_comm_discovery::{Balancer, BalancerConfig};
use sap_comm_resilience::{CircuitBreaker, Retry, RetryBudget};

use super::{Client, ClientConfig, Inner, Upstream, transport};
use crate::{
    egress::Egress,
    options::{self, check, check_duration},
    tls::ClientTls,
};

/// Retries may add a fifth to the load of a service that fails, and ten a second for rare callers.
const BUDGET: (f64, u32) = (0.2, 10);

/// Builds a [`Client`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {
    service: String,
    resolver: Option<Arc<dyn Resolver>>,
    balancing: BalancerConfig,
    balancer: Option<Balancer>,
    config: ClientConfig,
    breaker: Choice<CircuitBreaker>,
    retry: Choice<Retry>,
    api_key: Option<Secret<String>>,
    tls: Option<ClientTls>,
}

/// A part that is made from the configuration unless it was given or left out.
#[derive(Debug, Clone)]
enum Choice<T> {
    Configured,
    Given(T),
    None,
}

impl ClientBuilder {
    pub(super) fn new(service: String) -> Self {
        Self {
            service,
            resolver: None,
            balancing: BalancerConfig::default(),
            balancer: None,
            config: ClientConfig::default(),
            breaker: Choice::Configured,
            retry: Choice::Configured,
            api_key: None,
            tls: None,
        }
    }

    /// Finds the endpoints of the service; the client balances among them.
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// How to balance among what the resolver finds.
    pub fn balancing(mut self, config: BalancerConfig) -> Self {
        self.balancing = config;
        self
    }

    /// Shares a balancer, in place of a resolver.
    pub fn balancer(mut self, balancer: Balancer) -> Self {
        self.balancer = Some(balancer);
        self
    }

    /// Takes limits, breaker and retries from a configuration.
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    /// How long one attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long the whole call may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Bytes of a response that is read as a whole.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.config.max_response = bytes;
        self
    }

    /// How long the peer may send nothing while a response is read as a stream.
    pub fn stream_idle(mut self, limit: Duration) -> Self {
        self.config.stream_idle = limit;
        self
    }

    /// Goes through this breaker, which may be shared.
    pub fn circuit_breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.breaker = Choice::Given(breaker);
        self
    }

    /// Goes through no breaker.
    pub fn without_circuit_breaker(mut self) -> Self {
        self.breaker = Choice::None;
        self
    }

    /// Retries like this. Only calls that may be made twice are retried, whatever it says.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Choice::Given(retry);
        self
    }

    /// Makes one attempt.
    pub fn without_retry(mut self) -> Self {
        self.retry = Choice::None;
        self
    }

    /// Calls with this API key, as a peer that the service trusts.
    pub fn api_key(mut self, key: Secret<String>) -> Self {
        self.api_key = Some(key);
        self
    }

    /// Connects to this machine's own addresses, whoever announces them: for development.
    pub fn insecure_allow_loopback(mut self) -> Self {
        self.config.egress.insecure_loopback = true;
        self
    }

    /// Shares this TLS, in place of the configuration's own, so that it can be reloaded by hand. With a certificate of its own the client is
    /// a peer to services that know it, as with an API key.
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// Names the option that is missing or cannot be used.
    pub fn build(self) -> Result<Client, ConfigError> {
        let Self { service, resolver, balancing, balancer, config, breaker, retry, api_key, tls } = self;
        check(!service.is_empty(), "service", "\"\"", "must not be empty")?;
        let upstream = match (balancer, resolver) {
            (Some(balancer), None) => Upstream::Balanced(balancer),
            (None, Some(resolver)) => Upstream::Resolved(resolver, balancing, OnceLock::new()),
            (None, None) => return Err(ConfigError::new("resolver", "is missing, and there is no balancer either")),
            (Some(_), Some(_)) => {
                return Err(ConfigError::new("balancer", "is there beside a resolver, which would not be used"));
            }
        };
        check_duration("timeout", config.timeout)?;
        check_duration("deadline", config.deadline)?;
        check_duration("connect_timeout", config.connect_timeout)?;
        check_duration("idle_timeout", config.idle_timeout)?;
        check_duration("stream_idle", config.stream_idle)?;
        check(config.max_response > 0, "max_response", config.max_response, "must be at least 1")?;
        let breaker = match breaker {
            Choice::Configured => {
                let breaker = CircuitBreaker::from_config(service.clone(), config.circuit_breaker.clone());
                Some(breaker.map_err(|error| error.within("circuit_breaker"))?)
            }
            Choice::Given(breaker) => Some(breaker),
            Choice::None => None,
        };
        let retry = match retry {
            Choice::Configured => {
                let budget = RetryBudget::new(BUDGET.0, BUDGET.1)?;
                let retry = Retry::builder().config(config.retry.clone()).budget(budget).build();
                Some(retry.map_err(|error| error.within("retry"))?)
            }
            Choice::Given(retry) => Some(retry),
            Choice::None => None,
        };
        let configured = match &upstream {
            Upstream::Balanced(balancer) => balancer.resolver().is_configured(),
            Upstream::Resolved(resolver, ..) => resolver.is_configured(),
        };
        let egress = Egress::new(&config.egress, configured).map_err(|error| error.within("egress"))?;
        let tls = match tls {
            Some(tls) => tls,
            None => ClientTls::load(config.tls.clone()).map_err(|error| error.within("tls"))?,
        };
        Ok(Client(Arc::new(Inner {
            upstream,
            shows_certificate: tls.shows_certificate(),
            transport: transport::build(&config, tls, egress),
            breaker,
            retry,
            api_key: api_key.as_ref().map(options::api_key).transpose()?,
            attempt_timeout: config.timeout,
            deadline: config.deadline,
            max_response: config.max_response,
            stream_idle: config.stream_idle,
            service,
        })))
    }
}
