//! What the nodes of one test process share: a port mapper and a cookie.

use std::{
    hash::{BuildHasher, RandomState},
    net::Ipv4Addr,
    time::Duration,
};

use tokio::{net::TcpStream, sync::OnceCell};

use crate::{
    TestkitError, free_port,
    guard::{Home, Server},
    install::locate,
};

/// The Erlang port mapper of this process. Nodes that share it and its cookie may form a cluster.
#[derive(Debug)]
pub(super) struct Erlang {
    pub(super) epmd_port: u16,
    pub(super) cookie: String,
    _epmd: Server,
}

static ERLANG: OnceCell<Erlang> = OnceCell::const_new();

impl Erlang {
    pub(super) async fn of_this_process() -> Result<&'static Self, TestkitError> {
        ERLANG.get_or_try_init(Self::start).await
    }

    async fn start() -> Result<Self, TestkitError> {
        let epmd_port = free_port()?;
        let port = epmd_port.to_string();
        let epmd = Home::new("epmd")?.guard(locate("epmd")?, ["-port", &port, "-address", "127.0.0.1"])?;
        epmd.start().await?;
        epmd.ready(Duration::from_secs(10), || async {
            TcpStream::connect((Ipv4Addr::LOCALHOST, epmd_port)).await.is_ok()
        })
        .await?;
        let cookie = format!("{:016x}", RandomState::new().hash_one(epmd_port));
        Ok(Self { epmd_port, cookie, _epmd: epmd })
    }
}
