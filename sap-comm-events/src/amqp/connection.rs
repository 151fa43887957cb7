//! A connection, as whoever uses it sees it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{oneshot, watch},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    channel::{Channel, farewell},
    encode::Encoder,
    error::Error,
    frame,
    handshake::Agreed,
    method::{Method, channel, connection},
    outbound::Outbound,
    reading,
    registry::{Answer, Core, News, Registry, Sink},
    settling, writing,
};

/// A connection to a broker; dropping it cuts it.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    version: Option<String>,
    blocked: watch::Receiver<Option<String>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What the tasks and the channels of a connection share.
pub(super) struct Shared {
    pub(super) outbound: Outbound,
    pub(super) registry: Mutex<Registry>,
    /// Cancelled once the connection is lost or closed.
    pub(super) lost: CancellationToken,
    /// Why the broker reads nothing, if so.
    pub(super) blocked: watch::Sender<Option<String>>,
    /// The largest frame, in bytes.
    pub(super) max_frame: usize,
}

impl Connection {
    /// Starts the tasks of a connection that is made.
    pub(super) fn start<R, W>(reader: R, writer: W, agreed: Agreed) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, blocked) = watch::channel(None);
        let shared = Arc::new(Shared {
            outbound: Outbound::default(),
            registry: Mutex::new(Registry::new(agreed.max_channels)),
            lost: CancellationToken::new(),
            blocked: sender,
            max_frame: agreed.max_frame,
        });
        let heard = Arc::default();
        let reading = reading::run(Arc::clone(&shared), reader, Arc::clone(&heard));
        let writing = writing::run(Arc::clone(&shared), writer, heard, agreed.heartbeat);
        let tasks = [tokio::spawn(reading), tokio::spawn(writing)].map(AbortOnDropHandle::new);
        Self { shared, version: agreed.version, blocked, _tasks: tasks }
    }

    /// What the broker says its version is.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Opens a channel; `sink` hears what happens on it.
    pub(crate) async fn channel(&self, sink: Arc<dyn Sink>) -> Result<Channel, Error> {
        let core = self.shared.registry.lock().add(sink)?;
        let channel = Channel::new(core, Arc::clone(&self.shared));
        channel.open().await?;
        Ok(channel)
    }

    /// Cancelled once the connection is lost or closed.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.shared.lost
    }

    /// Why it was lost.
    pub(crate) fn error(&self) -> Error {
        self.shared.registry.lock().closed().cloned().unwrap_or(Error::Closed)
    }

    /// Why the broker reads nothing from this connection, if so.
    pub(crate) fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.clone()
    }

    /// Takes leave of the broker, and waits until it is gone, but not longer than `limit`.
    pub(crate) async fn close(&self, limit: Duration) {
        let outbound = &self.shared.outbound;
        // The broker takes nothing behind a farewell.
        for core in self.shared.registry.lock().cores() {
            settling::settle(core, |write| outbound.append(write));
        }
        outbound.write(|out| {
            let written = frame::method(out, 0, connection::CLOSE, farewell);
            debug_assert!(written.is_ok(), "the reason fits");
        });
        if tokio::time::timeout(limit, self.shared.lost.cancelled()).await.is_err() {
            tracing::debug!("the broker did not answer a farewell");
        }
        self.shared.end(&Error::Closed);
    }
}

impl Shared {
    /// Writes a question for a channel, which may be about one of its consumers; the answer comes through the receiver.
    pub(super) fn ask(
        &self,
        core: &Arc<Core>,
        method: Method,
        consumer: Option<u32>,
        arguments: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>,
    ) -> Result<oneshot::Receiver<Answer>, Error> {
        let mut registry = self.registry.lock();
        let answer = registry.ask(core, method, consumer)?;
        let written = self.outbound.write(|out| {
            let written = frame::method(out, core.id, method, arguments);
            if method == channel::CLOSE {
                core.end();
            }
            written
        });
        if let Err(error) = written {
            registry.take_back(core);
            return Err(error);
        }
        Ok(answer)
    }

    /// Ends the connection, for the first reason that there is.
    pub(super) fn end(&self, error: &Error) {
        let mut news = Vec::new();
        self.registry.lock().end(error, &mut news);
        self.outbound.close();
        self.lost.cancel();
        news.into_iter().for_each(News::tell);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.end(&Error::Closed);
        self.shared.outbound.clear();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("version", &self.version).finish_non_exhaustive()
    }
}
