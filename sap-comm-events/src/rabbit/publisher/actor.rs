//! The task that opens channels, declares what is published to, and sends what had to wait.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    desk::{Desk, Left, Step},
    job::Job,
    line::{Line, REFUSING},
};
use crate::{
    PublishError,
    amqp::Error,
    rabbit::{
        declare::{DeclareError, declare_exchange},
        ladder::declare_ladder,
        link::{Live, Watcher},
        refusal::{ACCESS_REFUSED, NOT_FOUND, Refusal},
        vitals::Vitals,
    },
    topology::Target,
};

/// How often abandoned jobs are forgotten while the broker is away.
const SWEEP: Duration = Duration::from_millis(100);
/// How often it is seen to that nothing is in the way of others which nobody waits for, or the broker does not answer.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after a channel that could not be opened or ended in an error.
const PAUSE: Duration = Duration::from_millis(50);

/// How long channels may refuse everything, one after the other.
const MOST_REFUSING: Duration = Duration::from_secs(60);

pub(super) struct Actor {
    desk: Arc<Desk>,
    window: usize,
    link: Watcher,
    vitals: Arc<Vitals>,
}

/// Why a channel is no longer used.
enum End {
    /// The connection is lost.
    Lost,
    /// The broker closed the channel.
    Closed(Error),
    /// The channel refuses everything.
    Refusing,
}

impl Actor {
    pub(super) fn new(desk: Arc<Desk>, window: usize, link: Watcher, vitals: Arc<Vitals>) -> Self {
        Self { desk, window, link, vitals }
    }

    /// Publishes until the connection is closed for good.
    pub(super) async fn run(mut self) {
        let (mut suspects, mut patience) = (0, REFUSING);
        while let Some(live) = self.live().await {
            if let Err(error) = self.open(&live, suspects, patience).await {
                self.vitals.error(format!("cannot open a channel: {error}"));
                sleep(PAUSE).await;
                continue;
            }
            let end = self.serve(&live).await;
            let left = self.desk.leave(|left, job| blame(&end, left, job));
            suspects = 0;
            // A queue that is full is so over any channel.
            patience = match end {
                End::Refusing if !left.served => (patience * 2).min(MOST_REFUSING),
                _ => REFUSING,
            };
            match end {
                End::Closed(error) if !live.lost.is_cancelled() => {
                    suspects = left.suspects;
                    tracing::warn!(%error, in_flight = left.in_flight, "the broker closed the publishing channel");
                    self.vitals.error(error.to_string());
                    sleep(PAUSE).await;
                }
                End::Refusing => {
                    tracing::warn!(
                        in_flight = left.in_flight,
                        "the broker refuses what is published; trying another channel"
                    );
                    sleep(PAUSE).await;
                }
                End::Closed(_) | End::Lost => {}
            }
        }
    }

    /// The next generation of the connection; meanwhile jobs that nobody waits for are forgotten.
    async fn live(&mut self) -> Option<Arc<Live>> {
        looking_after(&self.desk, self.link.live()).await
    }

    async fn open(&self, live: &Live, suspects: usize, patience: Duration) -> Result<(), String> {
        let channel = live.channel_heard_by(Arc::new(self.desk.ear())).await?;
        live.answer(channel.confirm()).await?.map_err(|error| error.to_string())?;
        self.desk.open(Line::new(channel, self.window, suspects, patience));
        Ok(())
    }

    /// Does what callers cannot do themselves, as long as the channel lasts.
    async fn serve(&self, live: &Live) -> End {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.desk.step() {
                Step::Wait => tokio::select! {
                    biased;
                    () = live.lost.cancelled() => return End::Lost,
                    // A broker that is blocked answers once it is not.
                    _ = look.tick() => self.desk.look(!live.is_blocked()),
                    () = self.desk.work() => {}
                },
                Step::Drain(channel) => {
                    looking_after(&self.desk, live.lost.run_until_cancelled(channel.room())).await;
                }
                Step::Declare(target, rungs) => {
                    // Nobody would answer.
                    looking_after(&self.desk, live.lost.run_until_cancelled(live.unblocked())).await;
                    match looking_after(&self.desk, declare(live, &self.vitals, &target, rungs)).await {
                        Ok(()) => self.desk.learn(target),
                        Err(Some(error)) => self.desk.refuse_first(&target, error),
                        Err(None) if live.lost.is_cancelled() => return End::Lost,
                        Err(None) => {
                            self.desk.postpone(&target);
                            sleep(PAUSE).await;
                        }
                    }
                }
                Step::Leave(error) => return End::Closed(error),
                Step::Renew => return End::Refusing,
            }
        }
    }
}

/// Waits; meanwhile jobs that nobody waits for are forgotten.
async fn looking_after<F: Future>(desk: &Desk, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            biased;
            output = &mut future => return output,
            () = sleep(SWEEP) => desk.look(false),
        }
    }
}

/// Sees that a target exists; the error is that of the job, if it cannot, and none if nobody knows.
async fn declare(live: &Live, vitals: &Vitals, target: &Target, rungs: u32) -> Result<(), Option<PublishError>> {
    let declared = match target {
        Target::Queue(_) => Ok(()),
        Target::Exchange { name, kind } => declare_exchange(live, name, *kind).await,
        Target::Later { rung, name, kind, .. } => declare_ladder(live, rungs..=*rung, name, *kind).await,
    };
    declared.map_err(|error| match error {
        DeclareError::Difference(error) => Some(PublishError::Topology(error)),
        DeclareError::Forbidden(reason) => Some(PublishError::Forbidden { reason }),
        DeclareError::Unsupported { feature, version } => {
            let reason = format!("{} need RabbitMQ {}; the broker is {version}", feature.name, feature.since);
            Some(PublishError::Forbidden { reason })
        }
        DeclareError::Connection(error) => {
            vitals.error(format!("cannot declare exchange {:?}: {error}", target.name()));
            None
        }
    })
}

/// What a job alone in flight is told that the broker closed the channel for, if it is to blame.
fn blame(end: &End, left: &Left, job: &Job) -> Option<PublishError> {
    let End::Closed(error @ Error::Channel { .. }) = end else { return None };
    let refusal = Refusal::of(error)?;
    match refusal.code {
        // An exchange that was deleted beneath us is declared again by the next channel.
        NOT_FOUND if left.is_fresh => None,
        ACCESS_REFUSED => Some(PublishError::Forbidden { reason: refusal.text }),
        _ => Some(job.nacked(refusal.text)),
    }
}
