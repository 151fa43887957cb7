//! Threads with a runtime each that share a port, as nginx's workers do.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
};

use tokio::net::{TcpListener, TcpSocket};

use crate::BenchError;

const BACKLOG: u32 = 1_024;

/// Runs `worker` on each of so many threads; returns when the first of them fails.
pub(super) fn run<F>(count: usize, worker: impl Fn() -> F + Send + Clone + 'static) -> Result<(), BenchError>
where
    F: Future<Output = Result<(), BenchError>>,
{
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let worker = worker.clone();
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(BenchError::refused("start a runtime"))?.block_on(worker())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| BenchError::refused("work")("a worker panicked"))??;
    }
    Ok(())
}

/// Listens beside the other workers.
pub(super) fn listen(port: u16) -> Result<TcpListener, BenchError> {
    let listen = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        socket.listen(BACKLOG)
    };
    listen().map_err(BenchError::refused("listen"))
}
