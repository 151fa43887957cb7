//! The node itself: where it listens, and its life and death.

use std::{path::PathBuf, sync::atomic::AtomicU32, time::Duration};

use tokio::sync::OnceCell;

use super::{RabbitNodeBuilder, builder::Identity, probe::speaks_amqp};
use crate::{TestkitError, guard::Server, install::locate, tls};

/// Several nodes may start at once on two cores.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

static SHARED: OnceCell<RabbitNode> = OnceCell::const_new();

/// A RabbitMQ node that belongs to one test, or to all tests of one process.
///
/// Dropping it kills it and removes its data.
///
/// ```no_run
/// # async fn example() -> Result<(), sap_comm_testkit::TestkitError> {
/// use sap_comm_testkit::RabbitNode;
///
/// let node = RabbitNode::shared().await?;
/// let uri = node.new_vhost().await?;
/// assert!(uri.starts_with("amqp://"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RabbitNode {
    pub(super) server: Server,
    pub(super) identity: Identity,
    pub(super) rabbitmqctl: PathBuf,
    pub(super) erl_call: PathBuf,
    pub(super) vhosts: AtomicU32,
}

impl RabbitNode {
    pub(super) fn new(server: Server, identity: Identity) -> Result<Self, TestkitError> {
        let (rabbitmqctl, erl_call) = (locate("rabbitmqctl")?, locate("erl_call")?);
        Ok(Self { server, identity, rabbitmqctl, erl_call, vhosts: AtomicU32::new(0) })
    }

    /// A node with plain AMQP only.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::builder().start().await
    }

    /// A node with TLS or settings of its own.
    pub fn builder() -> RabbitNodeBuilder {
        RabbitNodeBuilder::default()
    }

    /// The node that all tests of this process share, each in a vhost of its own. Nobody may break it.
    pub async fn shared() -> Result<&'static Self, TestkitError> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// `amqp://…` of the default vhost.
    pub fn uri(&self) -> String {
        self.uri_of("%2f")
    }

    pub(super) fn uri_of(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.identity.port)
    }

    /// `amqps://…` of the default vhost, if the node was built with TLS.
    pub fn tls_uri(&self) -> Option<String> {
        let port = self.tls_port()?;
        Some(format!("amqps://guest:guest@localhost:{port}/%2f"))
    }

    /// The port of plain AMQP.
    pub fn port(&self) -> u16 {
        self.identity.port
    }

    /// The port of AMQP over TLS.
    pub fn tls_port(&self) -> Option<u16> {
        self.identity.tls.as_ref().map(|(port, _)| *port)
    }

    /// `http://…` or `https://…` of the management API, if the node was built with it.
    pub fn management_url(&self) -> Option<String> {
        let port = self.identity.management?;
        let scheme = if self.identity.tls.is_some() { "https" } else { "http" };
        Some(format!("{scheme}://guest:guest@localhost:{port}"))
    }

    /// The certificate of the authority that signed the node's own, PEM.
    pub fn ca_pem(&self) -> Option<&str> {
        self.identity.tls.as_ref().map(|(_, ca)| ca.pem())
    }

    /// A client certificate that a node with [`verify_peer`](RabbitNodeBuilder::verify_peer) accepts.
    pub fn client_identity(&self, name: &str) -> Result<Option<tls::Identity>, TestkitError> {
        self.identity.tls.as_ref().map(|(_, ca)| ca.client(name)).transpose()
    }

    /// The node's Erlang name, such as `rabbit4711-1@localhost`.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Kills the node with SIGKILL and waits until it is gone. [`restart`](Self::restart) brings it back.
    pub async fn kill(&self) -> Result<(), TestkitError> {
        self.server.kill().await
    }

    /// Stops the node as an operator would and waits until it is gone. [`restart`](Self::restart) brings it back.
    pub async fn stop(&self) -> Result<(), TestkitError> {
        self.server.terminate("TERM", STOP_LIMIT).await
    }

    /// Starts the node on the same ports and data, after stopping it if it runs.
    pub async fn restart(&self) -> Result<(), TestkitError> {
        if self.is_running() {
            self.stop().await?;
        }
        self.server.start().await?;
        let (port, tls_port) = (self.port(), self.tls_port());
        self.server
            .ready(START_LIMIT, || async move {
                speaks_amqp(port).await
                    && match tls_port {
                        Some(port) => tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok(),
                        None => true,
                    }
            })
            .await
    }

    /// Freezes the node (SIGSTOP): connections stay open and nothing answers.
    pub async fn pause(&self) -> Result<(), TestkitError> {
        self.server.pause().await
    }

    /// Wakes a paused node.
    pub async fn resume(&self) -> Result<(), TestkitError> {
        self.server.resume().await
    }

    /// Whether the node's process lives, paused or not.
    pub fn is_running(&self) -> bool {
        self.server.is_running()
    }

    /// The process id of the node.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The end of the node's log.
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }
}
