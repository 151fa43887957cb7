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
    activity::OPENING,
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
    let since = crowd.drain();
    let deadline = since + config.drain_timeout;
    // Those whom the system has accepted could have asked already. Those that rest make room for them as they drain.
    let has_room_by = since + OPENING.min(config.drain_timeout / 2);
    let waiting = waiting.map(|Waiting { stream, peer, .. }| (stream, peer));
    for (stream, peer) in waiting.into_iter().chain(backlog(listener)) {
        let (listening, lingering, handler) = (listening.clone(), lingering.clone(), make(peer));
        connections.spawn(async move {
            let permit = timeout_at(has_room_by, Arc::clone(&listening.permits).acquire_owned());
            if let Ok(Ok(permit)) = permit.await {
                Link { peer, permit, listening, lingering }.serve(stream, handler).await;
            }
        });
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

/// The connections that the system has ready, at the end of the listener: no more than it can hold.
fn backlog(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let (mut taken, mut failure) = (Vec::new(), None);
    match listener.into_std() {
        Ok(listener) => {
            for _ in 0..BACKLOG {
                let accepted = listener.accept().and_then(|(stream, peer)| {
                    stream.set_nonblocking(true)?;
                    Ok((TcpStream::from_std(stream)?, peer))
                });
                match accepted {
                    Ok(accepted) => taken.push(accepted),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Of most errors others behind know nothing.
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        Err(error) => failure = Some(error),
    }
    if let Some(error) = failure {
        tracing::warn!(%error, "connections could not be accepted before the end");
    }
    taken
}

async fn accept(listener: &TcpListener, crowd: &Crowd) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
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
            crowd.make_room();
            sleep(EXHAUSTED_PAUSE).await;
            None
        }
    }
}
