//! Connections to the endpoints of one upstream, kept apart by runtime: a connection ends with the one that it was made on, and each
//! worker has one.
//!
//! A pool of our own: what a general client does for each request (a lock that all threads share, a task for each connection, another
//! that waits until it is free, boxed futures, a URI made and taken apart) costs more than the rest of the way.

mod destination;
mod lease;

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Weak},
    task::Context,
    time::Duration,
};

use parking_lot::Mutex;
use sap_comm_core::{BoxError, Endpoint};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tower::ServiceExt;

use super::{UpstreamConfig, exchange::Connection};
use crate::connector::Connector;

use destination::Destination;
pub(super) use lease::Lease;

/// Among so many locks runtimes are spread.
const SHARDS: u64 = 64;

/// Connections to one upstream. They end with it, those in use with their request.
pub(super) struct Pool {
    shared: Arc<Shared>,
    sweep: AbortHandle,
}

struct Shared {
    connector: Connector,
    /// What each runtime knows of the endpoints; there are few of them.
    shards: Box<[Mutex<Vec<Arc<Destination>>>]>,
    idle_timeout: Duration,
    max_idle: usize,
}

impl Pool {
    /// # Panics
    /// Outside a tokio runtime, whose task closes connections that are idle for too long.
    pub(super) fn new(config: &UpstreamConfig, connector: Connector) -> Self {
        let shared = Arc::new(Shared {
            connector,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            idle_timeout: config.pool_idle_timeout,
            max_idle: config.pool_idle_per_endpoint,
        });
        let sweep = tokio::spawn(sweep(Arc::downgrade(&shared), config.pool_idle_timeout)).abort_handle();
        Self { shared, sweep }
    }

    /// A connection that is free, if there is one.
    pub(super) fn reuse(
        &self,
        endpoint: &Endpoint,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Option<Lease>, http::Error> {
        let destination = self.destination(endpoint)?;
        let connection = destination.take(self.shared.idle_timeout, now, cx);
        Ok(connection.map(|connection| Lease::new(connection, destination)))
    }

    /// A new connection.
    pub(super) async fn connect(&self, endpoint: &Endpoint) -> Result<Lease, BoxError> {
        let destination = self.destination(endpoint)?;
        let io = self.shared.connector.clone().oneshot(destination.uri().clone()).await?;
        Ok(Lease::new(Connection::new(io.into_inner().into_transport()), destination))
    }

    fn destination(&self, endpoint: &Endpoint) -> Result<Arc<Destination>, http::Error> {
        let runtime = Handle::current().id();
        let mut hasher = DefaultHasher::new();
        runtime.hash(&mut hasher);
        let shard = usize::try_from(hasher.finish() % SHARDS).ok().and_then(|at| self.shared.shards.get(at));
        let Some(shard) = shard else { return Destination::new(endpoint, runtime, self.shared.max_idle).map(Arc::new) };
        let mut known = shard.lock();
        if let Some(destination) = known.iter().find(|destination| destination.is_of(endpoint, runtime)) {
            return Ok(Arc::clone(destination));
        }
        let destination = Arc::new(Destination::new(endpoint, runtime, self.shared.max_idle)?);
        known.push(Arc::clone(&destination));
        Ok(destination)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.sweep.abort();
    }
}

/// Closes what was idle for too long, and forgets endpoints that nothing is kept for and nobody asks.
async fn sweep(shared: Weak<Shared>, idle_timeout: Duration) {
    let mut ticks = interval((idle_timeout / 2).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        for shard in &shared.shards {
            // What is in use comes back.
            shard
                .lock()
                .retain(|destination| destination.sweep(shared.idle_timeout) || Arc::strong_count(destination) > 1);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle_timeout", &self.shared.idle_timeout).finish_non_exhaustive()
    }
}
