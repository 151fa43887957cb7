use std::{fmt, net::SocketAddr, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use sap_comm_core::{BoxError, RegistrationGuard};
use sap_comm_events::{Broker, SubscriptionHandle};
use sap_comm_rest::server::{HealthRegistry, ServerError};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{ServiceError, ServiceStopping, events::announce, stop::StopSignal};

pub(super) type Step = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>;

/// A service that runs until it is drained. Dropping it stops it at once.
pub struct RunningService {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) local_addr: SocketAddr,
    pub(super) broker: Option<Broker>,
    pub(super) health: HealthRegistry,
    pub(super) registration: Option<RegistrationGuard>,
    pub(super) subscriptions: Vec<SubscriptionHandle>,
    pub(super) serving: Serving,
    pub(super) stops: Vec<Step>,
    pub(super) drains: Vec<Step>,
    pub(super) drain_timeout: Duration,
}

/// The task that serves requests; dropping it ends it.
pub(super) struct Serving {
    pub(super) task: JoinHandle<Result<(), ServerError>>,
    pub(super) stop: CancellationToken,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RunningService {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Runs until Ctrl-C, SIGTERM, or the end of the listener, then drains.
    ///
    /// # Errors
    /// When signals cannot be waited for, the listener failed, and those of [`RunningService::drain`].
    pub async fn run(self) -> Result<(), ServiceError> {
        let signal = StopSignal::install(&self.name)?;
        self.run_until(signal).await
    }

    pub(super) async fn run_until(mut self, mut signal: StopSignal) -> Result<(), ServiceError> {
        let listener = tokio::select! {
            () = signal.arrived() => None,
            ended = &mut self.serving.task => Some(ended),
        };
        if listener.is_some() {
            tracing::error!(service = self.name, "the listener has ended");
            // Nothing is left to wait for.
            self.serving.task = tokio::spawn(async { Ok(()) });
        }
        let service = self.name.clone();
        let drained = self.drain().await;
        match listener {
            None | Some(Ok(Ok(()))) => drained,
            Some(Ok(Err(source))) => Err(ServiceError::Server { service, source }),
            Some(Err(error)) => Err(ServiceError::Listener { service, reason: error.to_string() }),
        }
    }

    /// Drains within the drain timeout; see [`RunningService::drain_by`].
    ///
    /// # Errors
    /// Everything that went wrong, after all of it was tried.
    pub async fn drain(self) -> Result<(), ServiceError> {
        let deadline = Instant::now() + self.drain_timeout;
        self.drain_by(deadline).await
    }

    /// Stops in order: leave the registry, announce it; stop accepting and finish requests and deliveries; run the drain
    /// steps. What has not ended by the deadline is ended; the last quarter of the time is kept for the drain steps. The listener has five
    /// eighths of the builder's `drain_timeout`, and its own, however late the deadline is.
    ///
    /// # Errors
    /// Everything that went wrong, after all of it was tried.
    pub async fn drain_by(mut self, deadline: Instant) -> Result<(), ServiceError> {
        tracing::info!(service = self.name, "service drains");
        let first = deadline - deadline.saturating_duration_since(Instant::now()) / 4;
        self.health.set_draining();
        drop(self.registration.take());

        let announced = announce_stopping(self.broker.as_ref(), &self.name, &self.instance, first);
        let stops = join_all(self.stops.drain(..).map(|stop| run_step(stop, first)));
        let handles = std::mem::take(&mut self.subscriptions);
        let deliveries = timeout_at(first, join_all(handles.into_iter().map(SubscriptionHandle::stop)));
        let requests = finish_requests(&mut self.serving, first);
        let (announced, stops, requests, deliveries) = tokio::join!(announced, stops, requests, deliveries);
        let deliveries =
            deliveries.map(drop).map_err(|_| "deliveries were in flight: they are delivered again".to_owned());
        let results = stops.into_iter().chain([announced, requests, deliveries]);
        let mut reasons: Vec<_> = results.filter_map(Result::err).collect();

        while let Some(drain) = self.drains.pop() {
            reasons.extend(run_step(drain, deadline).await.err());
        }
        tracing::info!(service = self.name, "service stopped");
        if reasons.is_empty() { Ok(()) } else { Err(ServiceError::Drain { service: self.name.clone(), reasons }) }
    }
}

async fn announce_stopping(
    broker: Option<&Broker>,
    service: &str,
    instance: &str,
    deadline: Instant,
) -> Result<(), String> {
    let Some(broker) = broker else { return Ok(()) };
    let stopping = ServiceStopping { service: service.to_owned(), instance: instance.to_owned() };
    let announced = timeout_at(deadline, announce(broker, stopping)).await;
    announced.map_err(|_| "service.stopping was not published in time".to_owned())
}

async fn finish_requests(serving: &mut Serving, deadline: Instant) -> Result<(), String> {
    serving.stop.cancel();
    match timeout_at(deadline, &mut serving.task).await {
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(format!("listener: {error}")),
        Err(_) => Err("requests were still in flight".to_owned()),
    }
}

async fn run_step(step: Step, deadline: Instant) -> Result<(), String> {
    match timeout_at(deadline, step()).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("a drain step ran out of time".to_owned()),
    }
}

impl fmt::Debug for RunningService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningService")
            .field("name", &self.name)
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}
