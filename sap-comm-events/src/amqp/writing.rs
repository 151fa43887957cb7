//! The task that writes, and that looks whether the broker still lives.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};

use super::{connection::Shared, error::Error, frame};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many ticks, two a heartbeat, a broker may be silent.
const TICKS: u32 = 4;
/// A larger buffer is not kept.
const KEPT: usize = 1 << 20;

/// Writes until the connection is lost.
pub(super) async fn run<W: AsyncWrite + Send + Unpin>(
    shared: Arc<Shared>,
    socket: W,
    heard: Arc<AtomicBool>,
    heartbeat: Duration,
) {
    let mut writer = Writer { pulse: Pulse::new(heartbeat, heard), shared, socket, bytes: Vec::new(), sent: 0 };
    if let Err(error) = writer.write().await {
        writer.shared.end(&error);
    }
    // What is left is an answer to a farewell, or of no use: the broker may be gone.
    let left = timeout(FAREWELL, writer.finish()).await;
    tracing::trace!(?left, "nothing is written any more");
}

struct Writer<W> {
    shared: Arc<Shared>,
    socket: W,
    pulse: Pulse,
    /// What is being sent, and how much of it was.
    bytes: Vec<u8>,
    sent: usize,
}

impl<W: AsyncWrite + Send + Unpin> Writer<W> {
    async fn write(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.lost.cancelled() => return Ok(()),
                () = self.pulse.tick() => self.pulse.beat(&shared)?,
                () = shared.outbound.wait() => {}
            }
            while self.take() {
                self.pulse.wrote = true;
                while let Progress::Sent = self.progress().await? {}
            }
        }
    }

    /// Takes what is to be sent next; whether there is anything.
    fn take(&mut self) -> bool {
        self.sent = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.shared.outbound.take(&mut self.bytes);
        !self.bytes.is_empty()
    }

    /// Sends as much as the socket takes, or sees that it has left; a broker that reads nothing is still listened for.
    async fn progress(&mut self) -> Result<Progress, Error> {
        let shared = Arc::clone(&self.shared);
        let rest = self.bytes.get(self.sent..).unwrap_or_default();
        let socket = &mut self.socket;
        let sending = async {
            if rest.is_empty() {
                socket.flush().await?;
                return Ok(None);
            }
            match socket.write(rest).await? {
                0 => Err(io::Error::from(io::ErrorKind::WriteZero)),
                sent => Ok(Some(sent)),
            }
        };
        let sent = tokio::select! {
            biased;
            sent = sending => sent?,
            () = shared.lost.cancelled() => return Err(Error::Closed),
            () = self.pulse.tick() => {
                self.pulse.listen()?;
                return Ok(Progress::Sent);
            }
        };
        self.sent += sent.unwrap_or_default();
        Ok(if sent.is_some() { Progress::Sent } else { Progress::Flushed })
    }

    /// Sends what is left: after the frame that was under way, the answer to a farewell.
    async fn finish(&mut self) -> io::Result<()> {
        self.socket.write_all(self.bytes.get(self.sent..).unwrap_or_default()).await?;
        if self.take() {
            self.socket.write_all(&self.bytes).await?;
        }
        self.socket.flush().await?;
        self.socket.shutdown().await
    }
}

/// What became of the bytes to send.
enum Progress {
    /// There may be more of them.
    Sent,
    /// All have left.
    Flushed,
}

/// Heartbeats: ours are sent when nothing else was, and the broker is given up after two of its own that did not come.
struct Pulse {
    /// Two a heartbeat; none if neither side wants any.
    ticks: Option<Interval>,
    heartbeat: Duration,
    heard: Arc<AtomicBool>,
    /// For how many ticks nothing was heard.
    silent: u32,
    wrote: bool,
}

impl Pulse {
    fn new(heartbeat: Duration, heard: Arc<AtomicBool>) -> Self {
        let ticks = (!heartbeat.is_zero()).then(|| {
            let mut ticks = interval_at(Instant::now() + heartbeat / 2, heartbeat / 2);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { ticks, heartbeat, heard, silent: 0, wrote: false }
    }

    async fn tick(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => pending().await,
        }
    }

    fn beat(&mut self, shared: &Shared) -> Result<(), Error> {
        self.listen()?;
        if !std::mem::take(&mut self.wrote) {
            shared.outbound.write(frame::heartbeat);
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<(), Error> {
        self.silent = if self.heard.swap(false, Ordering::Relaxed) { 0 } else { self.silent + 1 };
        if self.silent >= TICKS { Err(Error::Silent(self.heartbeat * 2)) } else { Ok(()) }
    }
}
