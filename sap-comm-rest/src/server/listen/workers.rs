//! A thread for each listener, with a runtime of its own: a connection, its timers and its upstreams stay on one core.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    thread,
};

use futures_util::future::try_join_all;
use tokio::{
    net::TcpListener,
    sync::{Barrier, oneshot},
    time::timeout_at,
};
use tokio_util::sync::CancellationToken;

use super::{
    ServerError,
    accept::{Drained, accept_all},
    handler::ConnectionHandler,
    link::Listening,
};

/// Serves each listener on a thread until all have drained; says how many connections were cut. Dropped, it ends them.
pub(super) async fn run<M, H>(
    listeners: Vec<StdListener>,
    listening: &Listening,
    make: M,
    shutdown: &CancellationToken,
) -> Result<usize, ServerError>
where
    M: Fn(SocketAddr) -> H + Clone + Send + 'static,
    H: ConnectionHandler,
{
    let all_drained = Arc::new(Barrier::new(listeners.len()));
    let end = CancellationToken::new();
    let _ends_with_us = end.clone().drop_guard();
    let mut ended = Vec::with_capacity(listeners.len());
    for (number, listener) in listeners.into_iter().enumerate() {
        let (tell, told) = oneshot::channel();
        let (listening, make, all_drained) = (listening.clone(), make.clone(), Arc::clone(&all_drained));
        // Children, so that no two workers share a lock at each of their polls.
        let (end, shutdown) = (end.child_token(), shutdown.child_token());
        let work = move || {
            // Nobody listens any more when the server was dropped.
            let _ = tell.send(serve(listener, &listening, make, &all_drained, &shutdown, &end));
        };
        thread::Builder::new().name(format!("worker-{number}")).spawn(work).map_err(ServerError::worker)?;
        ended.push(async move {
            let gone = |_| ServerError::worker(io::Error::other("it panicked"));
            told.await.map_err(gone)?.map_err(ServerError::worker)
        });
    }
    drop(make);
    Ok(try_join_all(ended).await?.into_iter().sum())
}

fn serve<M, H>(
    listener: StdListener,
    listening: &Listening,
    make: M,
    all_drained: &Barrier,
    shutdown: &CancellationToken,
    end: &CancellationToken,
) -> io::Result<usize>
where
    M: Fn(SocketAddr) -> H,
    H: ConnectionHandler,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let all = async {
            let Drained { cut, deadline } = accept_all(listener, listening, make, shutdown).await;
            // The permits are for what all listeners still have to serve.
            let upgraded_ones_end = async {
                all_drained.wait().await;
                upgraded_ones_end(listening).await;
            };
            let _ = timeout_at(deadline, upgraded_ones_end).await;
            cut
        };
        tokio::select! {
            cut = all => Ok(cut),
            () = end.cancelled() => Ok(0),
        }
    });
    runtime.shutdown_background();
    served
}

/// Connections that were handed over to another protocol end with the runtime; they get what is left of the drain.
async fn upgraded_ones_end(listening: &Listening) {
    let all = u32::try_from(listening.config.max_connections).unwrap_or(u32::MAX);
    let _ = Arc::clone(&listening.permits).acquire_many_owned(all).await;
}
