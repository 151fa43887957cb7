use std::{
    collections::BTreeMap,
    future::pending,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use sap_comm::events::Broker;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{ClusterConfig, Keys, Log, ServiceName, close};
use crate::{deps::StartError, smoke::http::Http};

/// How long a service may take to become ready.
const READY: Duration = Duration::from_secs(20);

/// Each service in a process of its own, on RabbitMQ.
#[derive(Debug)]
pub struct Processes {
    config: ClusterConfig,
    program: PathBuf,
    broker: Broker,
    keys: Keys,
    addresses: BTreeMap<ServiceName, SocketAddr>,
    children: BTreeMap<ServiceName, (Child, Option<ChildStdin>)>,
    log: Log,
    readers: JoinSet<()>,
}

impl Processes {
    /// Starts all services; what they log goes to `log`.
    ///
    /// # Errors
    /// When one of them does not become ready.
    pub async fn launch(
        mut config: ClusterConfig,
        program: PathBuf,
        broker: Broker,
        log: Log,
    ) -> Result<Self, StartError> {
        let mut addresses = BTreeMap::from([(ServiceName::ApiGateway, config.listen)]);
        // Held until all are chosen, so that no port is chosen twice.
        let mut held = Vec::new();
        for service in ServiceName::ALL {
            if addresses.get(&service).is_none_or(|address| address.port() == 0) {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                addresses.insert(service, listener.local_addr()?);
                held.push(listener);
            }
        }
        if let Some(admin) = config.edge.admin_listen.as_mut().filter(|admin| admin.port() == 0) {
            let listener = TcpListener::bind(*admin)?;
            *admin = listener.local_addr()?;
            held.push(listener);
        }
        drop(held);
        let keys = Keys::generate()?;
        let children = BTreeMap::new();
        let mut cluster = Self { config, program, broker, keys, addresses, children, log, readers: JoinSet::new() };
        for service in ServiceName::ALL {
            cluster.spawn(service)?;
        }
        for service in ServiceName::ALL {
            cluster.ready(service).await?;
        }
        Ok(cluster)
    }

    pub(super) fn address(&self, service: ServiceName) -> SocketAddr {
        self.addresses.get(&service).copied().unwrap_or(self.config.listen)
    }

    pub(super) fn admin(&self) -> Option<SocketAddr> {
        self.config.edge.admin_listen
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) async fn start(&mut self, service: ServiceName) -> Result<(), StartError> {
        self.spawn(service)?;
        self.ready(service).await
    }

    /// Ends a process at once, as a crash would.
    pub(super) async fn kill(&mut self, service: ServiceName) -> Result<(), StartError> {
        if let Some((mut child, _)) = self.children.remove(&service) {
            child.kill().await?;
        }
        Ok(())
    }

    pub(super) async fn ended(&mut self) -> String {
        let mut waits: FuturesUnordered<_> = self
            .children
            .iter_mut()
            .map(|(service, (child, _))| async move { (service, child.wait().await) })
            .collect();
        match waits.next().await {
            Some((service, Ok(status))) => format!("{service} ended with {status}"),
            Some((service, Err(error))) => format!("{service}: {error}"),
            None => pending().await,
        }
    }

    /// Lets all services drain, and kills what has not within `bound`.
    pub(super) async fn shutdown(mut self, bound: Duration) -> Result<(), StartError> {
        let end = Instant::now() + bound;
        let ending = std::mem::take(&mut self.children).into_iter().map(|(service, (mut child, stdin))| async move {
            // A child drains when its standard input ends, so it does too when this process is killed.
            drop(stdin);
            match timeout_at(end, child.wait()).await {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(format!("{service} ended with {status}")),
                Ok(Err(error)) => Err(format!("{service}: {error}")),
                Err(_) => match child.kill().await {
                    Ok(()) => Err(format!("{service} did not drain within {bound:?}")),
                    Err(error) => {
                        Err(format!("{service} did not drain within {bound:?}, nor end when killed: {error}"))
                    }
                },
            }
        });
        let (results, ()) = tokio::join!(join_all(ending), close(&self.broker, end));
        while self.readers.join_next().await.is_some() {}
        let reasons: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ").into()) }
    }

    fn spawn(&mut self, service: ServiceName) -> Result<(), StartError> {
        let mut command = Command::new(&self.program);
        command
            .args(["--service", service.as_str(), "--log-format", "json", "--until-stdin-ends"])
            .args(["--listen", &self.address(service).to_string()])
            .args(["--discovery", self.config.discovery.as_deref().unwrap_or("env:")])
            // What holds a secret goes by the environment, which other users cannot read.
            .env("SAP_BROKER", &self.config.broker)
            .env("SAP_DATABASE", self.config.database.expose())
            .env("SAP_TRUSTED_KEYS", self.keys.trusted_json()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(key) = self.keys.of(service) {
            command.env("SAP_SERVICE_KEY", key.expose());
        }
        let edge = &self.config.edge;
        for origin in &edge.cors_origins {
            command.args(["--cors-origin", origin]);
        }
        for network in &edge.trusted_proxies {
            command.args(["--trusted-proxy", network]);
        }
        if let Some(file) = &edge.routes_file {
            command.arg("--routes-file").arg(file);
        }
        if let Some(address) = &edge.admin_listen {
            command.args(["--admin-listen", &address.to_string()]);
        }
        #[cfg(feature = "redis")]
        if let Some(url) = &edge.shared_limits {
            command.env("SAP_SHARED_LIMITS", url.expose());
        }
        if edge.insecure_plain_http {
            command.arg("--insecure-plain-http");
        }
        for (other, address) in &self.addresses {
            let variable = format!("{}_URL", other.as_str().replace('-', "_").to_ascii_uppercase());
            command.env(variable, format!("http://{address}"));
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        if let Some(stderr) = child.stderr.take() {
            let log = self.log.clone();
            self.readers.spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    log.push(line);
                }
            });
        }
        // Held apart: waiting for a child closes what it still has.
        let stdin = child.stdin.take();
        self.children.insert(service, (child, stdin));
        Ok(())
    }

    /// Waits until a service says that it is ready, or has ended.
    async fn ready(&mut self, service: ServiceName) -> Result<(), StartError> {
        let http = Http::new(self.address(service));
        let Some((child, _)) = self.children.get_mut(&service) else { return Ok(()) };
        let poll = async {
            loop {
                if http.get("/health/ready").send().await.is_ok_and(|answer| answer.status == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let reason = tokio::select! {
            () = poll => return Ok(()),
            status = child.wait() => format!("ended with {}", status?),
            () = tokio::time::sleep(READY) => format!("was not ready within {READY:?}"),
        };
        let tail = self.log.tail(10).join("\n");
        Err(format!("{service} {reason}; the last lines of the log:\n{tail}").into())
    }
}
