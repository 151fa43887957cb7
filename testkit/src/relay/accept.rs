//! The task that owns the listener and every connection of a relay.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::sys::socket::{Shutdown, shutdown};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    connection,
    faults::{Counts, Faults},
};
use crate::{TestkitError, free_port};

/// What the acceptor is told to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Listen,
    Cut,
    Reset,
}

type Message = (Order, oneshot::Sender<io::Result<()>>);

/// The relay's end of the line to its acceptor.
#[derive(Debug)]
pub(super) struct Orders(mpsc::Sender<Message>);

impl Orders {
    /// Returns after the order was carried out.
    pub(super) async fn give(&self, order: Order) -> Result<(), TestkitError> {
        let gone = || io::Error::other("the runtime of the relay is gone");
        let (done, answer) = oneshot::channel();
        let outcome = match self.0.send((order, done)).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        outcome.map_err(TestkitError::io(format!("order the relay to {order:?}")))
    }
}

/// Accepts and owns connections.
pub(super) struct Acceptor {
    port: HeldPort,
    target: String,
    faults: watch::Sender<Faults>,
    counts: Counts,
    orders: mpsc::Receiver<Message>,
    connections: JoinSet<()>,
}

impl Acceptor {
    pub(super) fn new(port: HeldPort, target: String, faults: watch::Sender<Faults>, counts: Counts) -> (Self, Orders) {
        let (sender, orders) = mpsc::channel(1);
        (Self { port, target, faults, counts, orders, connections: JoinSet::new() }, Orders(sender))
    }

    pub(super) async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            tokio::select! {
                client = accept(listener.as_ref()) => self.connect(client),
                Some(_) = self.connections.join_next() => {}
                message = self.orders.recv() => {
                    let Some((order, done)) = message else { return };
                    // Whoever gave the order may have stopped waiting.
                    let _ = done.send(self.obey(order, &mut listener).await);
                }
            }
        }
    }

    fn connect(&mut self, client: TcpStream) {
        let open = self.counts.enter();
        let (target, faults) = (self.target.clone(), self.faults.subscribe());
        // Not in the task, which may begin only after the next order.
        let before = *faults.borrow();
        self.connections.spawn(async move {
            connection::relay(client, &target, faults, before).await;
            drop(open);
        });
    }

    async fn obey(&mut self, order: Order, listener: &mut Option<TcpListener>) -> io::Result<()> {
        match order {
            Order::Listen if listener.is_none() => *listener = Some(self.port.listen()?),
            Order::Listen => {}
            Order::Cut => {
                if let Some(listener) = listener.take() {
                    // A process that is just being started holds a copy of it for a moment, and would keep it open.
                    shutdown(listener.as_raw_fd(), Shutdown::Both).map_err(io::Error::from)?;
                }
                self.reset().await;
            }
            Order::Reset => self.reset().await,
        }
        Ok(())
    }

    async fn reset(&mut self) {
        self.faults.send_modify(|faults| faults.resets += 1);
        while self.connections.join_next().await.is_some() {}
    }
}

/// A port that nobody else can take while nothing listens on it: connections to it are refused.
pub(super) struct HeldPort(TcpSocket);

impl HeldPort {
    /// A free port of 127.0.0.1, where no connection of an earlier owner lingers.
    pub(super) fn hold() -> Result<Self, TestkitError> {
        loop {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            match shared(addr) {
                Ok(socket) => return Ok(Self(socket)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(TestkitError::io(format!("bind {addr}"))(error)),
            }
        }
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        shared(self.addr()?)?.listen(1024)
    }
}

/// A socket that is bound beside others of its user, as long as all of them allow it.
fn shared(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// The next client; never, while there is no listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            // Out of file descriptors, or a client that has gone already: the next one may do better.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
