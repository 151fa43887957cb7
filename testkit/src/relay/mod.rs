//! A TCP relay that misbehaves on order.
//!
//! Clients connect to the relay, the relay to its target. Faults apply to connections that are open and to those
//! that come, until [`Relay::pass`] heals all of them.

mod accept;
mod connection;
mod faults;
mod pump;

use std::{net::SocketAddr, num::NonZeroU64, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use crate::TestkitError;
use accept::{Acceptor, HeldPort, Order, Orders};
pub use faults::Direction;
use faults::{Counts, Faults};

/// A relay from a free port of 127.0.0.1 to a target. Dropping it closes every connection.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sap_comm_testkit::Relay;
/// use tokio::net::{TcpListener, TcpStream};
///
/// let target = TcpListener::bind("127.0.0.1:0").await?;
/// let relay = Relay::start(target.local_addr()?.to_string()).await?;
/// TcpStream::connect(relay.addr()).await?;
/// relay.cut().await?;
/// assert!(TcpStream::connect(relay.addr()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    target: String,
    faults: watch::Sender<Faults>,
    orders: Orders,
    counts: Counts,
    acceptor: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay to `target`, a `host:port` that need not listen yet.
    pub async fn start(target: impl Into<String>) -> Result<Self, TestkitError> {
        let target = target.into();
        let port = HeldPort::hold()?;
        let listening = port.addr().and_then(|addr| Ok((addr, port.listen()?)));
        let (addr, listener) = listening.map_err(TestkitError::io("listen for the relay"))?;
        let (faults, _) = watch::channel(Faults::default());
        let counts = Counts::default();
        let (acceptor, orders) = Acceptor::new(port, target.clone(), faults.clone(), counts.clone());
        let acceptor = tokio::spawn(acceptor.run(listener));
        Ok(Self { addr, target, faults, orders, counts, acceptor })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`addr`](Self::addr).
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// A URI of the target, led through the relay instead.
    pub fn through(&self, uri: &str) -> String {
        let port = self.target.rsplit_once(':').map_or("", |(_, port)| port);
        let relay = format!(":{}", self.port());
        uri.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1{relay}"))
            .replace(&format!("localhost:{port}"), &format!("localhost{relay}"))
    }

    /// Heals every fault: listens again, forwards what was held back, without delay or limit.
    pub async fn pass(&self) -> Result<(), TestkitError> {
        self.faults.send_modify(Faults::heal);
        self.orders.give(Order::Listen).await
    }

    /// Resets every connection (RST) and refuses new ones, as when the target's machine is gone.
    pub async fn cut(&self) -> Result<(), TestkitError> {
        self.orders.give(Order::Cut).await
    }

    /// Resets every open connection (RST) and goes on accepting.
    pub async fn reset(&self) -> Result<(), TestkitError> {
        self.orders.give(Order::Reset).await
    }

    /// Forwards nothing in these directions any more: connections stay open, new ones are accepted and stay silent.
    /// What arrives meanwhile is kept and forwarded after [`pass`](Self::pass).
    pub fn freeze(&self, direction: Direction) {
        self.faults.send_modify(|faults| faults.freeze(direction));
    }

    /// Ends these directions of every open connection (FIN) and discards what still comes that way.
    pub fn half_close(&self, direction: Direction) {
        self.faults.send_modify(|faults| faults.half_close(direction));
    }

    /// Delays every byte by this much in each direction, keeping their order.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Forwards at most so many bytes a second in each direction of each connection; `None` lifts the limit.
    pub fn bandwidth(&self, bytes_per_second: Option<NonZeroU64>) {
        self.faults.send_modify(|faults| faults.bandwidth = bytes_per_second);
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.counts.open()
    }

    /// How many connections have been accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
