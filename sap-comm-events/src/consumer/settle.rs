//! From an outcome to a settled delivery: consequences are confirmed first.

#[cfg(feature = "test-util")]
use std::sync::Arc;
use std::time::Duration;

use sap_comm_core::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    FailureCause, Handling,
    answer::asks,
    process::{Verdict, redelivered_too_often, redeliveries},
};
use crate::{
    PublishError,
    backend::{Delivery, FAR},
    message::{Message, header},
    topology::{Target, dead_queue, retry_queue},
};

/// The pause before a consequence that was not confirmed is tried again; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// How often it is looked whether an event has gone back to its queue.
const LOOK: Duration = Duration::from_millis(250);

impl Handling {
    pub(super) async fn settle(&self, delivery: Delivery, verdict: Verdict) {
        // A copy that kills its consumer at once must not leave the original behind, or both would grow in number.
        let surely = matches!(verdict, Verdict::Requeue);
        #[cfg(feature = "test-util")]
        let handled = matches!(verdict, Verdict::Ack | Verdict::Answer(Ok(_)));
        let confirmed = match verdict {
            Verdict::Ack if asks(&delivery.message).is_none() => true,
            verdict => Box::pin(self.see_through(&delivery, &verdict)).await,
        };
        #[cfg(feature = "test-util")]
        if handled
            && confirmed
            && let Some(recorder) = self.broker.recorder()
        {
            recorder.record(crate::test_util::What::Handled, &delivery.queue, Arc::clone(&delivery.message));
        }
        match confirmed {
            true if surely => delivery.settlement.ack_surely().await,
            true => delivery.settlement.ack(),
            false => drop(delivery),
        }
    }

    /// Does what a verdict asks for until that is confirmed: the handler has done its part, and is not to do it again for what
    /// is the broker's. `false` when the event goes back to its queue instead, since its consumer ends or pauses, or when it went
    /// back already, with its channel.
    async fn see_through(&self, delivery: &Delivery, verdict: &Verdict) -> bool {
        if matches!(verdict, Verdict::Ack | Verdict::Answer(_)) && delivery.message.reply_to.is_some() {
            // The command is done, whether its answer gets through or not.
            return self.follow(delivery, verdict.clone()).await.is_ok();
        }
        let goes_back = |reason: &dyn std::fmt::Display| {
            tracing::error!(%reason, "the event goes back to its queue: what should become of it was not confirmed");
            false
        };
        if delivery.settlement.is_void() && matches!(verdict, Verdict::Retry(_) | Verdict::Dead(_) | Verdict::Requeue) {
            return goes_back(&"its channel is gone");
        }
        let (halt, mut pause) = (self.halt.lock().clone(), PAUSE);
        let mut interrupted = std::pin::pin!(self.interrupted(delivery, &halt));
        loop {
            let followed = tokio::select! {
                biased;
                followed = self.follow(delivery, verdict.clone()) => followed,
                reason = &mut interrupted => return goes_back(&reason),
            };
            match followed {
                Ok(()) => return true,
                Err(error @ PublishError::Closed) => return goes_back(&error),
                Err(error) => {
                    tracing::error!(%error, ?pause, "what should become of the event was not confirmed; it is tried again");
                    if let PublishError::Unroutable { .. } = error {
                        self.mend().await;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
                        () = halt.cancelled() => return goes_back(&error),
                        reason = &mut interrupted => return goes_back(&reason),
                    }
                }
            }
        }
    }

    /// Waits until it is of no use any more to wait for what should become of an event: what is sent is answered once, sooner or
    /// later, and sent again it would be there twice.
    async fn interrupted(&self, delivery: &Delivery, halt: &CancellationToken) -> &'static str {
        let halted = async {
            halt.cancelled().await;
            tokio::time::sleep(self.broker.config().publish_deadline.min(MAX_WAIT)).await;
        };
        let void = async {
            while !delivery.settlement.is_void() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // What is done soon need not know.
        tokio::time::sleep(LOOK).await;
        tokio::select! {
            () = halted => "its consumer stops",
            () = void => "its channel is gone",
        }
    }

    /// Does what a verdict asks for; returns once that is confirmed.
    async fn follow(&self, delivery: &Delivery, verdict: Verdict) -> Result<(), PublishError> {
        match verdict {
            Verdict::Ack => {
                self.answer_done(&delivery.message).await;
                Ok(())
            }
            Verdict::Answer(reply) => self.answered(delivery, reply).await,
            Verdict::Retry(cause) => self.retry(delivery, cause).await,
            Verdict::Dead(cause) => self.bury(delivery, cause).await,
            Verdict::Requeue => self.requeue(delivery).await,
        }
    }

    /// Declares the queues of retries and dead letters again: somebody deleted one.
    async fn mend(&self) {
        if let Err(error) = self.broker.backend().declare(&self.settings.topology).await {
            tracing::error!(%error, "the queues of the subscription cannot be declared again");
        }
    }

    /// How long to wait before the next attempt; none when this was the last.
    pub(super) fn delay_before_next(&self, message: &Message) -> Option<Duration> {
        let config = self.broker.config();
        let attempt = message.attempt();
        let step = usize::try_from(attempt - 1).unwrap_or(usize::MAX);
        let delay = config.retry_delays.get(step).or(config.retry_delays.last()).copied();
        let again = attempt < config.max_attempts && !self.settings.ephemeral;
        // Nobody would wait for the next attempt.
        let in_time = |delay: &Duration| {
            message.deadline().is_none_or(|deadline| Timestamp::now().saturating_add(*delay) < deadline)
        };
        delay.filter(|_| again).filter(in_time)
    }

    pub(super) async fn retry(&self, delivery: &Delivery, cause: FailureCause) -> Result<(), PublishError> {
        let Some(delay) = self.delay_before_next(&delivery.message) else {
            return self.bury(delivery, cause).await;
        };
        tracing::warn!(error = cause.message, code = cause.code, ?delay, "handling failed; another attempt follows");
        let mut copy = (*delivery.message).clone();
        copy.headers.set(header::ATTEMPT, copy.attempt() + 1);
        describe(&mut copy, cause);
        self.hand_over(retry_queue(&delivery.queue, delay), copy).await
    }

    /// Makes the message a dead letter and reports it. Once it is one, nothing brings the original back: another burial
    /// would make two of it.
    async fn bury(&self, delivery: &Delivery, cause: FailureCause) -> Result<(), PublishError> {
        tracing::error!(error = cause.message, code = cause.code, "handling failed for good");
        if self.settings.ephemeral {
            #[cfg(feature = "test-util")]
            self.record_death(delivery, &cause);
            self.report(&delivery.message, cause).await;
            return Ok(());
        }
        let answer = cause.clone();
        let mut copy = (*delivery.message).clone();
        copy.headers.set(header::ATTEMPT, copy.attempt());
        copy.headers.set(header::FAILED_AT, Timestamp::now().to_string());
        copy.headers.set(header::QUEUE, delivery.queue.to_string());
        describe(&mut copy, cause.clone());
        self.hand_over(dead_queue(&delivery.queue), copy).await?;
        #[cfg(feature = "test-util")]
        self.record_death(delivery, &cause);
        self.answer_failure(&delivery.message, answer).await;
        self.report(&delivery.message, cause).await;
        Ok(())
    }

    #[cfg(feature = "test-util")]
    fn record_death(&self, delivery: &Delivery, cause: &FailureCause) {
        if let Some(recorder) = self.broker.recorder() {
            let FailureCause { message, code } = cause.clone();
            let what = crate::test_util::What::DeadLettered { reason: message, code };
            recorder.record(what, &delivery.queue, Arc::clone(&delivery.message));
        }
    }

    /// Writes the message to the end of its queue with a raised count.
    async fn requeue(&self, delivery: &Delivery) -> Result<(), PublishError> {
        let limit = self.broker.config().max_redeliveries;
        let count = redeliveries(&delivery.message).saturating_add(1);
        if count > limit {
            return self.bury(delivery, redelivered_too_often(limit)).await;
        }
        let mut copy = (*delivery.message).clone();
        copy.headers.set(header::REDELIVERIES, count);
        self.hand_over(delivery.queue.to_string(), copy).await
    }

    async fn hand_over(&self, queue: String, message: Message) -> Result<(), PublishError> {
        let deadline = Instant::now() + FAR;
        let mut bare = message.clone();
        match self.broker.backend().publish(Target::Queue(queue.clone()), message, deadline).await {
            // With the reason of a failure, headers may be longer than a frame.
            Err(PublishError::Encode { reason }) => {
                tracing::warn!(reason, "foreign headers of the event are left out, since they cannot be written");
                bare.headers.drop_foreign();
                self.broker.backend().publish(Target::Queue(queue), bare, deadline).await
            }
            settled => settled,
        }
    }
}

/// A settlement waits no longer than this, whatever a publisher may.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(300);

pub(super) fn describe(message: &mut Message, cause: FailureCause) {
    message.headers.set(header::REASON, cause.message);
    message.headers.set(header::CODE, cause.code);
}
