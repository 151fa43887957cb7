use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::BoxFuture;
use sap_comm_core::{BoxError, Endpoint, Registrar, Registration, id};
use sap_comm_events::{Broker, EventRouter, Subscription};
use sap_comm_rest::{
    gateway::Gateway,
    server::{HealthRegistry, KitConfig, Server, ServerConfig, ServerError, kit},
    tls::ServerTls,
};
use tokio_util::sync::CancellationToken;

use super::{
    RunningService, ServiceError, ServiceStarted,
    events::announce,
    running::{Serving, Step},
    stop::StopSignal,
};

/// A service: what it serves, what it subscribes to, and what it does when it stops.
pub struct Service(ServiceBuilder);

/// Builds a [`Service`].
#[must_use]
pub struct ServiceBuilder {
    name: String,
    listen: SocketAddr,
    advertise: Option<Endpoint>,
    server: ServerConfig,
    tls: Option<ServerTls>,
    kit: Option<KitConfig>,
    routes: Option<Router>,
    gateway: Option<Gateway>,
    broker: Option<Broker>,
    subscriptions: Vec<(Subscription, EventRouter)>,
    registrar: Option<Arc<dyn Registrar>>,
    health: HealthRegistry,
    stops: Vec<Step>,
    drains: Vec<Step>,
    drain_timeout: Duration,
}

impl Service {
    /// Starts to build the service `name`, which names its events, its consumer group and its endpoint.
    pub fn builder(name: impl Into<String>) -> ServiceBuilder {
        let name = name.into();
        ServiceBuilder {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            server: ServerConfig::default(),
            tls: None,
            kit: None,
            routes: None,
            gateway: None,
            broker: None,
            subscriptions: Vec::new(),
            registrar: None,
            health: HealthRegistry::new(),
            stops: Vec::new(),
            drains: Vec::new(),
            drain_timeout: Duration::from_secs(4),
            name,
        }
    }

    /// Subscribes, serves, registers and announces itself, in this order.
    ///
    /// # Errors
    /// The first step that fails; what was started before it is stopped again.
    pub async fn start(self) -> Result<RunningService, ServiceError> {
        let ServiceBuilder { name, listen, advertise, server, tls, kit: config, routes, gateway, .. } = self.0;
        let ServiceBuilder { broker, subscriptions, registrar, health, stops, drains, drain_timeout, .. } = self.0;

        let failed = |source| ServiceError::Server { service: name.clone(), source };
        // Requests have three quarters of the time; what they leave behind, such as the lines of a gateway's log, is part of that.
        let mut server = server;
        server.drain_timeout = server.drain_timeout.min(drain_timeout * 5 / 8);
        let server = Server::bind(listen, server).await.map_err(failed)?;
        let server = match tls {
            Some(tls) => server.with_tls(tls),
            None => server,
        };
        if let Some(gateway) = &gateway {
            gateway.check_exposed(&server).map_err(failed)?;
        }
        let local_addr = server.local_addr();
        let scheme = if server.tls().is_some() { "https" } else { "http" };
        let endpoint = match advertise {
            Some(endpoint) => endpoint,
            None => Endpoint::parse(&format!("{scheme}://{local_addr}")).map_err(|error| ServiceError::Config {
                service: name.clone(),
                field: "listen",
                reason: error.to_string(),
            })?,
        };
        let instance = id::prefixed(&name);

        if let Some(broker) = &broker {
            let broker = broker.clone();
            health.register("broker", move || {
                let broker = broker.clone();
                async move { ready(&broker) }
            });
        }
        let served = match gateway {
            Some(gateway) => Served::Gateway(gateway, health.clone()),
            None => {
                let routes = routes.unwrap_or_default().merge(health.router());
                Served::Routes(kit(routes, config.unwrap_or_else(|| KitConfig::new(&name))))
            }
        };
        let mut handles = Vec::new();
        if let Some(broker) = &broker {
            for (subscription, router) in subscriptions {
                let handle = broker.subscribe(subscription, router).await;
                handles.push(
                    handle
                        .map_err(|source| ServiceError::Subscribe { service: name.clone(), source: source.into() })?,
                );
            }
        }
        // Whoever connected already was waiting: what answers is ready.
        let stop = CancellationToken::new();
        let task = tokio::spawn(served.at(server, stop.clone()));
        let mut running = RunningService {
            name: name.clone(),
            instance: instance.clone(),
            local_addr,
            broker: broker.clone(),
            health,
            registration: None,
            subscriptions: handles,
            serving: Serving { task, stop },
            stops,
            drains,
            drain_timeout,
        };
        if let Some(registrar) = registrar {
            let registration =
                Registration { service: name.clone(), instance: instance.clone(), endpoint: endpoint.clone() };
            running.registration = Some(registrar.register(registration).await?);
        }
        tracing::info!(service = name, %endpoint, "service started");
        if let Some(broker) = &broker {
            announce(broker, ServiceStarted { service: name, instance, endpoint: endpoint.to_string() }).await;
        }
        Ok(running)
    }

    /// Starts, runs until Ctrl-C or SIGTERM, and drains.
    ///
    /// # Errors
    /// Those of [`Service::start`] and [`RunningService::drain`].
    pub async fn run(self) -> Result<(), ServiceError> {
        // Before the start, so that a signal meanwhile is not missed.
        let mut signal = StopSignal::install(&self.0.name)?;
        let running = tokio::select! {
            running = self.start() => running?,
            () = signal.arrived() => return Ok(()),
        };
        running.run_until(signal).await
    }
}

impl ServiceBuilder {
    /// Where to listen; a free port of the loopback by default.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The endpoint to announce, where others cannot reach the address listened on.
    pub fn advertise(mut self, endpoint: Endpoint) -> Self {
        self.advertise = Some(endpoint);
        self
    }

    /// Limits of the listener, and its certificates.
    pub fn server(mut self, config: ServerConfig) -> Self {
        self.server = config;
        self
    }

    /// Serves over TLS with these certificates, in place of those that the limits may name. Its endpoint is then `https`.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Limits of requests.
    pub fn requests(mut self, config: KitConfig) -> Self {
        self.kit = Some(config);
        self
    }

    /// Serves routes; several calls merge.
    pub fn routes(mut self, routes: Router) -> Self {
        self.routes = Some(self.routes.unwrap_or_default().merge(routes));
        self
    }

    /// Serves a gateway, which brings limits, context and envelope of its own: routes and limits of requests are left to
    /// it. `/health/live` and `/health/ready` are answered beside it. Give the listener a worker for each core with
    /// [`server`](Self::server).
    pub fn gateway(mut self, gateway: Gateway) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// The broker to publish to and consume from; subscriptions need it.
    pub fn broker(mut self, broker: &Broker) -> Self {
        self.broker = Some(broker.for_service(&self.name));
        self
    }

    /// Consumes events, as the consumer group of the service's name unless the subscription says otherwise.
    pub fn subscribe(mut self, subscription: impl Into<Subscription>, router: EventRouter) -> Self {
        self.subscriptions.push((subscription.into(), router));
        self
    }

    /// Announces the endpoint to a registry, once the service is ready.
    pub fn register_with(mut self, registrar: Arc<dyn Registrar>) -> Self {
        self.registrar = Some(registrar);
        self
    }

    /// Adds a check to `/health/ready`.
    pub fn health<F, Fut, E>(self, name: &str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.health.register(name, check);
        self
    }

    /// Runs `stop` as soon as the service begins to stop, while requests and deliveries end: for what would keep them, such
    /// as sockets.
    pub fn on_stop<F, Fut>(mut self, stop: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.stops.push(Box::new(move || -> BoxFuture<'static, _> { Box::pin(stop()) }));
        self
    }

    /// Runs `drain` when the service stops, after requests and deliveries have ended; the last added runs first.
    pub fn on_drain<F, Fut>(mut self, drain: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.drains.push(Box::new(move || -> BoxFuture<'static, _> { Box::pin(drain()) }));
        self
    }

    /// How long draining may take; 4 s by default, so that a stop ends within the 5 s that a supervisor waits.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// When the name is empty, a subscription lacks its broker, a gateway is given routes or limits of requests too, nothing
    /// that others can reach would be registered, or the drain timeout is zero.
    pub fn build(self) -> Result<Service, ServiceError> {
        let fail = |field, reason: &str| {
            Err(ServiceError::Config { service: self.name.clone(), field, reason: reason.to_owned() })
        };
        if self.name.is_empty() {
            return fail("name", "must not be empty");
        }
        if self.broker.is_none() && !self.subscriptions.is_empty() {
            return fail("broker", "subscriptions need a broker");
        }
        if self.gateway.is_some() && self.routes.is_some() {
            return fail("routes", "are the gateway's own: give them to its fallback");
        }
        if self.gateway.is_some() && self.kit.is_some() {
            return fail("requests", "are within the gateway's own limits: give them to it");
        }
        if self.registrar.is_some() && self.advertise.is_none() && self.listen.ip().is_unspecified() {
            return fail("advertise", "others cannot reach an unspecified address: say which endpoint to announce");
        }
        if self.drain_timeout.is_zero() {
            return fail("drain_timeout", "must be above zero");
        }
        Ok(Service(self))
    }
}

/// What answers requests.
enum Served {
    Routes(Router),
    Gateway(Gateway, HealthRegistry),
}

impl Served {
    async fn at(self, server: Server, stop: CancellationToken) -> Result<(), ServerError> {
        match self {
            Self::Routes(routes) => server.serve(routes, stop).await,
            Self::Gateway(gateway, health) => gateway.serve_with_health(server, &health, stop).await,
        }
    }
}

fn ready(broker: &Broker) -> Result<(), String> {
    let health = broker.health();
    if health.is_ready() {
        return Ok(());
    }
    let reason = health.last_error.as_deref().unwrap_or("no reason given");
    Err(format!("the broker is {:?}: {reason}", health.state))
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).field("listen", &self.listen).finish_non_exhaustive()
    }
}
