use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use sap_comm::{
    Endpoint, Registrar, Resolver, RunningService, StaticResolver, discovery::discovery_from_url, events::Broker,
};

use super::{ClusterConfig, Keys, ServiceName};
use crate::deps::{Deps, StartError};

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
}

impl Embedded {
    /// Starts all services.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn launch(config: ClusterConfig, broker: Broker) -> Result<Self, StartError> {
        let registry = Arc::new(StaticResolver::new());
        let (resolver, registrar): (Arc<dyn Resolver>, Option<Arc<dyn Registrar>>) = match &config.discovery {
            Some(url) => discovery_from_url(url).map(|discovery| (discovery.resolver, discovery.registrar))?,
            None => (registry.clone(), Some(registry.clone())),
        };
        let addresses = BTreeMap::from([(ServiceName::ApiGateway, config.listen)]);
        let keys = Keys::generate()?;
        let mut cluster =
            Self { config, broker, keys, resolver, registrar, registry, running: BTreeMap::new(), addresses };
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
            service_key: self.keys.of(service).cloned(),
            trusted_keys: self.keys.trusted(),
        };
        let running = service.start(deps, self.config.cors_origins.clone()).await?;
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

    pub(super) async fn shutdown(mut self) -> Result<(), StartError> {
        let mut reasons = Vec::new();
        // Callers stop before those whom they call.
        while let Some((_, running)) = self.running.pop_last() {
            if let Err(error) = running.drain().await {
                reasons.push(error.to_string());
            }
        }
        self.broker.close(Duration::from_secs(1)).await;
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ").into()) }
    }
}
