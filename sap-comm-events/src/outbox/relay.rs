use std::time::Duration;

use parking_lot::Mutex;
use sap_comm_core::id;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    RelayConfig,
    batch::{Desk, Tally},
    store::{Claim, Store},
    wake::{Pace, Wake},
};
use crate::{Broker, sql::SqlError};

/// A running relay. Dropping it ends it at once; what it had claimed is free again when its lease ends.
#[derive(Debug)]
#[must_use = "the relay ends when its handle is dropped"]
pub struct RelayHandle {
    task: JoinHandle<()>,
    /// When to stop at the latest, once stopping was asked for.
    stop: watch::Sender<Option<Instant>>,
    drain_timeout: Duration,
}

/// How long after the drain the results may take to be written.
const LAST_WRITES: Duration = Duration::from_secs(1);

impl RelayHandle {
    pub(super) fn start(store: Store, wake: &Wake, broker: Broker, config: RelayConfig) -> Self {
        let (stop, stopping) = watch::channel(None);
        let drain_timeout = config.drain_timeout;
        let desk = Desk { store, broker, config, owner: id::prefixed("rly"), unmarked: Mutex::default() };
        let task = tokio::spawn(Relay { desk, wake: wake.listen(), stopping }.run());
        Self { task, stop, drain_timeout }
    }

    /// Publishes what is there, for the drain timeout at most, hands back the rest, and ends.
    ///
    /// # Errors
    /// When the relay had ended on its own, or does not end.
    pub async fn stop(mut self) -> Result<(), SqlError> {
        let doing = "stop the outbox's relay";
        let deadline = Instant::now() + self.drain_timeout;
        self.stop.send_replace(Some(deadline));
        match timeout_at(deadline + LAST_WRITES, &mut self.task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SqlError::Task { doing }),
            Err(_) => Err(SqlError::Timeout { doing, limit: self.drain_timeout + LAST_WRITES }),
        }
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Relay {
    desk: Desk,
    wake: watch::Receiver<()>,
    stopping: watch::Receiver<Option<Instant>>,
}

/// How the loop goes on.
enum Next {
    AtOnce,
    Soon(Duration),
    WhenThereIsWork,
}

/// How long to leave another relay to its claim.
const BUSY: Duration = Duration::from_millis(10);
/// How often sent events are removed.
const CLEANING: Duration = Duration::from_secs(60);

impl Relay {
    async fn run(mut self) {
        let mut pace = Pace::new(self.desk.config.poll_interval);
        let mut failures = 0;
        let mut cleaned_at = None::<Instant>;
        loop {
            let next = match self.round().await {
                Ok((next, false)) => {
                    failures = 0;
                    next
                }
                Ok((_, true)) => {
                    failures += 1;
                    Next::Soon(self.desk.config.pause_while_away(failures))
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the outbox cannot be relayed now");
                    Next::Soon(self.desk.config.pause_while_away(failures))
                }
            };
            let deadline = *self.stopping.borrow();
            if let Some(deadline) = deadline
                && (failures > 0 || !matches!(next, Next::AtOnce) || Instant::now() >= deadline)
            {
                return;
            }
            if cleaned_at.is_none_or(|at| at.elapsed() >= CLEANING) {
                cleaned_at = Some(Instant::now());
                self.clean().await;
            }
            match next {
                Next::AtOnce => pace.hurry(),
                Next::Soon(pause) => self.pause(pause).await,
                Next::WhenThereIsWork => self.wait(&mut pace).await,
            }
        }
    }

    /// Claims a batch and publishes it; whether the broker is away.
    async fn round(&self) -> Result<(Next, bool), SqlError> {
        let Desk { store, config, owner, unmarked, .. } = &self.desk;
        let left_over = !unmarked.lock().is_empty();
        if left_over {
            self.desk.finish().await?;
        }
        if !store.has_work().await? {
            return Ok((Next::WhenThereIsWork, false));
        }
        let asked_at = Instant::now();
        let entries = match store.claim(owner, config.lease, config.most()).await? {
            Claim::Got(entries) if entries.is_empty() => return Ok((Next::WhenThereIsWork, false)),
            Claim::Got(entries) => entries,
            Claim::Busy => return Ok((Next::Soon(BUSY.mul_f64(fastrand::f64())), false)),
        };
        let claimed = entries.len();
        let Tally { sent, broker_away } = self.desk.publish(entries, asked_at, self.cut()).await;
        tracing::debug!(claimed, sent, "relayed events of the outbox");
        Ok((Next::AtOnce, broker_away))
    }

    /// Ends when stopping was asked for and its time is over.
    async fn cut(&self) {
        let mut stopping = self.stopping.clone();
        let deadline = stopping.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            // The handle is gone, and this task with it.
            None => std::future::pending().await,
        }
    }

    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.stopping.changed() => {}
        }
    }

    async fn wait(&mut self, pace: &mut Pace) {
        tokio::select! {
            () = sleep(pace.wait()) => {}
            Ok(()) = self.wake.changed() => pace.hurry(),
            _ = self.stopping.changed() => {}
        }
    }

    async fn clean(&self) {
        loop {
            match self.desk.store.clean(self.desk.config.retention).await {
                Ok(0) => return,
                Ok(removed) => tracing::debug!(removed, "removed sent events of the outbox"),
                Err(error) => {
                    tracing::warn!(%error, "sent events stay in the outbox");
                    return;
                }
            }
        }
    }
}
