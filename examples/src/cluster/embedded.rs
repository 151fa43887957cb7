use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use sap_comm::{
    Endpoint, Registrar, Resolver, RunningService, StaticResolver, discovery::discovery_from_url, events::Broker,
    rest::tls::ClientTls,
};
use tokio::time::Instant;

use super::{BOUND, ClusterConfig, Keys, ServiceName, Started, close};
use crate::deps::{Deps, StartError};

/// How long the gateway has to drain, before the others do.
const EDGE: Duration = Duration::from_millis(1_600);
/// What is left for the broker when all have drained.
const REST: Duration = Duration::from_millis(500);

/// All services in this process.
#[derive(Debug)]
pub struct Embedded {
    config: ClusterConfig,
    broker: Broker,
    keys: Keys,
    resolver: Arc<dyn Resolver>,
    registrar: Option<Arc<dyn Registrar>>,
    registry: Arc<StaticResolver>,
    running: BTreeMap<ServiceName, RunningService>,
    addresses: BTreeMap<ServiceName, SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Embedded {
    /// Starts all services.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn launch(config: ClusterConfig, broker: Broker) -> Result<Self, StartError> {
        let registry = Arc::new(StaticResolver::new());
        let (resolver, registrar): (Arc<dyn Resolver>, Option<Arc<dyn Registrar>>) = match &config.discovery {
            Some(url) => {
                let discovery = discovery_from_url(url)?;
                let registrar = discovery.registrar.ok_or_else(|| {
                    format!("--discovery {url}: the services of one process take free ports and must announce them; use etcd://… or leave it out")
                })?;
                (discovery.resolver, Some(registrar))
            }
            None => (registry.clone(), Some(registry.clone())),
        };
        let addresses = BTreeMap::from([(ServiceName::ApiGateway, config.listen)]);
        let keys = Keys::generate()?;
        let (running, admin) = (BTreeMap::new(), config.edge.admin_listen);
        let mut cluster = Self { config, broker, keys, resolver, registrar, registry, running, addresses, admin };
        for service in ServiceName::ALL {
            cluster.start(service).await?;
        }
        Ok(cluster)
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.address(ServiceName::ApiGateway).unwrap_or(self.config.listen)
    }

    pub(super) fn address(&self, service: ServiceName) -> Option<SocketAddr> {
        self.addresses.get(&service).copied()
    }

    pub(super) fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) async fn start(&mut self, service: ServiceName) -> Result<(), StartError> {
        let deps = Deps {
            broker: self.broker.clone(),
            database: self.config.database.clone(),
            resolver: self.resolver.clone(),
            registrar: self.registrar.clone(),
            listen: self.address(service).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
            advertise: None,
            service_key: self.keys.of(service).cloned(),
            trusted_keys: self.keys.trusted(),
            // What is outside reaches the gateway only.
            tls: self.config.tls.clone().filter(|_| service == ServiceName::ApiGateway),
            client_tls: ClientTls::default(),
            drain_timeout: if service == ServiceName::ApiGateway { EDGE } else { BOUND - EDGE - REST },
        };
        let mut edge = self.config.edge.clone();
        // At its old address, should the gateway start again.
        edge.admin_listen = self.admin;
        let Started { running, admin } = service.start(deps, edge).await?;
        self.admin = admin.or(self.admin);
        self.registry.set(service.as_str(), []);
        self.addresses.insert(service, running.local_addr());
        self.running.insert(service, running);
        Ok(())
    }

    pub(super) async fn stop(&mut self, service: ServiceName) -> Result<(), StartError> {
        let Some(running) = self.running.remove(&service) else { return Ok(()) };
        let endpoint = Endpoint::parse(&format!("http://{}", running.local_addr()))?;
        running.drain().await?;
        // As after a crash: the registry does not know yet.
        self.registry.set(service.as_str(), [endpoint]);
        Ok(())
    }

    /// Drains all services within [`BOUND`]: the gateway first, whose requests need the others.
    pub(super) async fn shutdown(mut self) -> Result<(), StartError> {
        let now = Instant::now();
        let (edge, end) = (now + EDGE, now + BOUND);
        let mut results = Vec::new();
        if let Some(gateway) = self.running.remove(&ServiceName::ApiGateway) {
            results.push(gateway.drain_by(edge).await);
        }
        results.extend(join_all(self.running.into_values().map(|service| service.drain_by(end - REST))).await);
        close(&self.broker, end).await;
        let reasons: Vec<_> = results.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ").into()) }
    }
}
