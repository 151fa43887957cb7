use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use http::HeaderValue;
use tokio::time::Instant;

use super::destination::Destination;
use crate::gateway::exchange::Connection;

/// A connection in use. It is closed when this is dropped, unless it is [given back](Self::give_back).
pub(in crate::gateway) struct Lease {
    connection: Box<Connection>,
    destination: Arc<Destination>,
}

impl Lease {
    pub(super) fn new(connection: Box<Connection>, destination: Arc<Destination>) -> Self {
        Self { connection, destination }
    }

    /// What the endpoint is called in `Host`.
    pub(in crate::gateway) fn host(&self) -> HeaderValue {
        self.destination.host().clone()
    }

    /// See [`Connection::send_on`].
    pub(in crate::gateway) fn send_on(self, patience: Duration, refused: bool) -> Self {
        let Self { connection, destination } = self;
        Self { connection: connection.send_on(patience, refused), destination }
    }

    pub(in crate::gateway) fn into_connection(self) -> Box<Connection> {
        self.connection
    }

    /// Keeps the connection for the next request, if it may serve one; it has been idle since then.
    pub(in crate::gateway) fn give_back(self, since: Instant) {
        let Self { connection, destination } = self;
        if connection.is_reusable() {
            destination.give(connection, since);
        } else if !connection.is_over() {
            connection.abandon();
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("host", self.destination.host()).finish_non_exhaustive()
    }
}
