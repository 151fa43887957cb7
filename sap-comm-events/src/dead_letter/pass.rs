//! The pass itself: takes one dead letter after the other into hand, and deals with those that are meant.
//!
//! What is not meant stays in hand, as a number, until the pass ends: so no dead letter is seen twice, none is written
//! anew, and all are back in their places afterwards. The queue is read no further than it reached at the beginning.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::{DeadLetter, DeadLetterError, Progress, Round};
use crate::{
    Broker, PublishError,
    backend::{FAR, Hand, Held},
    message::{Message, header},
    topology::Target,
};

/// How many are on their way back at once.
const WINDOW: usize = 64;
/// How long a broker may take to take one back.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long messages are held at most. RabbitMQ takes what is held for 30 minutes for lost, and closes the channel.
const HOLD: Duration = Duration::from_secs(300);
/// How often whoever watches is told, and may end the pass, while it waits for its pace or the broker.
const BEAT: Duration = Duration::from_millis(500);

/// What becomes of the dead letters that are meant.
pub(super) enum Act {
    Look,
    /// Sent to the target that is chosen for it, and removed once that is confirmed.
    SendBack(Box<dyn Fn(&mut Message) -> Target + Send + Sync>),
    Remove,
}

/// The outcome of one return.
type Landed = (u64, Arc<Message>, Result<(), PublishError>);

pub(super) struct Pass<'a> {
    broker: &'a Broker,
    queue: &'a str,
    round: Round,
    act: Act,
    progress: Progress,
    /// Whether the first has told how many there are. Asked by itself, a queue does not count what is just being given back.
    counted: bool,
    hand: Box<dyn Hand>,
    since: Instant,
    /// The one that is meant and not yet due.
    waiting: Option<Held>,
    due: Instant,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    /// Why no more are taken.
    end: Option<End>,
}

enum End {
    Done,
    Failed(DeadLetterError),
}

/// Runs a round over `queue`; returns how far it came.
pub(super) async fn run(broker: &Broker, queue: &str, round: Round, act: Act) -> Result<Progress, DeadLetterError> {
    round.check()?;
    let act = if round.dry_run { Act::Look } else { act };
    let hand = broker.backend().hand(queue).await?;
    let (progress, now) = (Progress::default(), Instant::now());
    let pass = Pass {
        broker,
        queue,
        round,
        act,
        progress,
        counted: false,
        hand,
        since: now,
        waiting: None,
        due: now,
        flights: FuturesUnordered::new(),
        end: None,
    };
    pass.run().await
}

impl Pass<'_> {
    async fn run(mut self) -> Result<Progress, DeadLetterError> {
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stale = !matches!(self.act, Act::Look) && Instant::now() >= self.since + HOLD;
            let goes_on = self.end.is_none() && (self.waiting.is_some() || !self.is_over());
            if stale && goes_on && self.flights.is_empty() {
                self.begin_anew().await?;
            }
            let takes = goes_on && !stale && self.waiting.is_none() && self.flights.len() < WINDOW;
            tokio::select! {
                biased;
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.land(landed).await,
                () = sleep_until(self.due.min(self.since + HOLD)), if self.waiting.is_some() && !stale => self.start_if_due().await,
                taken = self.hand.next(), if takes => match taken {
                    Ok(Some(held)) => self.look_at(held),
                    Ok(None) => self.end(End::Done),
                    Err(error) => self.end(End::Failed(error)),
                },
                _ = beat.tick(), if self.counted && (goes_on || !self.flights.is_empty()) => self.tell(),
                else => if !goes_on {
                    break;
                },
            }
        }
        self.hand.end().await;
        match self.end {
            Some(End::Failed(error)) => Err(error),
            Some(End::Done) | None => Ok(self.progress),
        }
    }

    fn is_over(&self) -> bool {
        let limit = self.round.limit.and_then(|limit| u64::try_from(limit).ok());
        (self.counted && self.progress.seen >= self.progress.total)
            || limit.is_some_and(|limit| self.progress.matched >= limit)
    }

    fn look_at(&mut self, held: Held) {
        if !self.counted {
            self.counted = true;
            self.progress.total = held.left + 1;
        }
        let letter = DeadLetter::of(&held.message);
        self.progress.seen += 1;
        if self.round.filter.fits(&letter) {
            self.progress.matched += 1;
            if let Some(look) = &mut self.round.on_letter {
                look(&letter);
            }
            if !matches!(self.act, Act::Look) {
                self.waiting = Some(held);
            }
        }
        self.tell();
    }

    async fn start_if_due(&mut self) {
        let is_due = |_: &mut Held| Instant::now() >= self.due;
        let Some(Held { number, message, .. }) = self.waiting.take_if(is_due) else { return };
        if let Some(rate) = self.round.rate {
            // Neither a burst after a wait, nor a rate too slow for the clock.
            let pause = Duration::try_from_secs_f64(rate.recip()).unwrap_or(FAR).min(FAR);
            self.due = self.due.max(Instant::now()) + pause;
        }
        match &self.act {
            Act::Look => {}
            Act::Remove => self.remove(number).await,
            Act::SendBack(target) => {
                let mut copy = (*message).clone();
                for name in header::OF_FAILURE {
                    copy.headers.remove(name);
                }
                let (target, backend) = (target(&mut copy), Arc::clone(self.broker.backend()));
                self.flights.push(Box::pin(async move {
                    (number, message, backend.publish(target, copy, Instant::now() + DEADLINE).await)
                }));
            }
        }
    }

    async fn land(&mut self, (number, message, returned): Landed) {
        match returned {
            Ok(()) => self.remove(number).await,
            Err(source) => {
                let (id, progress) = (message.id.clone(), self.progress);
                self.end(End::Failed(DeadLetterError::Redrive { id, progress, source: source.into() }));
            }
        }
    }

    async fn remove(&mut self, number: u64) {
        match self.hand.remove(number).await {
            Ok(()) => {
                self.progress.done += 1;
                self.tell();
            }
            Err(error) => self.end(End::Failed(error)),
        }
    }

    /// Gives back what is held and takes it again, from the beginning of the queue.
    async fn begin_anew(&mut self) -> Result<(), DeadLetterError> {
        let hand = self.broker.backend().hand(self.queue).await?;
        std::mem::replace(&mut self.hand, hand).end().await;
        self.since = Instant::now();
        self.waiting = None;
        self.progress.seen = self.progress.done;
        self.progress.matched = self.progress.done;
        Ok(())
    }

    /// The first failure counts; what is not due yet stays a dead letter.
    fn end(&mut self, end: End) {
        if !matches!(self.end, Some(End::Failed(_))) {
            self.end = Some(end);
        }
        self.waiting = None;
    }

    fn tell(&mut self) {
        if let Some(watch) = &mut self.round.on_progress
            && watch(&self.progress) == ControlFlow::Break(())
        {
            self.end(End::Done);
        }
    }
}
