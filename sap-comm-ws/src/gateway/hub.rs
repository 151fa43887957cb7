use std::{collections::HashMap, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Counters, RealtimeOptions};
use crate::{Authenticate, NotificationSink, SocketHandler};

/// What every socket of a gateway shares. Does not hold the Socket.IO server, whose handlers hold this.
pub(crate) struct Hub {
    pub(crate) options: RealtimeOptions,
    pub(crate) authenticate: Arc<dyn Authenticate>,
    pub(crate) sink: Arc<dyn NotificationSink>,
    pub(crate) handlers: HashMap<String, Arc<dyn SocketHandler>>,
    pub(crate) counters: Counters,
    /// Calls in flight, which a drain waits for.
    pub(crate) work: TaskTracker,
    /// Set once the gateway takes no more sockets.
    pub(crate) draining: CancellationToken,
    /// Set once sockets have been closed: connections without one end, too.
    pub(crate) ended: CancellationToken,
}
