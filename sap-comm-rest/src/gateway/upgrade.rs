use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use sap_comm_core::{ApiError, ErrorCode};
use sap_comm_discovery::Picked;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional},
    time::{Instant, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};
use tracing::Instrument;

use super::pool::Lease;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// The upgraded connections of a gateway, which end with it; and among their places those of event streams.
#[derive(Debug)]
pub(super) struct Tunnels {
    tasks: TaskTracker,
    end: CancellationToken,
    /// Of the streams of events, which have longer.
    events_end: CancellationToken,
    /// At how many servers the gateway is served.
    servers: AtomicUsize,
    slots: Arc<Slots>,
    idle_timeout: Duration,
}

/// How many connections are open or about to be, and how many may be.
#[derive(Debug)]
struct Slots {
    taken: AtomicUsize,
    max: AtomicUsize,
}

/// A server of the gateway.
#[derive(Debug)]
pub(super) struct Serving<'a>(&'a Tunnels);

/// The place of one of them.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

/// A client that asked to go on as a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    client: OnUpgrade,
    slot: Slot,
}

/// Whether a request asks for a WebSocket, in the one form that upstreams understand alike.
pub(super) fn is_websocket(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && has_token(&parts.headers, &header::CONNECTION, "upgrade")
        && to_websocket(&parts.headers)
}

/// Whether `Upgrade` names a WebSocket and nothing else.
pub(super) fn to_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let named = protocols.next().is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    named && protocols.next().is_none()
}

fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|own| own.trim().eq_ignore_ascii_case(token))
}

/// Asks for a WebSocket, after hop-by-hop headers were taken out.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, WEBSOCKET);
}

impl Tunnels {
    pub(super) fn new(max: usize, idle_timeout: Duration) -> Self {
        Self {
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            events_end: CancellationToken::new(),
            servers: AtomicUsize::new(0),
            slots: Arc::new(Slots { taken: AtomicUsize::new(0), max: AtomicUsize::new(max) }),
            idle_timeout,
        }
    }

    /// Takes so many from now on, unless they were closed; those that are open stay.
    pub(super) fn set_max(&self, max: usize) {
        if !self.end.is_cancelled() {
            self.slots.max.store(max, Ordering::Relaxed);
        }
    }

    /// How many of its places are taken.
    pub(super) fn open(&self) -> usize {
        self.slots.taken.load(Ordering::Relaxed)
    }

    /// Takes the client's side out of the request, if it can become a WebSocket.
    pub(super) fn begin(&self, parts: &mut Parts) -> Result<Option<Upgrade>, ApiError> {
        if !is_websocket(parts) {
            return Ok(None);
        }
        let Some(client) = parts.extensions.remove::<OnUpgrade>() else { return Ok(None) };
        let Some(slot) = self.take() else {
            let error =
                ApiError::new(ErrorCode::OVERLOADED, "Too many WebSocket connections or streams of events are open");
            return Err(error.retry_after(Duration::from_secs(1)));
        };
        Ok(Some(Upgrade { client, slot }))
    }

    /// The place of one more, if there is one.
    pub(super) fn take(&self) -> Option<Slot> {
        self.slots.take()
    }

    /// How long a stream of events may go on; those that begin once the others were broken off are served on.
    pub(super) fn until(&self) -> Option<Pin<Box<WaitForCancellationFutureOwned>>> {
        (!self.events_end.is_cancelled()).then(|| Box::pin(self.events_end.clone().cancelled_owned()))
    }

    /// One server more, as long as this is held.
    pub(super) fn serve(&self) -> Serving<'_> {
        self.servers.fetch_add(1, Ordering::Relaxed);
        Serving(self)
    }

    /// Joins both sides once the response with the upgrade has been sent; until then nothing passes.
    pub(super) fn join(&self, upgrade: Upgrade, picked: Picked, lease: Lease) {
        let (end, idle_timeout) = (self.end.clone(), self.idle_timeout);
        let tunnel = async move {
            let Upgrade { client, slot: _slot } = upgrade;
            let _picked = picked;
            let ended = tokio::select! {
                () = end.cancelled() => Ok(()),
                ended = run(client, lease, idle_timeout) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "WebSocket connection ended");
            }
        };
        self.tasks.spawn(tunnel.in_current_span());
    }

    /// Ends every connection, and waits until they are gone. No further one begins.
    pub(super) async fn close(&self) {
        self.end.cancel();
        self.slots.max.store(0, Ordering::Relaxed);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Serving<'_> {
    /// The server stops: the last breaks off the streams of events.
    pub(super) fn stop(&self) {
        if self.0.servers.load(Ordering::Relaxed) == 1 {
            self.0.events_end.cancel();
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.servers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    fn take(self: &Arc<Self>) -> Option<Slot> {
        let max = self.max.load(Ordering::Relaxed);
        let one_more = |taken| (taken < max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

async fn run(client: OnUpgrade, lease: Lease, idle_timeout: Duration) -> io::Result<()> {
    let (upstream, first) = lease.into_connection().into_upgraded()?;
    let client = client.await.map_err(io::Error::other)?;
    let pulse = Arc::new(Pulse { begun: Instant::now(), last: AtomicU64::new(0) });
    let mut client = Pulsing { inner: TokioIo::new(client), pulse: Arc::clone(&pulse) };
    let mut upstream = Pulsing { inner: upstream, pulse: Arc::clone(&pulse) };
    let copied = async {
        client.write_all(&first).await?;
        client.flush().await?;
        copy_bidirectional(&mut client, &mut upstream).await
    };
    tokio::select! {
        copied = copied => copied.map(drop),
        () = pulse.silence(idle_timeout) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// When something was last read on either side.
#[derive(Debug)]
struct Pulse {
    begun: Instant,
    last: AtomicU64,
}

impl Pulse {
    fn beat(&self) {
        let elapsed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    async fn silence(&self, limit: Duration) {
        loop {
            let over = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed)) + limit;
            if over <= Instant::now() {
                return;
            }
            sleep_until(over).await;
        }
    }
}

pin_project! {
    struct Pulsing<T> {
        #[pin]
        inner: T,
        pulse: Arc<Pulse>,
    }
}

impl<T: AsyncRead> AsyncRead for Pulsing<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let result = ready!(this.inner.poll_read(cx, buf));
        this.pulse.beat();
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite> AsyncWrite for Pulsing<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}
