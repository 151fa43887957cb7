//! The socket beneath a connection, so that it can be cut.

use std::{
    io,
    net::{Shutdown, TcpStream},
    sync::Arc,
};

use parking_lot::Mutex;

/// A second handle of a connection's socket; dropping the last clone cuts it.
///
/// The client library has no other way to give up a peer that is silent: its thread would wait as long as TCP does.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Socket>);

#[derive(Default)]
struct Socket(Mutex<Option<TcpStream>>);

impl Wire {
    /// Takes note of the socket of the attempt that runs.
    pub(super) fn attach(&self, socket: &tokio::net::TcpStream) -> io::Result<()> {
        #[cfg(unix)]
        let handle = std::os::fd::AsFd::as_fd(socket).try_clone_to_owned()?;
        #[cfg(windows)]
        let handle = std::os::windows::io::AsSocket::as_socket(socket).try_clone_to_owned()?;
        *self.0.0.lock() = Some(handle.into());
        Ok(())
    }

    /// Ends both directions at once.
    pub(super) fn cut(&self) {
        self.0.cut();
    }
}

impl Socket {
    fn cut(&self) {
        if let Some(socket) = self.0.lock().take()
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            tracing::trace!(%error, "the socket was closed before");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.cut();
    }
}
