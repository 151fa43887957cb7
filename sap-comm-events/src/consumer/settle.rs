//! From an outcome to a settled delivery: consequences are confirmed first.

#[cfg(feature = "test-util")]
use std::sync::Arc;
use std::time::Duration;

use sap_comm_core::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    FailureCause, Handling,
    process::{Verdict, redelivered_too_often, redeliveries},
};
use crate::{
    PublishError,
    backend::{Delivery, Redelivered},
    message::{Message, header},
    topology::{dead_queue, retry_queue},
};

/// The pause before a consequence that was not confirmed is tried again; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// How often it is looked whether an event has gone back to its queue.
const LOOK: Duration = Duration::from_millis(250);

/// Why an event goes back to its queue although it was handled.
pub(super) struct GoesBack(&'static str);

impl GoesBack {
    const HALTED: Self = Self("its consumer stops or pauses");
    const VOID: Self = Self("its channel is gone");
}

impl Handling {
    pub(super) async fn settle(&self, delivery: Delivery, verdict: Verdict) {
        // A copy that kills its consumer at once must not leave the original behind, or both would grow in number. And after a
        // death, whatever comes again next is to come first, should it be why.
        let surely = matches!(verdict, Verdict::Requeue) || delivery.redelivered != Redelivered::No;
        #[cfg(feature = "test-util")]
        let handled = matches!(verdict, Verdict::Ack | Verdict::Answer(Ok(_)));
        let confirmed = match verdict {
            Verdict::Ack if self.asks(&delivery).is_none() => Ok(()),
            verdict => Box::pin(self.follow(&delivery, verdict)).await,
        };
        #[cfg(feature = "test-util")]
        if handled
            && confirmed.is_ok()
            && let Some(recorder) = self.broker.recorder()
        {
            recorder.record(crate::test_util::What::Handled, &delivery.queue, Arc::clone(&delivery.message));
        }
        match confirmed {
            Ok(()) if surely => delivery.settlement.ack_surely().await,
            Ok(()) => delivery.settlement.ack(),
            Err(GoesBack(reason)) => {
                tracing::error!(reason, "the event goes back to its queue: what should become of it was not confirmed");
                if delivery.settlement.is_void() {
                    self.outlived(delivery);
                }
            }
        }
    }

    /// What was handled and is back already is counted as one that outlives its channel.
    pub(super) fn outlived(&self, delivery: Delivery) {
        if self.settings.topology.stream.is_none() {
            delivery.settlement.ack();
        }
    }

    /// Does what a verdict asks for; returns once that is confirmed.
    async fn follow(&self, delivery: &Delivery, verdict: Verdict) -> Result<(), GoesBack> {
        match verdict {
            Verdict::Ack => {
                self.answer_done(delivery).await;
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

    pub(super) async fn retry(&self, delivery: &Delivery, cause: FailureCause) -> Result<(), GoesBack> {
        let Some(delay) = self.delay_before_next(&delivery.message) else {
            return self.bury(delivery, cause).await;
        };
        tracing::warn!(error = cause.message, code = cause.code, ?delay, "handling failed; another attempt follows");
        let mut copy = self.copy_of(delivery);
        copy.headers.set(header::ATTEMPT, copy.attempt() + 1);
        describe(&mut copy, cause);
        self.hand_over(delivery, retry_queue(&delivery.queue, delay), copy).await
    }

    /// Makes the message a dead letter and reports it. Once it is one, nothing brings the original back: another burial
    /// would make two of it.
    async fn bury(&self, delivery: &Delivery, cause: FailureCause) -> Result<(), GoesBack> {
        tracing::error!(error = cause.message, code = cause.code, "handling failed for good");
        if self.settings.ephemeral {
            #[cfg(feature = "test-util")]
            self.record_death(delivery, &cause);
            self.report(&delivery.message, cause).await;
            return Ok(());
        }
        let answer = cause.clone();
        let mut copy = self.copy_of(delivery);
        copy.headers.set(header::ATTEMPT, copy.attempt());
        copy.headers.set(header::FAILED_AT, Timestamp::now().to_string());
        copy.headers.set(header::QUEUE, delivery.queue.to_string());
        describe(&mut copy, cause.clone());
        self.hand_over(delivery, dead_queue(&delivery.queue), copy).await?;
        #[cfg(feature = "test-util")]
        self.record_death(delivery, &cause);
        self.answer_failure(delivery, answer).await;
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
    async fn requeue(&self, delivery: &Delivery) -> Result<(), GoesBack> {
        let limit = self.broker.config().max_redeliveries;
        let count = redeliveries(&delivery.message).saturating_add(1);
        if count > limit {
            return self.bury(delivery, redelivered_too_often(limit)).await;
        }
        let mut copy = self.copy_of(delivery);
        copy.headers.set(header::REDELIVERIES, count);
        self.hand_over(delivery, delivery.queue.to_string(), copy).await
    }

    /// Writes what should become of an event to a queue, until that is confirmed: the handler has done its part, and is not to do
    /// it again for what is the broker's. What is sent is answered sooner or later, so it is waited for: sent again it would be there
    /// twice.
    async fn hand_over(&self, delivery: &Delivery, queue: String, mut message: Message) -> Result<(), GoesBack> {
        if delivery.settlement.is_void() {
            return Err(GoesBack::VOID);
        }
        let (halt, mut pause) = (self.halt.lock().clone(), PAUSE);
        let mut interrupted = std::pin::pin!(self.interrupted(delivery, &halt));
        loop {
            let settled = tokio::select! {
                biased;
                settled = self.broker.backend().settle(queue.clone(), message.clone()) => settled,
                goes_back = &mut interrupted => return Err(goes_back),
            };
            let error = match settled {
                Ok(()) => return Ok(()),
                Err(PublishError::Closed) => return Err(GoesBack("the broker is closed")),
                Err(error) => error,
            };
            // With the reason of a failure, headers may be longer than a frame.
            if matches!(error, PublishError::Encode { .. }) && message.headers.drop_foreign() {
                tracing::warn!(%error, "foreign headers of the event are left out, since they cannot be written");
                continue;
            }
            tracing::error!(%error, queue, ?pause, "what should become of the event was not confirmed; it is tried again");
            if let PublishError::Unroutable { .. } = error {
                halt.run_until_cancelled(self.mend()).await;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
                () = halt.cancelled() => return Err(GoesBack::HALTED),
                goes_back = &mut interrupted => return Err(goes_back),
            }
        }
    }

    /// Waits until it is of no use any more to wait for an answer.
    async fn interrupted(&self, delivery: &Delivery, halt: &CancellationToken) -> GoesBack {
        let halted = async {
            halt.cancelled().await;
            tokio::time::sleep(self.broker.config().publish_deadline.min(MAX_WAIT)).await;
        };
        let void = async {
            while !delivery.settlement.is_void() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // What is answered soon need not know.
        tokio::time::sleep(LOOK).await;
        tokio::select! {
            () = halted => GoesBack::HALTED,
            () = void => GoesBack::VOID,
        }
    }
}

/// A settlement waits no longer than this, whatever a publisher may.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(300);

pub(super) fn describe(message: &mut Message, cause: FailureCause) {
    message.headers.set(header::REASON, cause.message);
    message.headers.set(header::CODE, cause.code);
}
