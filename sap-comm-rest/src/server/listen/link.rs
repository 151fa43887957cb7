use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use http::StatusCode;
use sap_comm_core::{ApiError, ErrorCode};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    ServerConfig,
    activity::Activity,
    connection,
    crowd::Crowd,
    handler::ConnectionHandler,
    linger::{Linger, Lingering},
    refusals::Refusals,
    rejected,
};
use crate::tls::{HandshakeFailed, Handshaken, ServerTls, Transport};

/// What all connections of a server share.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    pub(super) config: Arc<ServerConfig>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) crowd: Arc<Crowd>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) tls: Option<ServerTls>,
}

/// A connection that was accepted, and what it is served with.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: SocketAddr,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) listening: Listening,
    /// Those of its listener.
    pub(super) lingering: Lingering,
}

impl Link {
    /// Serves it, over TLS where the server has certificates.
    pub(super) async fn serve<H: ConnectionHandler>(self, stream: TcpStream, handler: H) {
        let peer = self.peer;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "the connection was gone before it was served");
            return;
        }
        let Some(tls) = self.listening.tls.clone() else {
            return connection::serve(Transport::Plain(stream), None, handler, self).await;
        };
        // A peer that is silent in its handshake rests as well as one that is silent behind it.
        let shaking = Arc::new(Activity::new(&self.listening.config));
        let place = self.listening.crowd.join(&shaking);
        let shaken = tokio::select! {
            shaken = tls.handshake(stream, || shaking.shakes_hands()) => shaken,
            // Who has not asked yet may ask elsewhere.
            () = shaking.left() => return tracing::debug!(%peer, "a handshake ended for another connection, or with the server"),
        };
        drop(place);
        match shaken {
            Ok(Handshaken { transport, connection }) => {
                connection::serve(transport, Some(connection), handler, self).await;
            }
            Err(HandshakeFailed::PlainHttp(stream)) => self.answer_plain(stream).await,
            Err(HandshakeFailed::Broken(reason)) => tracing::debug!(%peer, reason, "no TLS connection"),
        }
    }

    /// Tells a peer that forgot the `s` of `https`. What it has sent in clear text is not read.
    async fn answer_plain(self, mut stream: TcpStream) {
        let error = ApiError::new(ErrorCode::BAD_REQUEST, "This port speaks TLS: use https");
        let Some(answer) = rejected::envelope(StatusCode::BAD_REQUEST, &error, None, false, &self.listening.refusals)
        else {
            return;
        };
        if stream.write_all(&answer).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut linger = Linger::begin(&self.listening.config, false, &self.lingering);
        poll_fn(|cx| linger.poll(&mut stream, cx)).await;
    }
}
