//! The origin and the proxies, each a process under guard.

use std::{
    any::Any,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use sap_comm::{
    Timestamp,
    auth::{Audience, Claims, JwtSigner},
};
use sap_comm_testkit::{
    ReverseProxy, free_port,
    guard::{Home, Server},
    install::{locate, node_dir, require_node_packages},
};
use serde_json::json;
use tokio::{net::TcpStream, process::Command, time::timeout};

use super::{CONNECTIONS, Contestant, pingora::Build};
use crate::{
    BenchError,
    gateway::{AUDIENCE, ISSUER, JWKS, Load, MEMBER, Role, load::Measured},
};

const START_LIMIT: Duration = Duration::from_secs(30);
/// Longer than any load takes that gets on at all.
const LOAD_LIMIT: Duration = Duration::from_secs(900);
const TOKEN_LIFE: u64 = 24 * 3_600;

/// The origin, and tokens that its key document verifies.
pub(super) struct Stage {
    server: Server,
    origin: u16,
    tokens: Vec<String>,
}

/// A proxy that runs. Dropping it ends it.
pub(super) struct Running {
    _process: Box<dyn Any + Send>,
    pub(super) port: u16,
    pub(super) pid: u32,
}

impl Stage {
    /// Starts the origin.
    pub(super) async fn set() -> Result<Self, BenchError> {
        let signer = JwtSigner::es256_generate().map_err(BenchError::refused("make a signing key"))?;
        let tokens: Result<_, _> = (0..CONNECTIONS).map(|user| signer.sign(&claims(user))).collect();
        let tokens = tokens.map_err(BenchError::refused("sign tokens"))?;
        let origin = free_port()?;
        let server = own("origin", &Role::Origin { port: origin, jwks: signer.jwks().clone() }, origin).await?;
        Ok(Self { server, origin, tokens })
    }

    /// The tokens of those who may, one a connection.
    pub(super) fn tokens(&self, contestant: Contestant) -> Vec<String> {
        if contestant.has_policies() { self.tokens.clone() } else { Vec::new() }
    }

    /// Starts a proxy in front of the origin.
    pub(super) async fn start(&self, contestant: Contestant) -> Result<Running, BenchError> {
        let origin = SocketAddr::from((Ipv4Addr::LOCALHOST, self.origin));
        let proxy = match contestant {
            Contestant::Nginx => ReverseProxy::nginx(origin).await?,
            Contestant::Haproxy => ReverseProxy::haproxy(origin).await?,
            Contestant::Direct => return Running::new((), self.origin, self.server.pid()),
            _ => return self.start_own(contestant).await,
        };
        let (port, pid) = (proxy.address().port(), proxy.pid());
        Running::new(proxy, port, pid)
    }

    async fn start_own(&self, contestant: Contestant) -> Result<Running, BenchError> {
        let port = free_port()?;
        let server = match contestant.role(port, self.origin) {
            Some(role) => own(contestant.name(), &role, port).await?,
            None if contestant == Contestant::Pingora => self.pingora(Build::Plain, port).await?,
            None if contestant == Contestant::PingoraTuned => self.pingora(Build::Tuned, port).await?,
            None => self.express(contestant, port).await?,
        };
        let pid = server.pid();
        Running::new(server, port, pid)
    }

    async fn pingora(&self, build: Build, port: u16) -> Result<Server, BenchError> {
        let ports = [port, self.origin].map(|port| port.to_string().into());
        process("pingora", build.run().await?, ports, port).await
    }

    async fn express(&self, contestant: Contestant, port: u16) -> Result<Server, BenchError> {
        require_node_packages()?;
        let options = json!({
            "port": port,
            "origin": format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.origin),
            "policies": contestant.has_policies().then(|| json!({
                "jwks": JWKS, "issuer": ISSUER, "audience": AUDIENCE, "role": MEMBER,
            })),
        });
        let script = node_dir().join("bench_express.mjs").into_os_string();
        process("express", locate("node")?, [script, options.to_string().into()], port).await
    }
}

impl Running {
    fn new(process: impl Any + Send, port: u16, pid: Option<u32>) -> Result<Self, BenchError> {
        let pid = pid.ok_or_else(|| BenchError::refused("start a proxy")("it has no process"))?;
        Ok(Self { _process: Box::new(process), port, pid })
    }
}

/// Loads a proxy from a process of its own: this same program.
pub(crate) async fn load(name: &'static str, load: Load) -> Result<Measured, BenchError> {
    let role = serde_json::to_string(&Role::Load(load)).map_err(BenchError::refused("write a role"))?;
    let mut command = Command::new(this_program()?);
    let command = command.args(["play", &role]).stdin(Stdio::null()).kill_on_drop(true).output();
    let failed = |reason: String| BenchError::Client { client: name, reason };
    let output = timeout(LOAD_LIMIT, command).await.map_err(|_| failed(format!("the load ran for {LOAD_LIMIT:?}")))?;
    let output = output.map_err(BenchError::refused("run this program again"))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its figures cannot be read: {error}")))
}

/// This same program in a role.
pub(crate) async fn own(name: &str, role: &Role, port: u16) -> Result<Server, BenchError> {
    let role = serde_json::to_string(role).map_err(BenchError::refused("write a role"))?;
    process(name, this_program()?, ["play".into(), role.into()], port).await
}

/// Starts a program, and waits until it listens. Its stderr, where request logs go, is not kept.
async fn process(
    name: &str,
    program: PathBuf,
    args: impl IntoIterator<Item = OsString>,
    port: u16,
) -> Result<Server, BenchError> {
    let line = ["-c".into(), "exec \"$0\" \"$@\" 2>/dev/null".into(), program.into_os_string()];
    let server = Home::new(name)?.guard("sh", line.into_iter().chain(args))?;
    server.start().await?;
    let listens = || async move { TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() };
    server.ready(START_LIMIT, listens).await?;
    Ok(server)
}

fn this_program() -> Result<PathBuf, BenchError> {
    std::env::current_exe().map_err(BenchError::refused("find this program"))
}

fn claims(user: usize) -> Claims {
    let now = u64::try_from(Timestamp::now().as_secs()).unwrap_or_default();
    Claims {
        iss: ISSUER.to_owned(),
        sub: format!("usr_{user:026}"),
        aud: Audience::One(AUDIENCE.to_owned()),
        exp: now + TOKEN_LIFE,
        iat: Some(now),
        nbf: None,
        jti: None,
        roles: vec![MEMBER.to_owned()],
        scope: String::new(),
    }
}
