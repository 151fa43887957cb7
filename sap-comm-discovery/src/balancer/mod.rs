mod candidate;
mod choose;
mod clock;
mod config;
mod error;
mod latency;
mod outlier;
mod picked;
mod published;
mod snapshot;
mod subject;
mod watch;

use std::{fmt, sync::Arc};

use sap_comm_core::{Context, Endpoint, Resolver};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout_at},
};

pub use config::{BalancerConfig, BalancerConfigBuilder};
pub use error::PickError;
pub use picked::{Outcome, Picked};
pub use snapshot::{BalancerSnapshot, EndpointSnapshot, ResolutionStatus};

use published::Shared;

/// Picks an endpoint of one service for each call.
///
/// Two endpoints are drawn by weight and the one with less load wins, load being the requests in flight times the
/// recent latency (peak EWMA, with a penalty for failures). Endpoints that keep failing are left out for a while, new
/// ones get their share by and by. Cheap to clone; the watch ends with the last clone.
#[derive(Clone)]
pub struct Balancer(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    watch: AbortHandle,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Balancer {
    /// Starts to watch `service`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>, service: &str, config: BalancerConfig) -> Self {
        let shared = Arc::new(Shared::new(resolver, service, config));
        let watch = tokio::spawn(watch::run(Arc::clone(&shared))).abort_handle();
        Self(Arc::new(Owner { shared, watch }))
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        self.0.shared.service()
    }

    /// What finds the endpoints.
    #[must_use]
    pub fn resolver(&self) -> &Arc<dyn Resolver> {
        self.0.shared.resolver()
    }

    /// Picks an endpoint, without waiting.
    ///
    /// # Errors
    /// At once when the service has no endpoint, or could not be resolved.
    pub fn pick(&self) -> Result<Picked, PickError> {
        let shared = &self.0.shared;
        let published = shared.published();
        let now = Instant::now();
        match choose::choose(published.candidates(), shared.clock().at(now), shared.config()) {
            Some(candidate) => Ok(Picked::new(Arc::clone(candidate), now)),
            None => {
                shared.hint_refresh();
                Err(published.fault(shared.service()))
            }
        }
    }

    /// Picks an endpoint other than `except`, to ask again elsewhere; `None` where there is no other that [`pick`](Self::pick)
    /// would choose.
    #[must_use]
    pub fn pick_except(&self, except: &Endpoint) -> Option<Picked> {
        let shared = &self.0.shared;
        let (published, now) = (shared.published(), Instant::now());
        let (set, at) = (published.candidates(), shared.clock().at(now));
        let eligible = choose::eligible(set, at, shared.config());
        let others: Vec<_> = eligible.filter(|candidate| !candidate.is_instance(except)).cloned().collect();
        let other = choose::choose(&others, at, shared.config())?;
        Some(Picked::new(Arc::clone(other), now))
    }

    /// Waits until the service was resolved for the first time.
    ///
    /// Gives up at the deadline of the current [`Context`], and after `resolve_timeout` at the latest.
    ///
    /// # Errors
    /// When the resolver says that there is no endpoint, or has not answered in time.
    pub async fn ready(&self) -> Result<(), PickError> {
        let shared = &self.0.shared;
        let limit = shared.config().resolve_timeout();
        let limit = Context::try_current().and_then(|context| context.remaining()).map_or(limit, |own| own.min(limit));
        let deadline = Instant::now() + limit;
        let mut changes = shared.changes();
        loop {
            if let Some(outcome) = shared.published().readiness(shared.service(), deadline) {
                return outcome;
            }
            if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return Err(shared.published().fault(shared.service()));
            }
        }
    }

    /// What the balancer knows at this moment, for admin pages and readiness checks.
    #[must_use]
    pub fn snapshot(&self) -> BalancerSnapshot {
        BalancerSnapshot::of(&self.0.shared)
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").field("service", &self.service()).finish_non_exhaustive()
    }
}
