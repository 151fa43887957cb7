use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use sap_comm_core::{ApiError, Endpoint, ErrorCode, Resolver, config::ConfigError};
use sap_comm_discovery::{Balancer, BalancerSnapshot, PickError, Picked};
use sap_comm_resilience::{CircuitBreaker, CircuitBreakerConfig, Permit, RetryBudget};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    Refusal, UpstreamConfig,
    body::{Begun, Upload, UploadFault},
    pool::{Lease, Pool},
    upgrade,
};
use crate::connector::Connector;

/// A service behind the gateway: its breaker, endpoints, connections, and the share of the gateway that it may take.
pub(super) struct Upstream {
    pub(super) breaker: CircuitBreaker,
    pub(super) pool: Pool,
    pub(super) config: UpstreamConfig,
    service: Arc<str>,
    balancer: Balancer,
    budget: RetryBudget,
    slots: Semaphore,
    /// For bodies that are on their way.
    uploads: Arc<Semaphore>,
}

/// How long a body waits that has no place among those that are on their way, and keeps a probe of the breaker.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// What a request holds of its upstream until its answer has ended.
#[derive(Debug)]
pub(super) struct InUse {
    /// Counts the request at its endpoint.
    pub(super) picked: Picked,
    pub(super) lease: Lease,
    /// When the answer began.
    pub(super) answered: Instant,
    /// Of an answer that has not come as a whole.
    pub(super) begun: Option<Begun>,
    /// Until the gateway stops, where the answer would not end by itself.
    pub(super) until: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    pub(super) _place: Place,
}

/// What a request takes up until its answer has ended.
#[derive(Debug)]
pub(super) enum Place {
    /// One of the upstream's slots.
    InFlight { _slot: Slot },
    /// One among the tunnels: an answer that tells of events may never end.
    Events { _slot: upgrade::Slot },
}

/// One of an upstream's slots, for whoever outlives the request's own future.
#[derive(Debug)]
pub(super) struct Slot(Arc<Upstream>);

impl Slot {
    pub(super) fn keep(slot: SemaphorePermit<'_>, upstream: &Arc<Upstream>) -> Self {
        slot.forget();
        Self(Arc::clone(upstream))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.slots.add_permits(1);
    }
}

impl Upstream {
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(
        service: &str,
        resolver: Arc<dyn Resolver>,
        breaker: CircuitBreakerConfig,
        config: &UpstreamConfig,
        connector: Connector,
    ) -> Result<Self, ConfigError> {
        let breaker =
            CircuitBreaker::from_config(service.to_owned(), breaker).map_err(|error| error.within("breaker"))?;
        let retry = &config.retry;
        let budget = RetryBudget::new(retry.budget_share, retry.budget_per_second)
            .map_err(|error| error.within("upstream.retry"))?;
        Ok(Self {
            service: service.into(),
            breaker,
            pool: Pool::new(config, connector),
            balancer: Balancer::new(resolver, service, config.balancer.clone()),
            budget,
            slots: Semaphore::new(config.max_in_flight),
            uploads: Arc::new(Semaphore::new(config.max_uploads())),
            config: config.clone(),
        })
    }

    pub(super) fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// A slot of the upstream's share, so that one that hangs does not take up what the others need, and leave of its breaker.
    pub(super) fn enter(&self) -> Result<(SemaphorePermit<'_>, Permit<'_>), ApiError> {
        let slot = self.slots.try_acquire();
        let slot = slot.map_err(|_| overloaded("Too many requests to the service are open"))?;
        let permit = self.breaker.try_acquire().map_err(|rejected| {
            ApiError::new(ErrorCode::CIRCUIT_OPEN, "The service is not available now")
                // Never zero, which would ask for a retry at once.
                .retry_after(rejected.retry_after().max(Duration::from_millis(1)))
                .caused_by(rejected)
        })?;
        Ok((slot, permit))
    }

    /// Lets a body in that has come with its head, and others as long as there are places: clients that send slowly do not take up what
    /// the others need. Whether it is in.
    pub(super) async fn enter_upload(&self, upload: &Upload) -> Result<bool, UploadFault> {
        // Whoever reads the connection has a turn for what follows the head, and one for the end of that.
        for turn in 0..3 {
            match poll_fn(|cx| Poll::Ready(upload.poll_come(cx))).await {
                Poll::Ready(Ok(true)) => return Ok(true),
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(fault)) => return Err(fault),
                Poll::Pending if turn < 2 => yield_now().await,
                Poll::Pending => {}
            }
        }
        let place = Arc::clone(&self.uploads).try_acquire_owned().ok();
        Ok(place.map(|place| upload.holds(place)).is_some())
    }

    /// Waits a moment until a short body has come, or there is a place for it.
    pub(super) async fn await_upload(&self, upload: &Upload) -> Result<(), Refusal> {
        let comes = poll_fn(|cx| match upload.poll_come(cx) {
            Poll::Ready(Ok(false)) => Poll::Pending,
            come => come,
        });
        let entered = async {
            tokio::select! {
                come = comes => come.map(|_| ()),
                place = Arc::clone(&self.uploads).acquire_owned() => {
                    // It is never closed.
                    place.into_iter().for_each(|place| upload.holds(place));
                    Ok(())
                }
            }
        };
        match timeout(MOMENT, entered).await {
            Ok(entered) => Ok(entered?),
            Err(_) => Err(overloaded("Too many bodies for the service are on their way").into()),
        }
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.config.max_in_flight.saturating_sub(self.slots.available_permits())
    }

    /// Bodies that are on their way.
    pub(super) fn uploading(&self) -> usize {
        self.config.max_uploads().saturating_sub(self.uploads.available_permits())
    }

    /// An endpoint; the first request to a service waits until it is resolved.
    pub(super) async fn pick(&self) -> Result<Picked, PickError> {
        match self.balancer.pick() {
            Ok(picked) => Ok(picked),
            Err(_) => {
                Box::pin(self.balancer.ready()).await?;
                self.balancer.pick()
            }
        }
    }

    /// Any endpoint that is known now.
    pub(super) fn pick_any(&self) -> Option<Picked> {
        self.balancer.pick().ok()
    }

    /// An endpoint other than `failed`, if there is one.
    pub(super) fn pick_other(&self, failed: &Endpoint) -> Option<Picked> {
        self.balancer.pick_except(failed)
    }

    /// Counts a first attempt, which earns a share of a retry.
    pub(super) fn earn_retry(&self) {
        if self.config.retry.max_retries > 0 {
            self.budget.deposit();
        }
    }

    /// Whether the budget has a retry left, which is then spent.
    pub(super) fn spend_retry(&self) -> bool {
        self.budget.try_withdraw()
    }

    pub(super) fn endpoints(&self) -> BalancerSnapshot {
        self.balancer.snapshot()
    }
}

fn overloaded(message: &str) -> ApiError {
    ApiError::new(ErrorCode::OVERLOADED, message).retry_after(Duration::from_secs(1))
}

impl InUse {
    /// Nobody reads on.
    pub(super) fn finish(self) {
        let ended = match self.begun {
            Some(mut begun) => {
                begun.left(&self.picked);
                Instant::now()
            }
            // All of it came at once.
            None => self.answered,
        };
        self.lease.give_back(ended);
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
