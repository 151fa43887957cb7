use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Broker, consumer::Worker};

/// A consumer that runs.
///
/// Dropping it stops the consumer without waiting: it takes no more events, and handlers that run still finish and
/// settle theirs, as long as the runtime lives.
#[derive(Debug)]
#[must_use = "dropping it stops the consumer"]
pub struct SubscriptionHandle {
    stop: DropGuard,
    ended: CancellationToken,
}

impl SubscriptionHandle {
    /// Spawns the worker; the broker's close waits for it.
    pub(crate) fn start(broker: &Broker, worker: Worker) -> Self {
        let (stop, abort, ended) = (broker.drain_token(), broker.abort_token(), CancellationToken::new());
        let has_ended = ended.clone().drop_guard();
        let stopped = stop.clone();
        broker.tasks().spawn(async move {
            let _has_ended = has_ended;
            abort.run_until_cancelled(worker.run(stopped)).await;
        });
        Self { stop: stop.drop_guard(), ended }
    }

    /// Stops the consumer: no new events, those in hand are finished and settled, the rest goes back to the queue.
    ///
    /// Takes as long as the handlers do. Dropping the future leaves the consumer stopping.
    pub async fn stop(self) {
        drop(self.stop);
        self.ended.cancelled().await;
    }
}
