use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
};

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// How much of a response the kernel keeps beside what the peer's window takes, bytes. By itself it keeps megabytes of them: what it has
/// counts as taken, so that a peer that takes it slowly seems to take nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1_024;

/// Has the connections of a listener, which inherit this, keep little that the peer does not take.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn keeps_little_unsent(listener: &impl AsFd) {
    if let Err(error) = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "the system keeps as much unsent as it likes");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn keeps_little_unsent<T>(_listener: &T) {}

/// Connections that the kernel holds ready for one listener.
const BACKLOG: u32 = 1_024;

/// Listens on `address` with `count` sockets, among which the kernel spreads connections.
///
/// Sockets that share a port would also share it with those of another process, so that the port is first taken by one
/// that does not.
pub(super) async fn shared(addresses: &[SocketAddr], count: usize) -> io::Result<(Vec<StdListener>, SocketAddr)> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for &address in addresses {
        match shared_at(address, count).await {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn shared_at(mut address: SocketAddr, count: usize) -> io::Result<(Vec<StdListener>, SocketAddr)> {
    if address.port() != 0 {
        drop(TcpListener::bind(address).await?);
    }
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        keeps_little_unsent(&socket);
        let listener = socket.listen(BACKLOG)?;
        // The first finds a free port for all.
        address = listener.local_addr()?;
        listeners.push(listener.into_std()?);
    }
    Ok((listeners, address))
}
