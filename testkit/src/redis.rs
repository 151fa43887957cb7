//! A private Redis server.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    TestkitError, free_port,
    guard::{Home, Server},
    install::locate,
    tls::Identity,
};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A Redis server that belongs to one test. Dropping it kills it and removes its data.
///
/// It appends every write to a file before it answers, so that a killed server comes back with its data.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    port: u16,
    tls_port: Option<u16>,
}

impl Redis {
    /// Starts an empty server and waits until it answers.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::start_with(None).await
    }

    /// Starts one that takes TLS beside.
    pub async fn start_with_tls(identity: &Identity) -> Result<Self, TestkitError> {
        Self::start_with(Some(identity)).await
    }

    async fn start_with(identity: Option<&Identity>) -> Result<Self, TestkitError> {
        let port = free_port()?;
        let home = Home::new("redis")?;
        let mut config =
            format!("port {port}\nbind 127.0.0.1\ndir {}\nsave \"\"\nappendonly yes\n", home.dir().display());
        let tls_port = identity.map(|_| free_port()).transpose()?;
        if let (Some(identity), Some(tls_port)) = (identity, tls_port) {
            let (cert, key) = (home.write("cert.pem", &identity.certificate)?, home.write("key.pem", &identity.key)?);
            let (cert, key) = (cert.display(), key.display());
            config += &format!("tls-port {tls_port}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-auth-clients no\n");
        }
        let config = home.write("redis.conf", config)?;
        let server = home.guard(locate("redis-server")?, [config])?;
        let redis = Self { server, port, tls_port };
        redis.restart().await?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `rediss://127.0.0.1:…`, where it takes TLS.
    pub fn tls_url(&self) -> Option<String> {
        self.tls_port.map(|port| format!("rediss://127.0.0.1:{port}"))
    }

    /// The port of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Kills the server with SIGKILL. [`restart`](Self::restart) brings it back.
    pub async fn kill(&self) -> Result<(), TestkitError> {
        self.server.kill().await
    }

    /// Stops the server as an operator would. [`restart`](Self::restart) brings it back.
    pub async fn stop(&self) -> Result<(), TestkitError> {
        self.server.terminate("TERM", STOP_LIMIT).await
    }

    /// Starts the server on the same port and data, after stopping it if it runs.
    pub async fn restart(&self) -> Result<(), TestkitError> {
        if self.server.is_running() {
            self.stop().await?;
        }
        self.server.start().await?;
        let port = self.port;
        self.server.ready(START_LIMIT, || answers(port)).await
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing answers.
    pub async fn pause(&self) -> Result<(), TestkitError> {
        self.server.pause().await
    }

    /// Wakes a paused server.
    pub async fn resume(&self) -> Result<(), TestkitError> {
        self.server.resume().await
    }
}

/// Whether the server says `+PONG`, which it does not while it loads its data.
async fn answers(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    ping.await.is_ok_and(|answer| answer == *b"+PONG")
}
