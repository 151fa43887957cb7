use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::RealtimeGateway;

/// Longer than anybody waits for a process to end.
const MAX_DRAIN: Duration = Duration::from_secs(3_600);

/// The gateway could not end everything in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{calls} calls and {sockets} sockets were still there after {waited:?}")]
pub struct DrainError {
    /// Calls of handlers, pushes or the sink that were still running.
    pub calls: usize,
    /// Sockets that were still connected.
    pub sockets: u64,
    /// How long it was waited for.
    pub waited: Duration,
}

impl RealtimeGateway {
    /// Takes no more connections, lets calls in flight end, then closes all connections; within `limit`.
    ///
    /// Clients see their transport close, so they connect again by themselves, to another node. Calls that are still
    /// running at half of the limit are left behind, so that connections can be closed in order.
    ///
    /// # Errors
    /// When something was still there at the limit.
    pub async fn drain(&self, limit: Duration) -> Result<(), DrainError> {
        let start = Instant::now();
        let _ends = self.hub.ended.clone().drop_guard();
        let limit = limit.min(MAX_DRAIN);
        self.hub.draining.cancel();
        self.hub.work.close();
        tracing::info!(sockets = self.stats().sockets, calls = self.hub.work.len(), "draining");
        let calls_ended = timeout_at(start + limit / 2, self.hub.work.wait()).await.is_ok();
        let closed = timeout_at(start + limit, self.io.close()).await.is_ok();
        if calls_ended && closed {
            return Ok(());
        }
        Err(DrainError { calls: self.hub.work.len(), sockets: self.stats().sockets, waited: start.elapsed() })
    }
}
