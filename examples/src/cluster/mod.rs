//! Runs the five services: embedded in this process, or each in a process of its own.

mod embedded;
mod keys;
mod log;
mod processes;
mod service;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use sap_comm::{events::Broker, rest::tls::ServerTls};
use tokio::time::{Instant, timeout_at};

pub use self::{
    embedded::Embedded,
    keys::Keys,
    log::Log,
    processes::Processes,
    service::{ServiceName, Started},
};
use crate::{api_gateway::EdgeOptions, database::DatabaseUrl, demo, deps::StartError};

/// How long a shutdown may take, so that the process has ended within five seconds.
pub(crate) const BOUND: Duration = Duration::from_millis(4_300);

/// How to run the services.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The address of the broker, for processes.
    pub broker: String,
    /// Where the databases are.
    pub database: DatabaseUrl,
    /// How services find each other; `None` within the cluster itself.
    pub discovery: Option<String>,
    /// How the outside reaches the gateway.
    pub edge: EdgeOptions,
    /// The certificates that the gateway serves with.
    pub tls: Option<ServerTls>,
    /// Whether to create the demo users.
    pub demo_users: bool,
    /// The program that runs each service in a process of its own; `None` embeds them all in this one.
    pub program: Option<PathBuf>,
}

/// The running services.
#[derive(Debug)]
pub enum Cluster {
    /// All in this process.
    Embedded(Embedded),
    /// Each in a process of its own.
    Processes(Processes),
}

/// Closes the broker; a frozen one does not say goodbye, and is left at `end`.
pub(crate) async fn close(broker: &Broker, end: Instant) {
    let limit = end.saturating_duration_since(Instant::now()) / 2;
    if timeout_at(end, broker.close(limit)).await.is_err() {
        tracing::warn!("the broker did not answer the goodbye");
    }
}

impl Cluster {
    /// Starts all services and creates the demo users; what processes log goes to `log`.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn launch(config: ClusterConfig, broker: Broker, log: Log) -> Result<Self, StartError> {
        let demo_users = config.demo_users;
        let cluster = match config.program.clone() {
            Some(program) => Self::Processes(Processes::launch(config, program, broker, log).await?),
            None => Self::Embedded(Embedded::launch(config, broker).await?),
        };
        if demo_users {
            let users = cluster.address(ServiceName::User).ok_or("the user service has no address")?;
            demo::create_users(users, cluster.keys().operator()).await?;
        }
        Ok(cluster)
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        match self {
            Self::Embedded(cluster) => cluster.gateway(),
            Self::Processes(cluster) => cluster.address(ServiceName::ApiGateway),
        }
    }

    /// Where a service listens.
    #[must_use]
    pub fn address(&self, service: ServiceName) -> Option<SocketAddr> {
        match self {
            Self::Embedded(cluster) => cluster.address(service),
            Self::Processes(cluster) => Some(cluster.address(service)),
        }
    }

    /// Where the gateway's admin page listens, if it has one.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        match self {
            Self::Embedded(cluster) => cluster.admin(),
            Self::Processes(cluster) => cluster.admin(),
        }
    }

    /// The broker, for an observer.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        match self {
            Self::Embedded(cluster) => cluster.broker(),
            Self::Processes(cluster) => cluster.broker(),
        }
    }

    /// The keys that the services trust.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        match self {
            Self::Embedded(cluster) => cluster.keys(),
            Self::Processes(cluster) => cluster.keys(),
        }
    }

    /// Starts a service that was stopped, at its old address.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&mut self, service: ServiceName) -> Result<(), StartError> {
        match self {
            Self::Embedded(cluster) => cluster.start(service).await,
            Self::Processes(cluster) => cluster.start(service).await,
        }
    }

    /// Takes a service down: drained when embedded, killed when a process.
    ///
    /// # Errors
    /// When it does not drain.
    pub async fn stop(&mut self, service: ServiceName) -> Result<(), StartError> {
        match self {
            Self::Embedded(cluster) => cluster.stop(service).await,
            Self::Processes(cluster) => cluster.kill(service).await,
        }
    }

    /// Drains all services, the gateway first, and closes the broker; within five seconds, whatever hangs.
    ///
    /// # Errors
    /// Everything that did not drain.
    pub async fn shutdown(self) -> Result<(), StartError> {
        match self {
            Self::Embedded(cluster) => cluster.shutdown().await,
            Self::Processes(cluster) => cluster.shutdown(BOUND).await,
        }
    }

    /// Waits until a service has ended that nobody asked to; which one, and how.
    pub async fn ended(&mut self) -> String {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            Self::Processes(cluster) => cluster.ended().await,
        }
    }
}
