//! Private reverse proxies of other makers, in front of one upstream: peers of our gateway.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::{
    TestkitError, free_port,
    guard::{Home, Server},
    install::locate,
};

const START_LIMIT: Duration = Duration::from_secs(30);

/// nginx or HAProxy with two workers and kept-alive connections to one upstream, passing every path on.
///
/// Dropping it kills it and removes its directory.
#[derive(Debug)]
pub struct ReverseProxy {
    server: Server,
    address: SocketAddr,
}

impl ReverseProxy {
    /// Starts nginx in front of `upstream` and waits until it listens.
    pub async fn nginx(upstream: SocketAddr) -> Result<Self, TestkitError> {
        let address = address()?;
        let home = Home::new("nginx")?;
        let dir = home.dir().to_string_lossy().into_owned();
        let config = home.write("nginx.conf", nginx(&dir, address, upstream))?;
        let server = home.guard(
            locate("nginx")?,
            ["-p".as_ref(), dir.as_ref(), "-c".as_ref(), config.as_os_str(), "-e".as_ref(), "stderr".as_ref()],
        )?;
        Self::start(server, address).await
    }

    /// Starts HAProxy in front of `upstream` and waits until it listens.
    pub async fn haproxy(upstream: SocketAddr) -> Result<Self, TestkitError> {
        let address = address()?;
        let home = Home::new("haproxy")?;
        let config = home.write("haproxy.cfg", haproxy(address, upstream))?;
        let server = home.guard(locate("haproxy")?, ["-db".as_ref(), "-f".as_ref(), config.as_os_str()])?;
        Self::start(server, address).await
    }

    async fn start(server: Server, address: SocketAddr) -> Result<Self, TestkitError> {
        server.start().await?;
        server.ready(START_LIMIT, || async move { TcpStream::connect(address).await.is_ok() }).await?;
        Ok(Self { server, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id of its first process.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }
}

fn address() -> Result<SocketAddr, TestkitError> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}

/// The `user` keeps its workers able to write into the directory; it is ignored unless root starts it.
fn nginx(dir: &str, address: SocketAddr, upstream: SocketAddr) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|name| format!("    {name}_temp_path {dir}/{name};\n")).collect();
    format!(
        "daemon off;
user root root;
worker_processes 2;
worker_rlimit_nofile 65536;
pid {dir}/nginx.pid;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
{temporary}    keepalive_requests 1000000000;
    upstream origin {{
        server {upstream};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address} reuseport;
        client_max_body_size 0;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    )
}

fn haproxy(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend edge
    bind {address}
    default_backend origin
backend origin
    server origin {upstream}
"
    )
}
