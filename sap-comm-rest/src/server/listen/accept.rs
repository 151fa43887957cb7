use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Server, ServerConfig, ServerError, Sockets, handler::ConnectionHandler, linger::Lingering, link::Link, workers,
};
use crate::tls::ServerTls;

/// The pause after the system had no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What all listeners of a server share.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    pub(super) config: Arc<ServerConfig>,
    pub(super) permits: Arc<Semaphore>,
    tls: Option<ServerTls>,
    address: SocketAddr,
}

pub(super) async fn run<M, H>(server: Server, make: M, shutdown: CancellationToken) -> Result<(), ServerError>
where
    M: Fn(SocketAddr) -> H + Clone + Send + 'static,
    H: ConnectionHandler,
{
    let Server { sockets, address, config, tls } = server;
    tracing::info!(%address, tls = tls.is_some(), workers = config.workers, "listening");
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let listening = Listening { config: Arc::new(config), permits, tls, address };
    let cut = match sockets {
        Sockets::Here(listener) => accept_all(listener, &listening, make, &shutdown).await,
        Sockets::Workers(listeners) => workers::run(listeners, &listening, make, &shutdown).await?,
    };
    if cut > 0 {
        return Err(ServerError::Cut { address: address.to_string(), connections: cut });
    }
    tracing::info!(%address, "drained");
    Ok(())
}

/// Serves the connections of one listener until they have drained; says how many had to be cut.
pub(super) async fn accept_all<M, H>(
    listener: TcpListener,
    listening: &Listening,
    make: M,
    shutdown: &CancellationToken,
) -> usize
where
    M: Fn(SocketAddr) -> H,
    H: ConnectionHandler,
{
    let Listening { config, permits, tls, address } = listening;
    let lingering = Lingering::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Nothing but a panic can fail here, and hyper's task reports that itself.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let link = Link {
            peer,
            permit,
            tls: tls.clone(),
            config: Arc::clone(config),
            lingering: lingering.clone(),
            shutdown: shutdown.clone(),
        };
        connections.spawn(link.serve(stream, make(peer)));
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(config.drain_timeout, all_ended).await.is_ok() {
        return 0;
    }
    // Those that only read on have answered, and may go.
    let cut = connections.len().saturating_sub(lingering.connections());
    connections.shutdown().await;
    tracing::debug!(%address, cut, "the drain ran out of time");
    cut
}

type Accepted = (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        // The peer gave up between its handshake and our accept.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
            ) =>
        {
            None
        }
        Err(error) => {
            tracing::error!(%error, "a connection could not be accepted");
            sleep(EXHAUSTED_PAUSE).await;
            None
        }
    }
}
