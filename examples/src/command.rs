//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, ValueEnum};
use sap_comm::{
    Endpoint, Secret,
    auth::{ApiKey, ApiKeyRecord},
    discovery::discovery_from_url,
    events::{Broker, BrokerConfig},
    logging,
    rest::tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig},
};
use sap_comm_testkit::RabbitNode;
use tokio::{
    io::AsyncReadExt,
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api_gateway::EdgeOptions,
    cluster::{BOUND, Cluster, ClusterConfig, Log, ServiceName, close},
    database::DatabaseUrl,
    demo,
    deps::{Deps, StartError},
    smoke,
    trusted_keys::TrustedKeys,
};

/// The Super Admin Panel's topology: API gateway, auth, user, content and notification service.
///
/// Without options everything runs in this process on embedded parts: an in-memory broker and SQLite files that are
/// removed at the end. Ctrl-C drains and exits.
#[derive(Debug, Parser)]
#[command(name = "topology", version, after_help = TOPOLOGY_EXAMPLES)]
pub struct TopologyCommand {
    /// Play one story through every pattern as outside clients would, print each step, and exit
    #[arg(long)]
    smoke: bool,
    /// Run each service in a process of its own, with RabbitMQ between them: a private one, unless --broker names one.
    /// When one of them ends, so do the others
    #[arg(long)]
    processes: bool,
    /// Create the demo users, whose passwords everybody knows, even where others can reach them
    #[arg(long)]
    insecure_demo_users: bool,
    /// Print a new API key for the service NAME, and the record that others need to trust it
    #[arg(long, value_name = "NAME")]
    new_key: Option<String>,
    /// Run this service only, as its own binary does
    #[arg(long, value_name = "NAME", hide = true)]
    service: Option<ServiceName>,
    #[command(flatten)]
    options: Options,
}

const TOPOLOGY_EXAMPLES: &str = "\
Examples:
  topology                                          everything, embedded
  topology --smoke                                  one story through every pattern
  topology --broker amqp://guest:guest@localhost    on a RabbitMQ of yours
  topology --processes --database sqlite://./data   one process a service, data kept
  user-service --help                               one service alone
Options are read from the environment too, as SAP_BROKER and so on. RUST_LOG=info logs everything.";

/// One service alone.
#[derive(Debug, Parser)]
#[command(version)]
struct ServiceCommand {
    #[command(flatten)]
    options: Options,
}

/// What every program here takes.
#[derive(Debug, Args)]
struct Options {
    /// The broker: memory://, amqp://USER:PASSWORD@HOST/VHOST or amqps://…
    #[arg(long, env = "SAP_BROKER", hide_env_values = true, value_name = "URL")]
    broker: Option<String>,
    /// The databases: sqlite://DIRECTORY (one file a service) or postgres://USER@HOST/DATABASE (one schema a service)
    #[arg(long, env = "SAP_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// How services find each other: env: (USER_SERVICE_URL=http://…), static:USER-SERVICE=http://…, etcd://HOST:PORT or dns:
    #[arg(long, env = "SAP_DISCOVERY", value_name = "URL")]
    discovery: Option<String>,
    /// Where to listen; the topology's gateway listens here
    #[arg(long, env = "SAP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The endpoint to announce, where others reach this service by another address than it listens on
    #[arg(long, env = "SAP_ADVERTISE", value_name = "URL")]
    advertise: Option<Endpoint>,
    /// The API key that this service calls others with
    #[arg(long, env = "SAP_SERVICE_KEY", hide_env_values = true, value_name = "KEY")]
    service_key: Option<String>,
    /// The records of the API keys that this service trusts, as a JSON array
    #[arg(long, env = "SAP_TRUSTED_KEYS", hide_env_values = true, value_name = "JSON")]
    trusted_keys: Option<String>,
    #[command(flatten)]
    edge: EdgeOptions,
    #[command(flatten)]
    tls: TlsOptions,
    /// How log lines look
    #[arg(long, env = "SAP_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Drain when standard input ends
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Certificates. They are read again when they change.
#[derive(Debug, Args)]
struct TlsOptions {
    /// Serve over TLS with the certificate in this PEM file; of a topology, its gateway does
    #[arg(long, env = "SAP_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The PEM file of its private key
    #[arg(long, env = "SAP_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Demand of every client a certificate of the authorities in this PEM file
    #[arg(long, env = "SAP_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Trust the authorities in this PEM file where other services are https, in place of the system's
    #[arg(long, env = "SAP_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Show other services the certificate in this PEM file
    #[arg(long, env = "SAP_TLS_IDENTITY_CERT", value_name = "FILE", requires = "tls_identity_key")]
    tls_identity_cert: Option<PathBuf>,
    /// The PEM file of its private key
    #[arg(long, env = "SAP_TLS_IDENTITY_KEY", value_name = "FILE", requires = "tls_identity_cert")]
    tls_identity_key: Option<PathBuf>,
}

impl TlsOptions {
    fn server(&self) -> Result<Option<ServerTls>, StartError> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let config = ServerTlsConfig::new(cert, key);
        let config = match &self.tls_client_ca {
            Some(path) => config.client_ca(path),
            None => config,
        };
        Ok(Some(ServerTls::load(config)?))
    }

    fn client(&self) -> Result<ClientTls, StartError> {
        let mut config = ClientTlsConfig::default();
        config.ca.clone_from(&self.tls_ca);
        config.cert.clone_from(&self.tls_identity_cert);
        config.key.clone_from(&self.tls_identity_key);
        Ok(ClientTls::load(config)?)
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Runs the topology's program.
pub fn topology() -> ExitCode {
    let command = TopologyCommand::parse();
    exit(match (&command.new_key, command.service) {
        (Some(owner), _) => new_key(owner),
        (None, Some(service)) => block_on(run_service(service, command.options)),
        (None, None) => block_on(run_topology(command)),
    })
}

/// Runs one service's program.
pub fn service(service: ServiceName) -> ExitCode {
    exit(block_on(run_service(service, ServiceCommand::parse().options)))
}

fn exit(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(future: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

fn new_key(owner: &str) -> Result<(), StartError> {
    let key = ApiKey::generate()?;
    let service = ServiceName::ALL.into_iter().find(|service| service.as_str() == owner);
    let scopes = service.map_or(&[][..], ServiceName::scopes);
    println!("SAP_SERVICE_KEY={}", key.expose().expose());
    println!("SAP_TRUSTED_KEYS='{}'", serde_json::to_string(&[key.record(owner, scopes.iter().copied())])?);
    Ok(())
}

async fn run_service(service: ServiceName, options: Options) -> Result<(), StartError> {
    Options::check_environment()?;
    options.init_log("info")?;
    let stop = options.stop()?;
    let missing = |key: &str, option: &str| format!("{key} is missing: give it, or {option}");
    let broker = options.broker.as_deref().ok_or_else(|| missing("SAP_BROKER", "--broker amqp://…"))?;
    let discovery = discovery_from_url(options.discovery.as_deref().unwrap_or("env:"))?;
    let trusted = options.trusted_keys.as_deref().map(serde_json::from_str::<Vec<ApiKeyRecord>>).transpose();
    let deps = Deps {
        broker: tokio::select! {
            broker = Broker::connect(broker, broker_config(service.as_str())) => broker?,
            () = stop.cancelled() => return Ok(()),
        },
        database: options.database()?.ok_or_else(|| missing("SAP_DATABASE", "--database sqlite://DIRECTORY"))?,
        resolver: discovery.resolver,
        registrar: discovery.registrar,
        listen: options.listen,
        advertise: options.advertise.clone(),
        service_key: options.service_key.clone().map(Secret::new),
        trusted_keys: TrustedKeys::new(
            trusted.map_err(|error| format!("SAP_TRUSTED_KEYS: {error}"))?.unwrap_or_default(),
        ),
        tls: options.tls.server()?,
        client_tls: options.tls.client()?,
        drain_timeout: BOUND * 7 / 8,
    };
    let broker = deps.broker.clone();
    let running = tokio::select! {
        started = service.start(deps, options.edge.clone()) => started?.running,
        () = stop.cancelled() => return Ok(()),
    };
    stop.cancelled().await;
    let end = Instant::now() + BOUND;
    let drained = running.drain().await;
    close(&broker, end).await;
    Ok(drained?)
}

async fn run_topology(command: TopologyCommand) -> Result<(), StartError> {
    Options::check_environment()?;
    let TopologyCommand { smoke, processes, insecure_demo_users, options, .. } = command;
    let stop = options.stop()?;
    let log = if smoke { Log::default() } else { Log::echoing() };
    if smoke {
        log.install()?;
    } else {
        options.init_log("warn,sap_comm::service=info,sap_comm_rest::gateway=info")?;
    }
    if !smoke && !insecure_demo_users && !options.listen.ip().is_loopback() {
        let listen = options.listen;
        return Err(format!(
            "--listen {listen}: others could log in as the demo users; allow it by --insecure-demo-users"
        )
        .into());
    }
    let tls = options.tls.server()?;
    if tls.is_some() && (smoke || processes) {
        return Err("--tls-cert: --smoke and --processes play in clear text on this machine; leave it out".into());
    }
    let scratch = tempfile::tempdir()?;
    let mut private = None;
    let broker = match (&options.broker, processes) {
        (Some(url), _) => url.clone(),
        (None, false) => "memory://".to_owned(),
        (None, true) => tokio::select! {
            node = RabbitNode::start() => private.insert(node?).uri(),
            () = stop.cancelled() => return Ok(()),
        },
    };
    let config = ClusterConfig {
        // A story on a port of its own runs beside whatever else does.
        listen: if smoke { SocketAddr::from(([127, 0, 0, 1], 0)) } else { options.listen },
        broker,
        database: match options.database()? {
            Some(url) => url,
            None => DatabaseUrl::Sqlite(scratch.path().join("data")),
        },
        discovery: options.discovery.clone(),
        edge: options.edge.clone(),
        tls,
        demo_users: true,
        program: if processes { Some(std::env::current_exe()?) } else { None },
    };
    let broker = tokio::select! {
        broker = Broker::connect(&config.broker, broker_config("topology")) => broker?,
        () = stop.cancelled() => return Ok(()),
    };
    let result = if smoke {
        smoke::play(config, broker, log, stop).await
    } else {
        keep_running(config, broker, log, stop).await
    };
    if let Some(node) = private {
        // Nothing of it is kept, so it need not stop in order.
        node.kill().await?;
    }
    result
}

/// Short delays, so that a demonstration of a poisoned event does not take its spectators' patience.
fn broker_config(service: &str) -> BrokerConfig {
    BrokerConfig::new(service).retry_delays([100, 300, 900].map(Duration::from_millis))
}

async fn keep_running(
    config: ClusterConfig,
    broker: Broker,
    log: Log,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut cluster = tokio::select! {
        cluster = Cluster::launch(config, broker, log) => cluster?,
        () = stop.cancelled() => return Ok(()),
    };
    welcome(&cluster, scheme);
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        reason = cluster.ended() => Err(StartError::from(reason)),
    };
    println!("draining");
    let drained = cluster.shutdown().await;
    ended.and(drained)
}

fn welcome(cluster: &Cluster, scheme: &str) {
    let gateway = format!("{scheme}://{}", cluster.gateway());
    println!("console                   {gateway}/");
    println!("GraphQL playground        {gateway}/graphql");
    println!("Socket.IO                 {gateway}/socket.io/");
    if let Some(admin) = cluster.admin() {
        println!("gateway admin             {scheme}://{admin}/");
    }
    for service in ServiceName::ALL {
        if let Some(address) = cluster.address(service).filter(|_| service != ServiceName::ApiGateway) {
            println!("{:<26}http://{address}/docs", format!("{service} API"));
        }
    }
    for (email, password) in [demo::ADMIN, demo::USER] {
        println!("demo login                {email} / {password}");
    }
    println!("Ctrl-C drains and exits.");
}

impl Options {
    /// What is logged unless `RUST_LOG` says otherwise: everything by a service, the gateway's requests by the topology.
    fn init_log(&self, filter: &str) -> Result<(), StartError> {
        let format = match self.log_format {
            LogFormat::Text => logging::Format::Text,
            LogFormat::Json => logging::Format::Json,
        };
        logging::init(format, filter).map_err(Into::into)
    }

    /// Read here and not by clap, whose errors repeat what may hold a password.
    fn database(&self) -> Result<Option<DatabaseUrl>, StartError> {
        Ok(self.database.as_deref().map(str::parse).transpose()?)
    }

    /// Refuses variables that begin with `SAP_` and mean nothing here, since one of them is misspelt.
    fn check_environment() -> Result<(), StartError> {
        let command = Self::augment_args(clap::Command::new(""));
        let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("SAP_") && !known.contains(&&*name) {
                return Err(format!("{name} is not known (expected one of {})", known.join(", ")).into());
            }
        }
        Ok(())
    }

    /// Cancelled by Ctrl-C, SIGTERM, or the end of standard input where that was asked for.
    fn stop(&self) -> Result<CancellationToken, StartError> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let until_stdin_ends = self.until_stdin_ends;
        let stop = CancellationToken::new();
        let cancel = stop.clone().drop_guard();
        tokio::spawn(async move {
            let _cancel = cancel;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = stdin_ends(), if until_stdin_ends => {}
            }
        });
        Ok(stop)
    }
}

/// Whoever holds the other end is gone once it can be read to its end.
async fn stdin_ends() {
    let mut rest = Vec::new();
    if let Err(error) = tokio::io::stdin().read_to_end(&mut rest).await {
        tracing::warn!(%error, "standard input failed");
    }
}
