use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Reading;
use crate::{Broker, consumer::Worker};

/// A consumer that runs.
///
/// Dropping it stops the consumer without waiting: it takes no more events, and handlers that run still finish and
/// settle theirs, as long as the runtime lives.
#[derive(Debug)]
#[must_use = "dropping it stops the consumer"]
pub struct SubscriptionHandle {
    control: Arc<Control>,
    /// Cancels the control's `stop`.
    stop: DropGuard,
    ended: CancellationToken,
    reading: Option<Arc<Reading>>,
}

/// What a handle and its worker share.
#[derive(Debug)]
pub(crate) struct Control {
    /// Ends the consumer.
    pub(crate) stop: CancellationToken,
    /// Whether it is to pause.
    pub(crate) wanted: watch::Sender<bool>,
    /// Whether it does.
    pub(crate) paused: watch::Sender<bool>,
    /// Ends the taking of events until the next pause.
    round: Mutex<CancellationToken>,
}

impl Control {
    fn new(stop: CancellationToken) -> Self {
        let round = Mutex::new(stop.child_token());
        Self { stop, wanted: watch::Sender::new(false), paused: watch::Sender::new(false), round }
    }

    /// Begins to take events until the returned token is cancelled, by a pause or the end.
    pub(crate) fn begin(&self) -> CancellationToken {
        let token = self.stop.child_token();
        *self.round.lock() = token.clone();
        // A pause that was asked for before the token was there did not find it.
        if *self.wanted.borrow() {
            token.cancel();
        }
        token
    }

    fn pause(&self) {
        self.wanted.send_replace(true);
        self.round.lock().cancel();
    }
}

impl SubscriptionHandle {
    /// Spawns the worker; the broker's close waits for it.
    pub(crate) fn start(broker: &Broker, worker: Worker) -> Self {
        let (stop, abort, ended) = (broker.drain_token(), broker.abort_token(), CancellationToken::new());
        let reading = worker.reading();
        let has_ended = ended.clone().drop_guard();
        let control = Arc::new(Control::new(stop.clone()));
        let shared = Arc::clone(&control);
        broker.tasks().spawn(async move {
            let _has_ended = has_ended;
            abort.run_until_cancelled(worker.run(&shared)).await;
        });
        Self { control, stop: stop.drop_guard(), ended, reading }
    }

    /// Takes no more events until [resumed](Self::resume); the queue stays, and what comes waits in it.
    ///
    /// Returns once the handlers have finished and settled what they had; what they had not begun is back in the queue, for
    /// other consumers of the group. An [ephemeral](crate::Subscription::ephemeral) consumer keeps what it holds ahead.
    /// Dropping the future leaves the consumer pausing. A handler that waits for its own subscription to pause waits for
    /// itself.
    pub async fn pause(&self) {
        self.control.pause();
        self.reach(true).await;
    }

    /// Takes events again after a pause; returns once it does, which needs the broker. Dropping the future leaves the
    /// consumer resuming.
    pub async fn resume(&self) {
        self.control.wanted.send_replace(false);
        self.reach(false).await;
    }

    /// Whether the consumer is paused, and nothing is in hand.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.control.paused.borrow()
    }

    /// Where to begin next time with a [stream](crate::Subscription::stream): every event before it is settled. `None` before
    /// the first event, and where there is no stream. After a [pause](Self::pause) it stands still.
    #[must_use]
    pub fn next_offset(&self) -> Option<u64> {
        self.reading.as_ref().and_then(|reading| reading.next())
    }

    /// Stops the consumer: no new events, those in hand are finished and settled, the rest goes back to the queue.
    ///
    /// Takes as long as the handlers do. Dropping the future leaves the consumer stopping.
    pub async fn stop(self) {
        drop(self.stop);
        self.ended.cancelled().await;
    }

    async fn reach(&self, paused: bool) {
        let mut now = self.control.paused.subscribe();
        let wanted = &self.control.wanted;
        tokio::select! {
            () = self.ended.cancelled() => {}
            // Whoever asks for the opposite meanwhile has the last word.
            _ = now.wait_for(|now| *now == paused || *wanted.borrow() != paused) => {}
        }
    }
}
