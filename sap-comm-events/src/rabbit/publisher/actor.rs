//! The task that owns the queue of jobs, over all generations of the connection.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use super::{
    channel::{End, PublishChannel},
    job::Job,
};
use crate::rabbit::{
    link::{Live, Watcher},
    vitals::Vitals,
};

/// How often abandoned jobs are forgotten while the broker is away.
const SWEEP: Duration = Duration::from_millis(100);
/// The pause after a channel that could not be opened or ended in an error.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Actor {
    pub(super) queue: mpsc::UnboundedReceiver<Job>,
    /// Jobs taken from the queue and not sent, or to be sent again; oldest first.
    pub(super) backlog: VecDeque<Job>,
    pub(super) window: usize,
    link: Watcher,
    vitals: Arc<Vitals>,
}

impl Actor {
    pub(super) fn new(queue: mpsc::UnboundedReceiver<Job>, window: usize, link: Watcher, vitals: Arc<Vitals>) -> Self {
        Self { queue, backlog: VecDeque::new(), window, link, vitals }
    }

    /// Publishes until the connection is closed for good or every caller is gone.
    pub(super) async fn run(mut self) {
        // How many jobs were in flight when a channel was closed on us: one of them may be the reason, so they are sent
        // one at a time.
        let mut suspects = 0;
        while let Some(live) = self.live().await {
            let channel = match PublishChannel::open(&live).await {
                Ok(channel) => channel,
                Err(error) => {
                    self.vitals.error(format!("cannot open a channel: {error}"));
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match channel.run(&mut self, &live, suspects).await {
                End::Finished => return,
                End::Lost => suspects = 0,
                End::Closed { error, in_flight } => {
                    tracing::warn!(error, in_flight, "the broker closed the publishing channel");
                    self.vitals.error(error);
                    suspects = in_flight;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next generation of the connection; meanwhile jobs that nobody waits for are forgotten.
    async fn live(&mut self) -> Option<Arc<Live>> {
        loop {
            tokio::select! {
                biased;
                live = self.link.live() => return live,
                job = self.queue.recv() => self.backlog.push_back(job?),
                () = sleep(SWEEP) => self.backlog.retain(|job| !job.is_abandoned()),
            }
        }
    }
}
