use std::time::Duration;

use http::{HeaderValue, Uri};
use parking_lot::Mutex;
use sap_comm_core::Endpoint;
use tokio::time::Instant;

use super::Sender;

/// One endpoint, as one worker knows it.
pub(super) struct Destination {
    scheme: &'static str,
    authority: Box<str>,
    uri: Uri,
    host: HeaderValue,
    idle: Mutex<Vec<Idle>>,
    max_idle: usize,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

impl Destination {
    pub(super) fn new(endpoint: &Endpoint, max_idle: usize) -> Result<Self, http::Error> {
        let (scheme, authority) = (endpoint.scheme(), endpoint.authority());
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()?;
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = HeaderValue::from_str(authority.strip_suffix(default_port).unwrap_or(authority))?;
        Ok(Self { scheme, authority: authority.into(), uri, host, idle: Mutex::default(), max_idle })
    }

    pub(super) fn is_of(&self, endpoint: &Endpoint) -> bool {
        *self.authority == *endpoint.authority() && self.scheme == endpoint.scheme()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// The connection that was given back last and is free; those that have ended are dropped.
    pub(super) fn take(&self, idle_timeout: Duration) -> Option<Sender> {
        let mut idle = self.idle.lock();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let Idle { sender, since } = idle.get(at)?;
            if sender.is_closed() || since.elapsed() >= idle_timeout {
                idle.remove(at);
            } else if sender.is_ready() {
                return Some(idle.remove(at).sender);
            }
            // Otherwise its last answer is still being put away.
        }
        None
    }

    pub(super) fn give(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() < self.max_idle {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes what was idle for too long; whether anything is left.
    pub(super) fn sweep(&self, idle_timeout: Duration) -> bool {
        let mut idle = self.idle.lock();
        idle.retain(|Idle { sender, since }| !sender.is_closed() && since.elapsed() < idle_timeout);
        !idle.is_empty()
    }
}
