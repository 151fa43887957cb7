use std::{
    task::{Context, Waker},
    time::Duration,
};

use http::{HeaderValue, Uri};
use parking_lot::Mutex;
use sap_comm_core::Endpoint;
use tokio::{runtime::Id, time::Instant};

use crate::gateway::exchange::Connection;

/// One endpoint, as one runtime knows it.
pub(super) struct Destination {
    runtime: Id,
    scheme: &'static str,
    authority: Box<str>,
    uri: Uri,
    host: HeaderValue,
    idle: Mutex<Vec<Idle>>,
    max_idle: usize,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Destination {
    pub(super) fn new(endpoint: &Endpoint, runtime: Id, max_idle: usize) -> Result<Self, http::Error> {
        let (scheme, authority) = (endpoint.scheme(), endpoint.authority());
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()?;
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = HeaderValue::from_str(authority.strip_suffix(default_port).unwrap_or(authority))?;
        Ok(Self { runtime, scheme, authority: authority.into(), uri, host, idle: Mutex::default(), max_idle })
    }

    pub(super) fn is_of(&self, endpoint: &Endpoint, runtime: Id) -> bool {
        self.runtime == runtime && *self.authority == *endpoint.authority() && self.scheme == endpoint.scheme()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// The connection that was given back last and still serves; those that do not are dropped.
    pub(super) fn take(&self, idle_timeout: Duration, now: Instant, cx: &mut Context<'_>) -> Option<Box<Connection>> {
        loop {
            let Idle { mut connection, since } = self.idle.lock().pop()?;
            let rested = now.saturating_duration_since(since);
            if rested < idle_timeout && connection.is_idle(rested, cx) {
                return Some(connection);
            }
        }
    }

    pub(super) fn give(&self, connection: Box<Connection>, since: Instant) {
        if self.max_idle == 0 {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() >= self.max_idle {
            // The oldest is the likeliest to have ended.
            idle.remove(0);
        }
        idle.push(Idle { connection, since });
    }

    /// Closes what was idle for too long or has ended; whether anything is left.
    pub(super) fn sweep(&self, idle_timeout: Duration) -> bool {
        let (mut idle, now) = (self.idle.lock(), Instant::now());
        let mut unheard = Context::from_waker(Waker::noop());
        idle.retain_mut(|Idle { connection, since }| {
            let rested = now.saturating_duration_since(*since);
            rested < idle_timeout && connection.is_idle(rested, &mut unheard)
        });
        !idle.is_empty()
    }
}
