use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use sap_comm_core::BoxError;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{Server, ServerError, linger::Lingering, link::Link};

/// The pause after the system had no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run<S, B>(server: Server, service: S, shutdown: CancellationToken) -> Result<(), ServerError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Server { listener, address, config, tls } = server;
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let config = Arc::new(config);
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let lingering = Lingering::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Nothing but a panic can fail here, and hyper's task reports that itself.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let link = Link {
            peer,
            permit,
            tls: tls.clone(),
            config: Arc::clone(&config),
            lingering: lingering.clone(),
            shutdown: shutdown.clone(),
        };
        connections.spawn(link.serve(stream, service.clone()));
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(config.drain_timeout, all_ended).await.is_ok() {
        tracing::info!(%address, "drained");
        return Ok(());
    }
    // Those that only read on have answered, and may go.
    let cut = connections.len().saturating_sub(lingering.connections());
    connections.shutdown().await;
    if cut == 0 {
        tracing::info!(%address, "drained");
        return Ok(());
    }
    Err(ServerError::Cut { address: address.to_string(), connections: cut })
}

type Accepted = (tokio::net::TcpStream, std::net::SocketAddr, tokio::sync::OwnedSemaphorePermit);

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
