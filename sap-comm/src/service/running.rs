use std::{fmt, net::SocketAddr, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use sap_comm_core::{BoxError, RegistrationGuard};
use sap_comm_events::{Broker, SubscriptionHandle};
use sap_comm_rest::server::{HealthRegistry, ServerError};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{ServiceError, ServiceStopping, events::announce};

pub(super) type Drain = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>;

/// A service that runs until it is drained. Dropping it stops it at once.
pub struct RunningService {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) local_addr: SocketAddr,
    pub(super) broker: Option<Broker>,
    pub(super) health: HealthRegistry,
    pub(super) registration: Option<RegistrationGuard>,
    pub(super) subscriptions: Vec<SubscriptionHandle>,
    pub(super) serving: Option<Serving>,
    pub(super) stops: Vec<Drain>,
    pub(super) drains: Vec<Drain>,
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

    /// Runs until Ctrl-C or SIGTERM, then drains.
    ///
    /// # Errors
    /// When signals cannot be waited for, and those of [`RunningService::drain`].
    pub async fn run(self) -> Result<(), ServiceError> {
        if let Err(source) = stop_signal().await {
            return Err(ServiceError::Signal { service: self.name.clone(), source: source.into() });
        }
        self.drain().await
    }

    /// Stops in order: leave the registry, stop accepting, finish requests and deliveries, flush, close. Bounded by the
    /// drain timeout; what has not ended by then is ended.
    ///
    /// # Errors
    /// Everything that went wrong, after all of it was tried.
    pub async fn drain(mut self) -> Result<(), ServiceError> {
        let deadline = Instant::now() + self.drain_timeout;
        let mut reasons = Vec::new();
        tracing::info!(service = self.name, "service drains");
        self.health.set_draining();
        drop(self.registration.take());
        let (stops, serving) = (std::mem::take(&mut self.stops), self.serving.take());
        let handles = std::mem::take(&mut self.subscriptions);
        let stops = join_all(stops.into_iter().map(|stop| run_step(stop, deadline)));
        let requests_and_deliveries = async {
            let requests = finish_requests(serving, deadline).await;
            let deliveries = timeout_at(deadline, join_all(handles.into_iter().map(SubscriptionHandle::stop))).await;
            let deliveries =
                deliveries.map(drop).map_err(|_| "deliveries were in flight: they are delivered again".to_owned());
            [requests, deliveries]
        };
        let (stops, ended) = tokio::join!(stops, requests_and_deliveries);
        reasons.extend(stops.into_iter().chain(ended).filter_map(Result::err));
        if let Some(broker) = &self.broker {
            let stopping = ServiceStopping { service: self.name.clone(), instance: self.instance.clone() };
            if timeout_at(deadline, announce(broker, stopping)).await.is_err() {
                reasons.push("service.stopping was not published in time".to_owned());
            }
        }
        while let Some(drain) = self.drains.pop() {
            reasons.extend(run_step(drain, deadline).await.err());
        }
        tracing::info!(service = self.name, "service stopped");
        if reasons.is_empty() { Ok(()) } else { Err(ServiceError::Drain { service: self.name.clone(), reasons }) }
    }
}

async fn run_step(step: Drain, deadline: Instant) -> Result<(), String> {
    match timeout_at(deadline, step()).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("a drain step ran out of time".to_owned()),
    }
}

async fn finish_requests(serving: Option<Serving>, deadline: Instant) -> Result<(), String> {
    let Some(mut serving) = serving else { return Ok(()) };
    serving.stop.cancel();
    match timeout_at(deadline, &mut serving.task).await {
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(format!("listener: {error}")),
        Err(_) => Err("requests were still in flight".to_owned()),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
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
