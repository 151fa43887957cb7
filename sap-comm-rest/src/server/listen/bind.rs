#[cfg(any(target_os = "linux", target_os = "android"))]
use std::time::Duration;
use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
};

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};

use super::ServerConfig;

/// How much of a response the kernel keeps beside what the peer's window takes, bytes. By itself it keeps megabytes of them: what it has
/// counts as taken, so that a peer that takes it slowly seems to take nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1_024;

/// How long a connection is silent before the peer's system is asked whether it is still there, and how often it is asked from then on.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PROBES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));

/// How long the peer's system may give no answer, or have no room for what was sent, and how long at most by what is configured: less and
/// more than how often the system itself would send it again.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNANSWERED: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(900));

/// Has the connections of a listener, which inherit this, keep little that the peer does not take, and find out when its system is gone.
/// A ping of HTTP/2 would wait for a slow reader behind all that it has not read yet.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn prepare(listener: &impl AsFd, config: &ServerConfig) {
    let socket = SockRef::from(listener);
    if let Err(error) = socket.set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "the system keeps as much unsent as it likes");
    }
    let (silent, every) = PROBES;
    let probes = TcpKeepalive::new().with_time(silent).with_interval(every);
    let unanswered = config.write_timeout.clamp(UNANSWERED.0, UNANSWERED.1);
    let set = socket.set_tcp_keepalive(&probes).and_then(|()| socket.set_tcp_user_timeout(Some(unanswered)));
    if let Err(error) = set {
        tracing::debug!(%error, "the system does not find out whose peer is gone");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn prepare<T>(_listener: &T, _config: &ServerConfig) {}

/// Connections that the kernel holds ready for the listener of a worker.
pub(super) const BACKLOG: u32 = 1_024;

/// Listens on `address` with a socket for each worker, among which the kernel spreads connections.
///
/// Sockets that share a port would also share it with those of another process, so that the port is first taken by one
/// that does not.
pub(super) async fn shared(
    addresses: &[SocketAddr],
    config: &ServerConfig,
) -> io::Result<(Vec<StdListener>, SocketAddr)> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for &address in addresses {
        match shared_at(address, config).await {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn shared_at(mut address: SocketAddr, config: &ServerConfig) -> io::Result<(Vec<StdListener>, SocketAddr)> {
    if address.port() != 0 {
        drop(TcpListener::bind(address).await?);
    }
    let mut listeners = Vec::with_capacity(config.workers);
    for _ in 0..config.workers {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        prepare(&socket, config);
        let listener = socket.listen(BACKLOG)?;
        // The first finds a free port for all.
        address = listener.local_addr()?;
        listeners.push(listener.into_std()?);
    }
    Ok((listeners, address))
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_inherit_what_their_listener_was_told() {
        let config = ServerConfig { workers: 1, write_timeout: Duration::from_secs(200), ..ServerConfig::default() };
        let (listeners, address) = shared(&["127.0.0.1:0".parse().unwrap()], &config).await.unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let listener = TcpListener::from_std(listeners.into_iter().next().unwrap()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
        assert!(socket.keepalive().unwrap());
        assert_eq!((socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap()), PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(config.write_timeout));
    }
}
