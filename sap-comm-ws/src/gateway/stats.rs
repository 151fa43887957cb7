use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counters of a gateway since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Sockets connected now.
    pub sockets: u64,
    /// Sockets that were ever connected.
    pub connected: u64,
    /// Sockets that went away.
    pub disconnected: u64,
    /// Handshakes refused: token, origin, form, capacity.
    pub refused: u64,
    /// Sockets that were disconnected because their token ended.
    pub expired: u64,
    /// Notifications handed to devices, one for each device.
    pub pushed: u64,
    /// Notifications that a device acknowledged.
    pub acknowledged: u64,
    /// Notifications not handed to a device because too much waited for it.
    pub overflowed: u64,
    /// Notifications that were marked as read.
    pub read: u64,
    /// Events that ended in an error.
    pub failed: u64,
}

/// The counters behind [`GatewayStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sockets: Arc<AtomicU64>,
    pub(crate) connected: Counter,
    pub(crate) disconnected: Counter,
    pub(crate) refused: Counter,
    pub(crate) expired: Counter,
    pub(crate) pushed: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) overflowed: Counter,
    pub(crate) read: Counter,
    pub(crate) failed: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// Counts a socket as connected until the gauge is dropped.
    pub(crate) fn socket(&self) -> Gauge {
        self.sockets.fetch_add(1, Relaxed);
        Gauge(Arc::clone(&self.sockets))
    }

    pub(crate) fn read(&self) -> GatewayStats {
        GatewayStats {
            sockets: self.sockets.load(Relaxed),
            connected: self.connected.get(),
            disconnected: self.disconnected.get(),
            refused: self.refused.get(),
            expired: self.expired.get(),
            pushed: self.pushed.get(),
            acknowledged: self.acknowledged.get(),
            overflowed: self.overflowed.get(),
            read: self.read.get(),
            failed: self.failed.get(),
        }
    }
}

/// One connected socket.
#[derive(Debug)]
pub(crate) struct Gauge(Arc<AtomicU64>);

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
