//! A client of another service of the system.

mod attempt;
mod builder;
mod call;
mod config;
mod error;
mod pages;
mod path;
mod payload;
mod perform;
mod request;
mod response;
mod retryable;
mod transport;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderValue, Method};
use sap_comm_core::Resolver;
use sap_comm_discovery::{Balancer, BalancerConfig};
use sap_comm_resilience::{CircuitBreaker, Retry};

pub use builder::ClientBuilder;
pub use call::{Answer, Call, CallError};
pub use config::ClientConfig;
pub use error::ClientError;
pub use request::RequestBuilder;
pub use response::Response;

use transport::Transport;

/// Calls one service: finds its endpoints, passes the context on, and copes with failures.
///
/// Every call carries the ids and the trace of the current [`Context`](sap_comm_core::Context); with an API key also its
/// principal, attempt count and deadline. A call is made of attempts, each with its own timeout, through the circuit
/// breaker, to an endpoint of the balancer's choice. Further attempts follow when the last one failed, the call may be
/// made twice, and budget and deadline allow. Cheap to clone; clones share connections, breaker and balancer.
///
/// An attempt may have succeeded although its answer was lost; the next one then meets its work. The call ends with what the
/// last attempt is answered: 404 for a DELETE that had succeeded, 409 or 412 for a change. Only an idempotency key
/// ([`Call::idempotency_key`], [`Operation::idempotency_key`](crate::operation::Operation::idempotency_key)) makes the
/// service give the first answer again.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use sap_comm_core::EnvResolver;
/// use sap_comm_rest::client::Client;
///
/// #[derive(serde::Deserialize)]
/// struct User {
///     email: String,
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let users = Client::builder("user-service").resolver(Arc::new(EnvResolver::new())).build()?;
/// let user: User = users.get("/api/v1/users/{}", ["usr_1"]).fetch().await?;
/// println!("{}", user.email);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    service: String,
    upstream: Upstream,
    transport: Transport,
    breaker: Option<CircuitBreaker>,
    retry: Option<Retry>,
    api_key: Option<HeaderValue>,
    /// To endpoints with TLS.
    shows_certificate: bool,
    attempt_timeout: Duration,
    deadline: Duration,
    max_response: usize,
    stream_idle: Duration,
}

/// Where the endpoints come from. A balancer of our own begins with the first call, since it needs a runtime.
enum Upstream {
    Balanced(Balancer),
    Resolved(Arc<dyn Resolver>, BalancerConfig, OnceLock<Balancer>),
}

impl Client {
    /// Starts to build a client of `service`.
    pub fn builder(service: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(service.into())
    }

    /// Begins a GET. Each `{}` of `template` is filled with the next parameter, percent-encoded as one segment.
    pub fn get<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::GET, template, parameters)
    }

    /// Begins a POST; see [`Client::get`].
    pub fn post<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::POST, template, parameters)
    }

    /// Begins a PUT; see [`Client::get`].
    pub fn put<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::PUT, template, parameters)
    }

    /// Begins a PATCH; see [`Client::get`].
    pub fn patch<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::PATCH, template, parameters)
    }

    /// Begins a DELETE; see [`Client::get`].
    pub fn delete<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::DELETE, template, parameters)
    }

    /// Begins a request of any method; see [`Client::get`].
    pub fn request<const N: usize>(&self, method: Method, template: &str, parameters: [&str; N]) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, path::fill(template, &parameters))
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The circuit breaker, for health pages.
    #[must_use]
    pub fn circuit_breaker(&self) -> Option<&CircuitBreaker> {
        self.0.breaker.as_ref()
    }

    fn balancer(&self) -> &Balancer {
        match &self.0.upstream {
            Upstream::Balanced(balancer) => balancer,
            Upstream::Resolved(resolver, config, balancer) => {
                balancer.get_or_init(|| Balancer::new(Arc::clone(resolver), &self.0.service, config.clone()))
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("service", &self.0.service).finish_non_exhaustive()
    }
}
