use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Server, ServerError, Sockets,
    bind::BACKLOG,
    crowd::Crowd,
    handler::ConnectionHandler,
    linger::Lingering,
    link::{Link, Listening},
    workers,
};

/// The pause after the system had no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long those that make room may take before others do, too.
const FULL_PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn run<M, H>(server: Server, make: M, shutdown: CancellationToken) -> Result<(), ServerError>
where
    M: Fn(SocketAddr) -> H + Clone + Send + 'static,
    H: ConnectionHandler,
{
    let Server { sockets, address, config, tls } = server;
    tracing::info!(%address, tls = tls.is_some(), workers = config.workers, "listening");
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let (config, crowd, refusals) = (Arc::new(config), Arc::default(), Arc::default());
    let listening = Listening { config, permits, crowd, refusals, tls };
    let cut = match sockets {
        Sockets::Here(listener) => accept_all(listener, &listening, make, &shutdown).await.cut,
        Sockets::Workers(listeners) => workers::run(listeners, &listening, make, &shutdown).await?,
    };
    if cut > 0 {
        return Err(ServerError::Cut { address: address.to_string(), connections: cut });
    }
    tracing::info!(%address, "drained");
    Ok(())
}

/// How the drain of one listener went.
#[derive(Debug)]
pub(super) struct Drained {
    /// How many connections had to be cut.
    pub(super) cut: usize,
    /// Until when it could last.
    pub(super) deadline: Instant,
}

/// Serves the connections of one listener until they have drained.
pub(super) async fn accept_all<M, H>(
    listener: TcpListener,
    listening: &Listening,
    make: M,
    shutdown: &CancellationToken,
) -> Drained
where
    M: Fn(SocketAddr) -> H,
    H: ConnectionHandler,
{
    let Listening { config, permits, crowd, .. } = listening;
    let lingering = Lingering::default();
    let mut connections = JoinSet::new();
    let mut waiting: Option<Waiting> = None;
    loop {
        let (stream, peer, permit) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Nothing but a panic can fail here, and hyper's task reports that itself.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, crowd), if waiting.is_none() => {
                let Some((stream, peer)) = accepted else { continue };
                match Arc::clone(permits).try_acquire_owned() {
                    Ok(permit) => (stream, peer, permit),
                    Err(_) => {
                        let room = room(Arc::clone(permits), Arc::clone(crowd)).boxed();
                        waiting = Some(Waiting { stream, peer, room });
                        continue;
                    }
                }
            }
            permit = has_room(waiting.as_mut()) => {
                let (Some(Waiting { stream, peer, .. }), Some(permit)) = (waiting.take(), permit) else { continue };
                (stream, peer, permit)
            }
        };
        let link = Link { peer, permit, listening: listening.clone(), lingering: lingering.clone() };
        connections.spawn(link.serve(stream, make(peer)));
    }
    let deadline = crowd.drain() + config.drain_timeout;
    drop(waiting);
    // Those whom the system has accepted could have asked already.
    for (stream, peer, permit) in backlog(listener, permits) {
        let link = Link { peer, permit, listening: listening.clone(), lingering: lingering.clone() };
        connections.spawn(link.serve(stream, make(peer)));
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout_at(deadline, all_ended).await.is_ok() {
        return Drained { cut: 0, deadline };
    }
    // Those that only read on, or wait for their peers, have answered, and may go.
    let cut = connections.len().saturating_sub(lingering.connections());
    connections.shutdown().await;
    tracing::debug!(cut, "the drain ran out of time");
    Drained { cut, deadline }
}

/// One that was accepted before there was room for it.
struct Waiting {
    stream: TcpStream,
    peer: SocketAddr,
    room: BoxFuture<'static, Option<OwnedSemaphorePermit>>,
}

/// Room for the one that waits.
async fn has_room(waiting: Option<&mut Waiting>) -> Option<OwnedSemaphorePermit> {
    match waiting {
        Some(waiting) => waiting.room.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Room for one more connection, which those that rest make.
async fn room(permits: Arc<Semaphore>, crowd: Arc<Crowd>) -> Option<OwnedSemaphorePermit> {
    let mut permit = pin!(permits.acquire_owned());
    loop {
        crowd.make_room();
        if let Ok(permit) = timeout(FULL_PAUSE, permit.as_mut()).await {
            return permit.ok();
        }
    }
}

/// The connections that the system has ready, at the end of the listener: no more than it held when the server stopped, and none without
/// a permit.
fn backlog(listener: TcpListener, permits: &Arc<Semaphore>) -> Vec<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let mut taken = Vec::new();
    let ended = listener.into_std().and_then(|listener| {
        for _ in 0..BACKLOG {
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { break };
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    taken.push((TcpStream::from_std(stream)?, peer, permit));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if peer_gave_up(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    if let Err(error) = ended {
        tracing::warn!(%error, "connections could not be accepted before the end");
    }
    taken
}

async fn accept(listener: &TcpListener, crowd: &Crowd) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) if peer_gave_up(&error) => None,
        Err(error) => {
            tracing::error!(%error, "a connection could not be accepted");
            crowd.make_room();
            sleep(EXHAUSTED_PAUSE).await;
            None
        }
    }
}

/// Whether it did between its handshake and our accept.
fn peer_gave_up(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
